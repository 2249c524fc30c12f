"""Gaussian vectors of which some cells are observed."""

from __future__ import annotations

import math

import torch
from torch import Tensor


class ObservedGaussian:
    """A Gaussian vector with mean 0 whose observed cells are known, in float64.

    Cells that are not observed are replaced by independent ones, so that rows with different cells
    share one factorisation of a batch.

    Args:
        covariance: Covariance ``[*, D, D]``.
        observed: Which cells are observed, ``[*, D]``.

    Example:
        >>> covariance = torch.tensor([[1.0, 0.5], [0.5, 1.0]])
        >>> cells = ObservedGaussian(covariance, torch.tensor([True, False]))
        >>> cells.fill(torch.tensor([2.0, torch.nan]))
        tensor([2., 1.], dtype=torch.float64)
        >>> cells.variance
        tensor([0.0000, 0.7500], dtype=torch.float64)
    """

    def __init__(self, covariance: Tensor, observed: Tensor) -> None:
        self.covariance, self.observed = covariance.double(), observed
        both = observed.unsqueeze(-1) & observed.unsqueeze(-2)
        self.tril = torch.linalg.cholesky(
            torch.where(both, self.covariance, 0.0) + torch.diag_embed((~observed).double())
        )

    def log_prob(self, residual: Tensor) -> Tensor:
        """The log-density of each cell given the observed cells before it; 0 for open cells.

        The sum over cells is the log-density of the observed cells.

        Args:
            residual: Deviations from the mean, ``[*, D]``; those of open cells are not read.
        """
        unit = torch.linalg.solve_triangular(self.tril, self._observed(residual), upper=False)
        scale = self.tril.diagonal(dim1=-2, dim2=-1)
        each = -0.5 * unit.squeeze(-1).square() - scale.log() - 0.5 * math.log(2 * math.pi)
        return torch.where(self.observed, each, 0.0)

    def fill(self, residual: Tensor) -> Tensor:
        """The deviations ``[*, D]`` with the conditional mean in open cells."""
        known = self._observed(residual)
        weights = torch.where(
            self.observed.unsqueeze(-1), torch.cholesky_solve(known, self.tril), 0.0
        )
        filled = (self.covariance @ weights).squeeze(-1)
        return torch.where(self.observed, residual.double(), filled)

    @property
    def variance(self) -> Tensor:
        """The conditional variance of each cell, ``[*, D]``; 0 for observed cells."""
        gain = self._gain
        explained = (gain * torch.cholesky_solve(gain, self.tril)).sum(-2)
        total = self.covariance.diagonal(dim1=-2, dim2=-1)
        return torch.where(self.observed, 0.0, (total - explained).clamp(min=0))

    @property
    def open_covariance(self) -> Tensor:
        """The conditional covariance of all cells, ``[*, D, D]``; 0 for observed cells."""
        gain, hidden = self._gain, ~self.observed
        rest = self.covariance - gain.mT @ torch.cholesky_solve(gain, self.tril)
        return torch.where(hidden.unsqueeze(-1) & hidden.unsqueeze(-2), rest, 0.0)

    @property
    def _gain(self) -> Tensor:
        """Covariances of observed cells with all cells, ``[*, D, D]``."""
        return torch.where(self.observed.unsqueeze(-1), self.covariance, 0.0)

    def _observed(self, residual: Tensor) -> Tensor:
        """The deviations as columns ``[*, D, 1]``, 0 in open cells."""
        return torch.where(self.observed, residual.double(), 0.0).unsqueeze(-1)


EM_STEPS = 50
EM_NUMBERS = 1 << 24  # of the covariances of the rows that are kept together
EM_WORK = 1 << 29  # products of a step, which bound the number of rows
MIN_EIGENVALUE = 1e-6  # of correlations: those of pairs of cells may not be possible
TOLERANCE = 1e-4  # of the moments, relative to a standard deviation, at which EM ends


def gaussian_moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and covariance of rows with missing cells, the most likely ones of a Gaussian.

    With missing cells by EM, from the moments of pairs of cells.

    Args:
        x: Rows ``[N, n]`` on the CPU; missing cells are NaN.

    Returns:
        Mean ``[n]`` and covariance ``[n, n]``, float64, over ``N``.

    Example:
        >>> gaussian_moments(torch.tensor([[1.0, 2.0], [3.0, 2.0]]))
        (tensor([2., 2.], dtype=torch.float64), tensor([[1., 0.],
                [0., 0.]], dtype=torch.float64))
    """
    x = x.double()
    seen = ~x.isnan()
    mean = x.nan_to_num(nan=0.0).sum(0) / seen.sum(0).clamp(min=1)
    centred, weight = (x - mean).nan_to_num(nan=0.0), seen.double()
    covariance = centred.T @ centred / (weight.T @ weight).clamp(min=1)
    if seen.all():
        return mean, covariance
    size = covariance.diagonal().sqrt()
    size = torch.where(size > 0, size, 1.0)
    start = nearest_correlation(covariance / size / size[:, None], MIN_EIGENVALUE)
    rows = ((x - mean) / size)[seen.any(1)][: max(1000, EM_WORK // x.shape[1] ** 3)]
    shift, correlation = _by_em(rows, start)
    return mean + size * shift, size[:, None] * correlation * size


def nearest_correlation(correlation: Tensor, least: float) -> Tensor:
    """Correlations ``[n, n]`` with no eigenvalue below ``least``, and ones on the diagonal."""
    correlation = correlation.clone().fill_diagonal_(1.0)
    values, vectors = torch.linalg.eigh(correlation)
    if values[0] >= least:
        return correlation
    positive = (vectors * values.clamp(min=least)) @ vectors.T
    size = positive.diagonal().sqrt()
    return positive / size / size[:, None]


def _by_em(x: Tensor, covariance: Tensor) -> tuple[Tensor, Tensor]:
    """The moments of standardised rows by EM, from a covariance."""
    mean, block = covariance.new_zeros(len(covariance)), max(1, EM_NUMBERS // covariance.numel())
    floor = MIN_EIGENVALUE * torch.eye(len(covariance), dtype=covariance.dtype)
    for _ in range(EM_STEPS if len(x) else 0):
        filled, rest = [], torch.zeros_like(covariance)
        for part in x.split(block):
            cells = ObservedGaussian(covariance, ~part.isnan())
            filled.append(mean + cells.fill(part - mean))
            rest += cells.open_covariance.sum(0)
        rows = torch.cat(filled)
        before, mean = mean, rows.mean(0)
        old, centred = covariance, rows - mean
        covariance = (centred.T @ centred + rest) / len(x) + floor
        if max((mean - before).abs().max(), (covariance - old).abs().max()) < TOLERANCE:
            break
    return mean, covariance
