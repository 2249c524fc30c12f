"""Frequencies of discrete values, of independent columns and of latent classes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...distributions._gaussian_fits import held_out_mask
from ...likelihoods._chow_liu import one_hot_levels

SMOOTHINGS = (0.5, 2.0, 8.0, 32.0)
"""Numbers of rows that the smoothing distribution is worth; held-out rows choose one."""

MIN_SHARE = 1e-6


@dataclass(frozen=True)
class Frequencies:
    """Independent columns of whole numbers, by their frequencies in the training rows.

    ``p(x) = (n(x) + a b(x)) / (n + a)``: ``n(x)`` of ``n`` rows have the value ``x``. The smoothing
    distribution ``b`` is uniform over ``levels`` values, or for counts negative binomial with the
    moments of the column. Missing cells do not count.

    Args:
        values: The training rows, sorted by column, missing cells last, ``[N, D]``.
        counts: Observed rows of each column, ``[D]``.
        levels: Number of values, ``None`` for counts.
        smoothing: ``a``.
    """

    values: Tensor
    counts: Tensor
    levels: int | None
    smoothing: float

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-probability ``[N]`` of rows ``[N, D]``."""
        columns, cells = self.values.T.contiguous(), x.nan_to_num(0.0).T.contiguous()
        found = torch.searchsorted(columns, cells, right=True) - torch.searchsorted(columns, cells)
        smooth = self.smoothing * self._base_log_prob(x.nan_to_num(0.0)).exp()
        share = (found.T + smooth) / (self.counts + self.smoothing)
        return torch.where(x.isnan(), 0.0, share.log()).sum(1)

    def _base_log_prob(self, x: Tensor) -> Tensor:
        if self.levels is not None:
            return torch.full_like(x, -math.log(self.levels))
        finite = torch.where(self.values.isinf(), 0.0, self.values)
        mean = (finite.sum(0) / self.counts).clamp(min=MIN_SHARE)
        square = torch.where(self.values.isinf(), 0.0, (finite - mean).square()).sum(0)
        excess = (square / self.counts - mean).clamp(min=MIN_SHARE * mean)
        size = mean.square() / excess
        return (
            torch.lgamma(x + size)
            - torch.lgamma(size)
            - torch.lgamma(x + 1)
            - size * torch.log1p(mean / size)
            + x * (mean / (mean + size)).log()
        )


def fit_frequencies(x: Tensor, levels: int | None) -> Frequencies:
    """Fit independent columns to rows ``[N, D]`` of whole numbers; NaN where a cell is missing.

    >>> bits = torch.tensor([[0.0], [1.0], [1.0], [1.0]])
    >>> fit_frequencies(bits, 2).log_prob(bits[:1]) < -1
    tensor([True])
    """
    held_out = held_out_mask(len(x))
    known = _sort_columns(x[~held_out])
    scores = [
        Frequencies(*known, levels, smoothing).log_prob(x[held_out]).sum().item()
        for smoothing in SMOOTHINGS
    ]
    best = max(range(len(scores)), key=scores.__getitem__)
    return Frequencies(*_sort_columns(x), levels, SMOOTHINGS[best])


def _sort_columns(x: Tensor) -> tuple[Tensor, Tensor]:
    """Sorted columns with infinity in place of missing cells, and the number of observed cells."""
    observed = ~x.isnan()
    return x.nan_to_num(math.inf).sort(0).values, observed.sum(0).clamp(min=1)


@dataclass(frozen=True)
class LatentClasses:
    """Mixture of classes in which columns of levels are independent.

    Args:
        log_weight: Log-weights of the classes, ``[K]``.
        log_share: Log-probabilities of each value, ``[K, D * levels]``.
        levels: Number of values.
    """

    log_weight: Tensor
    log_share: Tensor
    levels: int

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-probability ``[N]`` of rows ``[N, D]``; NaN where a cell is missing."""
        found = self._log_joint(one_hot_levels(x, self.levels)).logsumexp(1).double()
        found[(x >= self.levels).any(1)] = -math.inf
        found[x.isnan().any(1)] = math.nan
        return found

    def _log_joint(self, values: Tensor) -> Tensor:
        return self.log_weight + values @ self.log_share.T


def fit_latent_classes(
    x: Tensor, levels: int, candidates: Sequence[int], *, steps: int = 30, seed: int = 0
) -> LatentClasses:
    """Fit latent classes by expectation maximisation to rows ``[N, D]`` of 0 ... levels - 1.

    Every fifth row chooses the number of classes: candidates are tried in order until one is worse.
    """
    held_out, values = held_out_mask(len(x)), one_hot_levels(x, levels)
    best, best_score = candidates[0], -math.inf
    for classes in candidates:
        model = _fit_classes(values[~held_out], levels, classes, steps, seed)
        score = model.log_prob(x[held_out]).mean().item()
        if score <= best_score or classes > len(x):
            break
        best, best_score = classes, score
    return _fit_classes(values, levels, best, steps, seed)


def _fit_classes(values: Tensor, levels: int, classes: int, steps: int, seed: int) -> LatentClasses:
    """Classes from random weights, which break the symmetry."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.rand(len(values), classes, generator=generator).square().to(values)
    model = _weighted_classes(values, weight / weight.sum(1, keepdim=True), levels)
    for _ in range(steps):
        joint = model._log_joint(values)
        weight = (joint - joint.logsumexp(1, keepdim=True)).exp()
        model = _weighted_classes(values, weight, levels)
    return model


def _weighted_classes(values: Tensor, weight: Tensor, levels: int) -> LatentClasses:
    """Classes of one-hot rows with weights ``[N, K]``, and one row of the values of all rows."""
    total = weight.sum(0)
    marginal = (values.sum(0) + 1 / levels).unflatten(0, (-1, levels))
    marginal = marginal / marginal.sum(1, keepdim=True)
    share = (weight.T @ values).unflatten(1, (-1, levels)) + marginal
    share = (share / share.sum(2, keepdim=True)).flatten(1)
    return LatentClasses((total / total.sum()).log(), share.log(), levels)
