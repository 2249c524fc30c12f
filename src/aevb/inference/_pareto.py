"""Diagnosis of heavy tails of importance weights."""

from __future__ import annotations

import math

import torch
from torch import Tensor

MIN_TAIL_LENGTH = 5  # weights
TAIL_PRIOR_SHAPE, TAIL_PRIOR_WEIGHT = 0.5, 10  # shrink the shape of short tails
SMALLEST_POSITIVE = 1e-300  # its reciprocal is finite


def tail_length(samples: int) -> int:
    """Number of largest weights in the tail, ``min(K / 5, 3 sqrt(K))``; 0 if fewer than 5.

    Example:
        >>> tail_length(20), tail_length(100), tail_length(5000)
        (0, 20, 213)
    """
    length = math.ceil(min(samples / 5, 3 * math.sqrt(samples)))
    return length if length >= MIN_TAIL_LENGTH else 0


def pareto_k_threshold(samples: int) -> float:
    """``min(1 - 1 / log10(K), 0.7)``: below this shape an average of ``K`` weights is reliable.

    Example:
        >>> round(pareto_k_threshold(100), 2), pareto_k_threshold(5000)
        (0.5, 0.7)
    """
    return min(1 - 1 / math.log10(samples), 0.7) if samples > 1 else 0.0


def pareto_k(largest: Tensor) -> Tensor:
    """Shape ``k`` of a generalised Pareto distribution fitted to the tail of weights, ``[B]``.

    ``largest`` ``[M + 1, B]`` holds the log-weights of the ``M + 1`` largest weights in descending
    order; the last one is the threshold. The weights have ``1 / k`` moments: above 1/2 their
    average has no variance, above 1 no mean. The result is NaN where the tail is shorter than 5 or
    no weight is positive. Vehtari, Simpson, Gelman, Yao and Gabry, Pareto smoothed importance
    sampling (2024), with the fit of Zhang and Stephens, A new and efficient estimation method for
    the generalized Pareto distribution (2009).

    Example:
        >>> exponential = -torch.log(
        ...     torch.rand(4000, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        ... )
        >>> weights, _ = (0.6 * exponential).sort(0, descending=True)  # Pareto with shape 0.6
        >>> pareto_k(weights[:191]).item() > 0.4
        True
    """
    if len(largest) <= MIN_TAIL_LENGTH:
        return largest.new_full(largest.shape[1:], math.nan)
    weights = torch.exp(largest - largest[:1])
    excess = (weights[:-1] - weights[-1:]).flip(0).T  # [B, M], rising
    flat = excess[:, -1:] <= 0  # equal weights have no tail
    shape = _fit_shape(torch.where(flat, torch.ones_like(excess), excess))
    return torch.where(flat[:, 0], 0.0, shape).masked_fill(~largest[0].isfinite(), math.nan)


def _fit_shape(excess: Tensor) -> Tensor:
    """Shape of each row of ascending excesses ``[B, M]``: a mean over ``b = k / sigma``."""
    count = excess.shape[1]
    size = 30 + math.isqrt(count)
    index = torch.arange(1, size + 1, dtype=excess.dtype, device=excess.device)
    quartile = excess[:, int(count / 4 + 0.5) - 1, None].clamp(min=SMALLEST_POSITIVE)
    grid = 1 / excess[:, -1:] + (1 - (size / (index - 0.5)).sqrt()) / (3 * quartile)  # [B, size]
    shapes = torch.stack([_conditional_shape(excess, b) for b in grid.unbind(1)], 1)
    profile = count * ((-grid / shapes).log() - shapes - 1)
    weight = torch.softmax(profile.nan_to_num(nan=-math.inf), 1)
    shape = _conditional_shape(excess, (weight * grid).sum(1))
    return (count * shape + TAIL_PRIOR_WEIGHT * TAIL_PRIOR_SHAPE) / (count + TAIL_PRIOR_WEIGHT)


def _conditional_shape(excess: Tensor, b: Tensor) -> Tensor:
    """The most likely ``k`` given ``b``: the mean of ``log(1 - b x)``."""
    return torch.log1p(-b[:, None] * excess).mean(1)
