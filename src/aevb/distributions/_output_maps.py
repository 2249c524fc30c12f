"""Bounded maps from network outputs to scales, rates, concentrations and triangular factors."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..errors import ArgumentError

# scales lie in [exp(-6), exp(6)] = [0.0025, 403]: enough for standardised data, and finite squares
LOG_SCALE_BOUND = 6.0
LEAST_SCALE = math.exp(-LOG_SCALE_BOUND)
# in units of the variable's scale: correlations reach 0.9994, and no matrix becomes singular
TRIL_ENTRY_BOUND = 30.0
LOG_RATE_BOUND = 15.0  # counts have a wider range than scales


def to_scale(raw: Tensor, bound: float = LOG_SCALE_BOUND) -> Tensor:
    """Map any real number to a scale between 0.0025 and 403: ``exp(6 tanh(raw / 6))``; 0 to 1.

    Draws, density and KL use the same value, so that none of them overflows alone, as with an
    unbounded ``exp(logvar)``.

    Args:
        raw: Network output of any shape.
        bound: Bound of the absolute logarithm of the scale.

    Returns:
        The scale, of the same shape.

    Example:
        >>> [float(f"{scale:.3g}") for scale in to_scale(torch.tensor([0.0, -1e4, 1e4]))]
        [1.0, 0.00248, 403.0]
    """
    return torch.exp(soft_clip(raw, bound))


def from_scale(scale: Tensor, bound: float = LOG_SCALE_BOUND) -> Tensor:
    """Inverse of ``to_scale``; scales at or beyond the bounds are moved inside.

    Args:
        scale: Positive scale of any shape.
        bound: Bound of the absolute logarithm of the scale.

    Returns:
        The network output of the same shape.

    Example:
        >>> to_scale(from_scale(torch.tensor([0.01, 1.0]))).round(decimals=4)
        tensor([0.0100, 1.0000])
    """
    return inverse_soft_clip(scale.log(), bound)


def check_bounds(**bounds: float) -> None:
    """Check bounds of parameters.

    Raises:
        ArgumentError: A bound is not a positive number.
    """
    for argument, bound in bounds.items():
        if not 0 < bound < math.inf:
            raise ArgumentError("give a positive number", argument=argument, value=bound)


def soft_clip(raw: Tensor, bound: float) -> Tensor:
    """Bound a number smoothly: ``bound tanh(raw / bound)``, the identity near 0.

    Args:
        raw: Number of any shape.
        bound: Bound of the absolute value.

    Returns:
        The number, of the same shape, between ``-bound`` and ``bound``.
    """
    return bound * torch.tanh(raw / bound)


def inverse_soft_clip(value: Tensor, bound: float) -> Tensor:
    """Inverse of ``soft_clip``; values at or beyond the bound are moved inside."""
    inside = 1 - 1e-6  # at the bound itself the number would be infinite
    return bound * torch.atanh((value / bound).clamp(-inside, inside))


def to_scale_tril(
    raw: Tensor,
    lower: Tensor,
    bound: float = TRIL_ENTRY_BOUND,
    scale_bound: float = LOG_SCALE_BOUND,
) -> Tensor:
    """Map network outputs to a lower triangular factor ``S L`` of a covariance ``S L L^T S``.

    ``S`` are the scales from ``raw``; ``L`` has ones on its diagonal and bounded entries below.

    Args:
        raw: Network output for the scales, ``[*, D]``.
        lower: Network output for the entries below the diagonal, ``[*, D, D]``.
        bound: Bound of the entries of ``L``.
        scale_bound: Bound of the absolute logarithms of the scales.

    Returns:
        The factor ``[*, D, D]``.

    Example:
        >>> to_scale_tril(torch.zeros(2), torch.tensor([[5.0, 5.0], [0.5, 5.0]])).round(decimals=3)
        tensor([[1.0000, 0.0000],
                [0.5000, 1.0000]])
    """
    unit = torch.tril(soft_clip(lower, bound), -1) + torch.eye(
        raw.shape[-1], dtype=raw.dtype, device=raw.device
    )
    return to_scale(raw, scale_bound)[..., None] * unit


def from_scale_tril(
    scale_tril: Tensor, bound: float = TRIL_ENTRY_BOUND, scale_bound: float = LOG_SCALE_BOUND
) -> tuple[Tensor, Tensor]:
    """Inverse of ``to_scale_tril``; values beyond the bounds are moved inside.

    Args:
        scale_tril: Lower triangular factor ``[*, D, D]``.
        bound: Bound of the entries of ``L``.
        scale_bound: Bound of the absolute logarithms of the scales.

    Returns:
        ``raw`` ``[*, D]`` and ``lower`` ``[*, D, D]``.

    Example:
        >>> factor = torch.tensor([[2.0, 0.0], [-1.0, 0.5]])
        >>> bool(torch.allclose(to_scale_tril(*from_scale_tril(factor)), factor, atol=1e-5))
        True
    """
    scale = scale_tril.diagonal(dim1=-2, dim2=-1)
    slopes = torch.tril(scale_tril, -1) / scale[..., None]
    return from_scale(scale, scale_bound), inverse_soft_clip(slopes, bound)


def to_rate(raw: Tensor) -> Tensor:
    """Map any real number to a rate between 3e-7 and 3.3e6: ``exp(15 tanh(raw / 15))``; 0 to 1.

    For the mean of counts and of positive numbers.

    Args:
        raw: Network output of any shape.

    Returns:
        The rate, of the same shape.

    Example:
        >>> [float(f"{number:.3g}") for number in to_rate(torch.tensor([0.0, -1e4]))]
        [1.0, 3.06e-07]
    """
    return torch.exp(soft_clip(raw, LOG_RATE_BOUND))


def to_moderate_scale(raw: Tensor) -> Tensor:
    """Map any real number to a scale below 2, for variables that are exponentiated; 0 to 1.

    ``2 s / (1 + s)`` with ``s = to_scale(raw)``.

    Args:
        raw: Network output of any shape.

    Returns:
        The scale, of the same shape.
    """
    scale = to_scale(raw)
    return 2 * scale / (1 + scale)


def to_concentration(raw: Tensor) -> Tensor:
    """Map any real number to a concentration between 0.14 and 403; 0 to 1.

    Lower concentrations move draws of a gamma or beta variable outside the floating-point range.

    Args:
        raw: Network output of any shape.

    Returns:
        The concentration, of the same shape.

    Example:
        >>> [float(f"{number:.3g}") for number in to_concentration(torch.tensor([0.0, -1e4, 1e4]))]
        [1.0, 0.135, 403.0]
    """
    return torch.exp(2 + soft_clip(raw - 4 * math.atanh(0.5), 4.0))
