"""The bounded maps from what a network puts out to a scale, and to a slope between latent variables."""

from __future__ import annotations

import math

import torch
from torch import Tensor

LOG_SCALE_BOUND = 6.0  # scales lie in [exp(-6), exp(6)] = [0.0025, 403]: wide enough for standardised data, and its square and log stay finite
TRIL_ENTRY_BOUND = 30.0  # in units of a variable's own scale: correlations reach 0.9994, and no factorisation meets a singular matrix
LOG_RATE_BOUND = 15.0  # counts span more than scales do


def to_scale(raw: Tensor) -> Tensor:
    """``exp(6 tanh(raw / 6))``: any real number to a scale between 0.0025 and 403; 0 to 1.

    Sampling, density and KL all use the same value, so none of them can overflow alone (an unbounded ``exp(logvar)`` does).

    >>> [float(f"{scale:.3g}") for scale in positive(torch.tensor([0.0, -1e4, 1e4]))]
    [1.0, 0.00248, 403.0]
    """
    return torch.exp(soft_clip(raw, LOG_SCALE_BOUND))


def from_scale(scale: Tensor) -> Tensor:
    """The real number whose ``positive`` this scale is; scales at or beyond the bounds are taken as just inside of them.

    >>> positive(unscaled(torch.tensor([0.01, 1.0]))).round(decimals=4)
    tensor([0.0100, 1.0000])
    """
    return inverse_soft_clip(scale.log(), LOG_SCALE_BOUND)


def soft_clip(raw: Tensor, bound: float) -> Tensor:
    """``bound tanh(raw / bound)``: the identity near 0, and never beyond ``bound``."""
    return bound * torch.tanh(raw / bound)


def inverse_soft_clip(value: Tensor, bound: float) -> Tensor:
    """The number whose ``bounded`` this value is; values at or beyond the bound are taken as just inside of it."""
    inside = 1 - 1e-6  # at the bound itself the number would be infinite
    return bound * torch.atanh((value / bound).clamp(-inside, inside))


def to_scale_tril(raw: Tensor, lower: Tensor) -> Tensor:
    """The lower triangular factor ``S L`` ``[*, D, D]`` of ``S L L^T S``: scales ``S`` from ``raw`` ``[*, D]``, ``L`` with ones on its
    diagonal and bounded entries from ``below`` ``[*, D, D]``.

    >>> triangular(torch.zeros(2), torch.tensor([[5.0, 5.0], [0.5, 5.0]])).round(decimals=3)
    tensor([[1.0000, 0.0000],
            [0.5000, 1.0000]])
    """
    unit = torch.tril(soft_clip(lower, TRIL_ENTRY_BOUND), -1) + torch.eye(
        raw.shape[-1], dtype=raw.dtype, device=raw.device
    )
    return to_scale(raw)[..., None] * unit


def from_scale_tril(scale_tril: Tensor) -> tuple[Tensor, Tensor]:
    """``raw`` and ``below`` whose ``to_scale_tril`` this factor is; what lies beyond the bounds is taken as just inside of them.

    >>> factor = torch.tensor([[2.0, 0.0], [-1.0, 0.5]])
    >>> bool(torch.allclose(triangular(*untriangular(factor)), factor, atol=1e-5))
    True
    """
    scale = scale_tril.diagonal(dim1=-2, dim2=-1)
    slopes = torch.tril(scale_tril, -1) / scale[..., None]
    return from_scale(scale), inverse_soft_clip(slopes, TRIL_ENTRY_BOUND)


def to_rate(raw: Tensor) -> Tensor:
    """``exp(15 tanh(raw / 15))``: the mean of counts and of positive numbers, between 3e-7 and 3.3e6; 0 to 1.

    >>> [float(f"{number:.3g}") for number in rate(torch.tensor([0.0, -1e4]))]
    [1.0, 3.06e-07]
    """
    return torch.exp(soft_clip(raw, LOG_RATE_BOUND))


def to_moderate_scale(raw: Tensor) -> Tensor:
    """``2 s / (1 + s)`` with ``s = positive(raw)``: scales below 2, for what is exponentiated afterwards; 0 to 1."""
    scale = to_scale(raw)
    return 2 * scale / (1 + scale)


def to_concentration(raw: Tensor) -> Tensor:
    """Any real number to a concentration between 0.14 and 403; 0 to 1.

    Lower ones put draws of a gamma or a beta where no floating-point number is.

    >>> [float(f"{number:.3g}") for number in concentration(torch.tensor([0.0, -1e4, 1e4]))]
    [1.0, 0.135, 403.0]
    """
    return torch.exp(2 + soft_clip(raw - 4 * math.atanh(0.5), 4.0))
