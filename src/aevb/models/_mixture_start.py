"""Start of prior, encoder and decoder at a mixture of Gaussians of the training rows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..distributions._factors import Factors
from ..distributions._gaussian_fits import Gaussians, fit_mixture
from ..distributions._output_maps import LEAST_SCALE

CANDIDATES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)  # numbers of components
ROWS_PER_PARAMETER = 0.1  # held-out rows choose the number, so that few rows are enough to try
PRIOR_ROWS = (0.1, 0.01, 1e-3, 1e-5)  # the least where components are nearly flat: values repeat
BACKGROUNDS = (0.01, 0.03, 0.1, 0.3)  # weights of a Gaussian of all rows
PATIENCE = 3  # numbers that are worse in a row end the search: a bad optimum is common
MAX_ROWS = 10_000  # in the fit
NOISE_SHARE = 0.1  # of the variance of a cell that the others leave open in a component
KEPT = 2.0  # least variance of a component without the noise, in units of the noise
REDUCTIONS = 30  # at most, by a factor each, until there is so much left
ABOVE_LEAST = 1.275  # of the noise, in units of the least scale: the map to scales ends there


@dataclass(frozen=True)
class MixtureStart:
    """``v = z + noise`` with ``z`` from a mixture, as factors with the mixture of the latent.

    With the encoder at the mean ``v`` and the variance of the noise N, the bound is below the
    log-density of the mixture by at most ``KL(N(v, N) || p(z|v, c))``, averaged over components c
    by their responsibilities. For a component with covariance S and ``A = (S - N)^-1 N`` that is
    ``(tr A - log det(I + A) + d^T (S - N)^-1 N S^-1 d) / 2`` at the distance d from its mean: of
    first order in the noise.

    Args:
        factors: The identity, and the variance of the noise.
        weight: ``[C]``.
        mean: ``[C, q]``.
        covariance: Of the latent, without the noise: ``[C, q, q]``.
    """

    factors: Factors
    weight: Tensor
    mean: Tensor
    covariance: Tensor

    @property
    def posterior_map(self) -> Tensor:
        """``E[z|v] = v``, up to the small noise, ``[q, n]``."""
        return self.factors.loadings.T

    @property
    def posterior_variance(self) -> Tensor:
        """The noise of a cell, and 1 of a latent without one, ``[q]``."""
        extra = self.mean.shape[1] - len(self.factors.noise)
        return torch.cat([self.factors.noise, self.factors.noise.new_ones(extra)])


def fit_mixture_start(
    values: Tensor, latent: int, components: int, least_scale: float = LEAST_SCALE
) -> MixtureStart | None:
    """Fit a mixture to rows ``[N, n]`` for a prior of as many Gaussians.

    Args:
        values: The rows.
        latent: Number of latent variables.
        components: Number of Gaussians of the prior.
        least_scale: The least scale of prior, encoder and decoder.

    Returns:
        The start; ``None`` where one Gaussian is as good on held-out rows, a cell is missing, or
        the latent has fewer variables than a row has cells.
    """
    size = values.shape[1]
    if latent < size or values.isnan().any():
        return None
    places = torch.linspace(0, len(values) - 1, min(len(values), MAX_ROWS)).long()
    found = fit_components(values[places], components, least_scale)
    if found is None or len(found.log_weight) == 1:
        return None
    return split_noise(found, latent, components, least_scale)


def fit_components(values: Tensor, components: int, least_scale: float) -> Gaussians | None:
    """Fit a mixture of up to this many Gaussians whose least deviation the parts can represent.

    A place is left for the Gaussian of all rows.
    """
    most = max(1, components - 1)
    return fit_mixture(
        values,
        [count for count in CANDIDATES if count < most] + [most],
        ABOVE_LEAST * least_scale * (1 + KEPT) ** 0.5,
        rows_per_parameter=ROWS_PER_PARAMETER,
        prior_rows=PRIOR_ROWS,
        backgrounds=BACKGROUNDS,
        patience=PATIENCE,
    )


def split_noise(
    found: Gaussians, latent: int, components: int, least_scale: float = LEAST_SCALE
) -> MixtureStart:
    """Split a mixture into noise and the rest; components are repeated to fill the prior."""
    covariance, size = found.covariance, found.mean.shape[1]
    left_open = 1 / torch.linalg.inv(covariance).diagonal(dim1=1, dim2=2)
    weight = found.log_weight.exp()
    noise = NOISE_SHARE * (weight @ left_open.log()).exp()  # geometric mean over components
    noise = noise.minimum(left_open.amin(0) / (1 + KEPT))
    for _ in range(REDUCTIONS):  # of the noise of cells in oblique directions that are flat
        least = torch.linalg.eigvalsh(_in_units_of(noise, covariance)).min()
        noise = noise * (least / (1 + KEPT)).clamp(max=1)
        noise = noise.clamp(min=(ABOVE_LEAST * least_scale) ** 2)
    root = noise.sqrt()
    values, vectors = torch.linalg.eigh(_in_units_of(noise, covariance))
    vectors = root[:, None] * vectors
    covariance = vectors * (values - 1).clamp(min=KEPT)[:, None] @ vectors.mT
    repeat = torch.arange(components) % len(weight)
    weight = (weight / repeat.bincount(minlength=len(weight)))[repeat]
    mean = torch.nn.functional.pad(found.mean, (0, latent - size))
    full = torch.eye(latent, dtype=covariance.dtype).repeat(len(covariance), 1, 1)
    full[:, :size, :size] = covariance
    factors = Factors(noise.new_zeros(size), torch.eye(size, latent, dtype=noise.dtype), noise)
    return MixtureStart(factors, weight, mean[repeat], full[repeat])


def _in_units_of(noise: Tensor, covariance: Tensor) -> Tensor:
    """Covariances ``[C, n, n]`` in units of the standard deviations of the noise ``[n]``."""
    root = noise.sqrt()
    return covariance / root / root[:, None]
