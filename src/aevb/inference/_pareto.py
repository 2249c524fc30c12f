"""How heavy the tail of importance weights is."""

from __future__ import annotations

import math

import torch
from torch import Tensor

MIN_TAIL_LENGTH = 5  # weights in a tail, from which a shape can be read
TAIL_PRIOR_SHAPE, TAIL_PRIOR_WEIGHT = (
    0.5,
    10,
)  # the shape that so many weights would have to speak against: steadies short tails
SMALLEST_POSITIVE = 1e-300  # of a quartile: its reciprocal is still a number


def tail_length(samples: int) -> int:
    """How many of the largest weights are the tail: ``min(K / 5, 3 sqrt(K))``; 0 where they would be fewer than 5.

    >>> tail_length(20), tail_length(100), tail_length(5000)
    (0, 20, 213)
    """
    length = math.ceil(min(samples / 5, 3 * math.sqrt(samples)))
    return length if length >= MIN_TAIL_LENGTH else 0


def pareto_k_threshold(samples: int) -> float:
    """``min(1 - 1 / log10(K), 0.7)``: with a smaller shape an average of ``K`` weights is near its expectation.

    >>> round(pareto_k_threshold(100), 2), pareto_k_threshold(5000)
    (0.5, 0.7)
    """
    return min(1 - 1 / math.log10(samples), 0.7) if samples > 1 else 0.0


def pareto_k(largest: Tensor) -> Tensor:
    """The shape ``k`` of a generalised Pareto distribution fitted to the tail of the weights of each datum, ``[B]``.

    ``largest`` ``[M + 1, B]`` holds the logarithms of the ``M + 1`` largest weights in falling order: what exceeds the last is the tail.
    ``1 / k`` is the number of moments that the weights have: above 1/2 an average of them has no variance, above 1 no mean can be seen.
    NaN where the tail is shorter than 5 or no weight is positive.

    Vehtari, Simpson, Gelman, Yao and Gabry, Pareto smoothed importance sampling (2024); the fit is that of Zhang and Stephens, A new and
    efficient estimation method for the generalized Pareto distribution (2009).

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
    flat = excess[:, -1:] <= 0  # weights that are all the same have no tail
    shape = _fit_shape(torch.where(flat, torch.ones_like(excess), excess))
    return torch.where(flat[:, 0], 0.0, shape).masked_fill(~largest[0].isfinite(), math.nan)


def _fit_shape(excess: Tensor) -> Tensor:
    """The shape for each row of rising excesses ``[B, M]``: a posterior mean over a grid of ``b = k / sigma``."""
    count = excess.shape[1]
    size = 30 + math.isqrt(count)
    place = torch.arange(1, size + 1, dtype=excess.dtype, device=excess.device)
    quartile = excess[:, int(count / 4 + 0.5) - 1, None].clamp(min=SMALLEST_POSITIVE)
    grid = 1 / excess[:, -1:] + (1 - (size / (place - 0.5)).sqrt()) / (3 * quartile)  # [B, size]
    shapes = torch.stack([_conditional_shape(excess, each) for each in grid.unbind(1)], 1)
    profile = count * ((-grid / shapes).log() - shapes - 1)
    weight = torch.softmax(profile.nan_to_num(nan=-math.inf), 1)
    shape = _conditional_shape(excess, (weight * grid).sum(1))
    return (count * shape + TAIL_PRIOR_WEIGHT * TAIL_PRIOR_SHAPE) / (count + TAIL_PRIOR_WEIGHT)


def _conditional_shape(excess: Tensor, b: Tensor) -> Tensor:
    """The most likely ``k`` given ``b``: the mean of ``log(1 - b x)``."""
    return torch.log1p(-b[:, None] * excess).mean(1)
