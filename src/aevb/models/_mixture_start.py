"""Start of prior, encoder and decoder at a mixture of Gaussians of the training rows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..distributions._factors import Factors
from ..distributions._gaussian_fits import Gaussians, fit_mixture

CANDIDATES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)  # numbers of components
ROWS_PER_PARAMETER = 0.5  # held-out rows choose the number, so that few rows are enough to try
MAX_ROWS = 10_000  # in the fit
FLOOR = math.exp(-6)  # least standard deviation of a component: that of the likelihoods
NOISE_SHARE = 0.1  # of the variance of a cell that the others leave open in a component
MIN_NOISE = 1e-5  # variance: the scales of likelihoods have a bound
KEPT_SHARE = 0.1  # of the noise: the least variance of a component


@dataclass(frozen=True)
class MixtureStart:
    """``v = z + noise`` with ``z`` from a mixture, as factors with the mixture of the latent.

    Args:
        factors: The identity, and the variance of the noise.
        weight: ``[C]``.
        mean: ``[C, q]``.
        covariance: ``[C, q, q]``.
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


def fit_mixture_start(values: Tensor, latent: int, components: int) -> MixtureStart | None:
    """Fit a mixture to rows ``[N, n]`` for a prior of as many Gaussians.

    Returns:
        The start; ``None`` where one Gaussian is as good on held-out rows, a cell is missing, or
        the latent has fewer variables than a row has cells.
    """
    size = values.shape[1]
    if latent < size or values.isnan().any():
        return None
    places = torch.linspace(0, len(values) - 1, min(len(values), MAX_ROWS)).long()
    candidates = [count for count in CANDIDATES if count <= components]
    found = fit_mixture(values[places], candidates, FLOOR, rows_per_parameter=ROWS_PER_PARAMETER)
    if found is None or len(found.log_weight) == 1:
        return None
    return _start(found, latent, components)


def _start(found: Gaussians, latent: int, components: int) -> MixtureStart:
    """The mixture without the noise of the cells; components are repeated to fill the prior."""
    covariance, size = found.covariance, found.mean.shape[1]
    left_open = 1 / torch.linalg.inv(covariance).diagonal(dim1=1, dim2=2)
    weight = found.log_weight.exp()
    noise = NOISE_SHARE * (weight @ left_open.log()).exp()  # geometric mean over components
    noise = noise.clamp(min=MIN_NOISE)
    values, vectors = torch.linalg.eigh(covariance - noise.diag())
    values = values.clamp(min=KEPT_SHARE * float(noise.min()))
    covariance = vectors * values[:, None] @ vectors.mT
    repeat = torch.arange(components) % len(weight)
    weight = (weight / repeat.bincount(minlength=len(weight)))[repeat]
    mean = torch.nn.functional.pad(found.mean, (0, latent - size))
    full = torch.eye(latent, dtype=covariance.dtype).repeat(len(covariance), 1, 1)
    full[:, :size, :size] = covariance
    factors = Factors(noise.new_zeros(size), torch.eye(size, latent, dtype=noise.dtype), noise)
    return MixtureStart(factors, weight, mean[repeat], full[repeat])
