"""The bounded maps from what a network puts out to a scale, and to a slope between latent variables."""

from __future__ import annotations

import math

import torch
from torch import Tensor

BOUND = 6.0  # scales lie in [exp(-6), exp(6)] = [0.0025, 403]: wide enough for standardised data, and its square and log stay finite
RATE_BOUND = 15.0  # counts span more than scales do


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


def rate(raw: Tensor) -> Tensor:
    """``exp(15 tanh(raw / 15))``: the mean of counts and of positive numbers, between 3e-7 and 3.3e6; 0 to 1.

    >>> rate(torch.tensor([0.0, -1e4])).tolist()
    [1.0, 3.05902...e-07]
    """
    return torch.exp(bounded(raw, RATE_BOUND))


def moderate(raw: Tensor) -> Tensor:
    """``2 s / (1 + s)`` with ``s = positive(raw)``: scales below 2, for what is exponentiated afterwards; 0 to 1."""
    scale = positive(raw)
    return 2 * scale / (1 + scale)


def concentration(raw: Tensor) -> Tensor:
    """Any real number to a concentration between 0.14 and 403; 0 to 1.

    Lower ones put draws of a gamma or a beta where no floating-point number is.

    >>> concentration(torch.tensor([0.0, -1e4, 1e4])).round(decimals=4).tolist()
    [1.0, 0.13529999554157257, 403.4288024902344]
    """
    return torch.exp(2 + bounded(raw - 4 * math.atanh(0.5), 4.0))
