"""Gaussian vectors of which some cells are observed."""

from __future__ import annotations

import math

import torch
from torch import Tensor

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


class ObservedGaussian:
    """A Gaussian vector whose observed cells are known, in float64.

    Cells that are not observed are replaced by independent ones, so that rows with different cells
    share one factorisation of a batch. Cells without variance are constant.

    Args:
        mean: Mean ``[*, D]``.
        covariance: Covariance ``[*, D, D]``.
        value: The cells ``[*, D]``; those that are not observed are NaN.

    Example:
        >>> covariance = torch.tensor([[1.0, 0.5], [0.5, 1.0]])
        >>> cells = ObservedGaussian(torch.zeros(2), covariance, torch.tensor([2.0, torch.nan]))
        >>> cells.mean
        tensor([2., 1.], dtype=torch.float64)
        >>> cells.variance
        tensor([0.0000, 0.7500], dtype=torch.float64)
    """

    def __init__(self, mean: Tensor, covariance: Tensor, value: Tensor) -> None:
        self.value, self.centre = value.double(), mean.double()
        self.covariance = covariance.double()
        self.total = self.covariance.diagonal(dim1=-2, dim2=-1)
        # one factorisation for all rows where no cell is missing
        seen = ~value.isnan() if has_missing(value) else value.new_ones(value.shape[-1:]).bool()
        self.observed = seen & (self.total > 0)
        both = self.observed.unsqueeze(-1) & self.observed.unsqueeze(-2)
        masked = torch.where(both, self.covariance, 0.0)
        self.tril = torch.linalg.cholesky(masked + torch.diag_embed((~self.observed).double()))
        identity = torch.eye(value.shape[-1], dtype=torch.float64, device=value.device)
        self.whiten = torch.linalg.solve_triangular(
            self.tril, identity.expand_as(self.tril), upper=False
        )
        self.residual = torch.where(self.observed, self.value - self.centre, 0.0)

    @property
    def log_prob(self) -> Tensor:
        """The log-density of each cell given the observed cells before it; 0 for open cells.

        The sum over cells is the log-density of the observed cells.
        """
        unit = _apply(self.whiten, self.residual)
        scale = self.tril.diagonal(dim1=-2, dim2=-1)
        return torch.where(self.observed, -0.5 * unit.square() - scale.log() - HALF_LOG_2PI, 0.0)

    @property
    def _precision(self) -> Tensor:
        return self.whiten.mT @ self.whiten

    @property
    def conditional_log_prob(self) -> Tensor:
        """The log-density of each observed cell given all others; 0 for open cells."""
        precision = self._precision.diagonal(dim1=-2, dim2=-1)
        square = _apply(self._precision, self.residual).square() / precision
        return torch.where(self.observed, 0.5 * (precision.log() - square) - HALF_LOG_2PI, 0.0)

    @property
    def conditional_mean(self) -> Tensor:
        """The mean of each observed cell given all others, ``[*, D]``."""
        precision = self._precision.diagonal(dim1=-2, dim2=-1)
        return self.value - _apply(self._precision, self.residual) / precision

    @property
    def expected_log_prob(self) -> Tensor:
        """The mean of ``conditional_log_prob`` where a cell is drawn given all others."""
        precision = self._precision.diagonal(dim1=-2, dim2=-1)
        return torch.where(self.observed, 0.5 * (precision.log() - 1) - HALF_LOG_2PI, 0.0)

    @property
    def mean(self) -> Tensor:
        """The cells ``[*, D]``, with their conditional mean where they are open."""
        filled = self.centre + _apply(self.covariance, _apply(self._precision, self.residual))
        return torch.where(self.value.isnan(), filled, self.value)

    @property
    def variance(self) -> Tensor:
        """The conditional variance of each cell, ``[*, D]``; 0 for observed cells."""
        explained = (self.whiten @ self._gain).square().sum(-2)
        return torch.where(self.observed, 0.0, (self.total - explained).clamp(min=0))

    @property
    def open_covariance(self) -> Tensor:
        """The conditional covariance of all cells, ``[*, D, D]``; 0 for observed cells."""
        part, hidden = self.whiten @ self._gain, ~self.observed
        rest = self.covariance - part.mT @ part
        return torch.where(hidden.unsqueeze(-1) & hidden.unsqueeze(-2), rest, 0.0)

    @property
    def _gain(self) -> Tensor:
        """Covariances of observed cells with all cells, ``[*, D, D]``."""
        return torch.where(self.observed.unsqueeze(-1), self.covariance, 0.0)


def has_missing(value: Tensor, where_traced: bool = True) -> bool:
    """Whether there is NaN; ``where_traced`` in a traced function, where nobody can know."""
    if torch.compiler.is_compiling():
        return where_traced
    try:
        return bool(value.isnan().any())
    except RuntimeError:  # inside torch.func.vmap
        return where_traced


def _apply(matrix: Tensor, vector: Tensor) -> Tensor:
    """``matrix @ vector`` for ``[*, D, D]`` and ``[*, D]``."""
    if matrix.dim() == 2:
        return vector @ matrix.T
    return (matrix @ vector.unsqueeze(-1)).squeeze(-1)


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
            cells = ObservedGaussian(mean, covariance, part)
            filled.append(cells.mean)
            rest += cells.open_covariance.expand(len(part), -1, -1).sum(0)
        rows = torch.cat(filled)
        before, mean = mean, rows.mean(0)
        old, centred = covariance, rows - mean
        covariance = (centred.T @ centred + rest) / len(x) + floor
        if max((mean - before).abs().max(), (covariance - old).abs().max()) < TOLERANCE:
            break
    return mean, covariance
