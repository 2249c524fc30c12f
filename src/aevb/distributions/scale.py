"""The bounded maps from what a network puts out to a scale, and to a slope between latent variables."""

from __future__ import annotations

import torch
from torch import Tensor

BOUND = 6.0  # scales lie in [exp(-6), exp(6)] = [0.0025, 403]: wide enough for standardised data, and its square and log stay finite


def positive(raw: Tensor) -> Tensor:
    """``exp(6 tanh(raw / 6))``: any real number to a scale between 0.0025 and 403; 0 to 1.

    Sampling, density and KL all use the same value, so none of them can overflow alone (an unbounded ``exp(logvar)`` does).

    >>> positive(torch.tensor([0.0, -1e4, 1e4])).round(decimals=4).tolist()
    [1.0, 0.0024999999441206455, 403.4288024902344]
    """
    return torch.exp(bounded(raw, BOUND))


def unscaled(scale: Tensor) -> Tensor:
    """The real number whose ``positive`` this scale is; scales at or beyond the bounds are taken as just inside of them.

    >>> positive(unscaled(torch.tensor([0.01, 1.0]))).round(decimals=4)
    tensor([0.0100, 1.0000])
    """
    inside = 1 - 1e-6  # at the bound itself the number would be infinite
    return BOUND * torch.atanh((scale.log() / BOUND).clamp(-inside, inside))


def bounded(raw: Tensor, bound: float) -> Tensor:
    """``bound tanh(raw / bound)``: the identity near 0, and never beyond ``bound``."""
    return bound * torch.tanh(raw / bound)
