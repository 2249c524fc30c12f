"""Factor analysis in closed form: a Gaussian as a linear latent-variable model."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ._gaussian_cells import nearest_correlation

SIGNAL_SHARE = 0.9  # of the variance that the other cells leave open: what latents explain of it
MIN_NOISE = 1e-5  # smallest noise variance of a cell with variance 1: scales of cells have a bound
EM_STEPS = 100
MIN_EIGENVALUE = 1e-7  # of correlations, which pairs of cells with gaps do not guarantee


@dataclass(frozen=True)
class Factors:
    """``v = mean + loadings z + noise`` with ``z ~ N(0, I)`` and independent noise.

    ``loadings^T diag(1 / noise) loadings`` is diagonal, so that the posterior of ``z`` is, too.

    Args:
        mean: Mean of each cell, ``[n]``.
        loadings: ``[n, q]``.
        noise: Variance of the noise, ``[n]``.
    """

    mean: Tensor
    loadings: Tensor
    noise: Tensor

    @property
    def covariance(self) -> Tensor:
        """Covariance of ``v``, ``[n, n]``."""
        return self.loadings @ self.loadings.T + self.noise.diag()

    @property
    def posterior_variance(self) -> Tensor:
        """Variance of ``p(z|v)``, ``[q]``."""
        return 1 / (1 + (self.loadings.square() / self.noise[:, None]).sum(0))

    @property
    def posterior_map(self) -> Tensor:
        """``E[z|v] = posterior_map (v - mean)``, ``[q, n]``."""
        return self.posterior_variance[:, None] * (self.loadings / self.noise[:, None]).T


def fit_factors(mean: Tensor, covariance: Tensor, latent: int) -> Factors:
    """Fit factors to moments.

    With as many latents as cells the covariance is reproduced exactly. With fewer, the better one
    of probabilistic principal components (Tipping and Bishop, 1999) and of factor analysis by EM
    (Rubin and Thayer, 1982) is taken, which begins where each latent explains a share of what the
    other cells leave open.

    Args:
        mean: ``[n]``, float64.
        covariance: ``[n, n]``, float64.
        latent: Number of latents, q.

    Example:
        >>> moments = torch.zeros(2).double(), torch.tensor([[2.0, 1.0], [1.0, 1.0]]).double()
        >>> fit_factors(*moments, latent=2).covariance.round(decimals=6)
        tensor([[2., 1.],
                [1., 1.]], dtype=torch.float64)
    """
    size = covariance.diagonal().sqrt()
    size = torch.where(size > 0, size, 1.0)
    correlation = nearest_correlation(covariance / size / size[:, None], MIN_EIGENVALUE)
    if latent >= len(mean):
        found = [_reproduce(correlation)]
    else:
        found = [_by_em(correlation, latent), _principal_components(correlation, latent)]
    loadings, noise = max(found, key=lambda pair: _log_likelihood(correlation, *pair))
    loadings = _rotate(loadings, noise)
    loadings = torch.nn.functional.pad(loadings, (0, latent - loadings.shape[1]))
    return Factors(mean, size[:, None] * loadings, size.square() * noise)


def _open_variance(correlation: Tensor) -> Tensor:
    """The variance of each cell given all others."""
    return 1 / torch.cholesky_inverse(torch.linalg.cholesky(correlation)).diagonal()


def _leading(correlation: Tensor, noise: Tensor, latent: int) -> tuple[Tensor, Tensor]:
    """Loadings for known noise (Joreskog, 1967); the least eigenvalue of scaled correlations."""
    root = noise.sqrt()
    values, vectors = torch.linalg.eigh(correlation / root / root[:, None])
    order = values.argsort(descending=True, stable=True)[:latent]  # equal ones in their order
    excess = (values[order] - 1).clamp(min=0).sqrt()
    return root[:, None] * vectors[:, order] * excess, values[0]


def _reproduce(correlation: Tensor) -> tuple[Tensor, Tensor]:
    """As many factors as cells."""
    noise = (1 - SIGNAL_SHARE) * _open_variance(correlation)
    _, least = _leading(correlation, noise, len(noise))
    noise = noise * least.clamp(max=1 / SIGNAL_SHARE) * SIGNAL_SHARE
    return _leading(correlation, noise, len(noise))[0], noise


def _principal_components(correlation: Tensor, latent: int) -> tuple[Tensor, Tensor]:
    values = torch.linalg.eigvalsh(correlation)
    noise = values[: len(values) - latent].mean().clamp(min=MIN_NOISE).expand(len(values))
    return _leading(correlation, noise, latent)[0], noise


def _by_em(correlation: Tensor, latent: int) -> tuple[Tensor, Tensor]:
    """Factor analysis by EM."""
    loadings, _ = _leading(correlation, (1 - SIGNAL_SHARE) * _open_variance(correlation), latent)
    noise = (1 - loadings.square().sum(1)).clamp(min=MIN_NOISE)
    identity = torch.eye(latent, dtype=correlation.dtype)
    for _ in range(EM_STEPS):
        gain = torch.linalg.solve(loadings @ loadings.T + noise.diag(), loadings).T
        second = identity - gain @ loadings + gain @ correlation @ gain.T
        loadings = torch.linalg.solve(second, gain @ correlation).T
        noise = (1 - (loadings * (correlation @ gain.T)).sum(1)).clamp(min=MIN_NOISE)
    return loadings, noise


def _rotate(loadings: Tensor, noise: Tensor) -> Tensor:
    """The same factors with a diagonal posterior covariance, the most precise latent first."""
    values, vectors = torch.linalg.eigh(loadings.T @ (loadings / noise[:, None]))
    return loadings @ vectors[:, values.argsort(descending=True, stable=True)]


def _log_likelihood(correlation: Tensor, loadings: Tensor, noise: Tensor) -> Tensor:
    """Mean log-density of Gaussian cells with these correlations, up to a constant."""
    tril = torch.linalg.cholesky(loadings @ loadings.T + noise.diag())
    return -tril.diagonal().log().sum() - 0.5 * torch.cholesky_solve(correlation, tril).trace()
