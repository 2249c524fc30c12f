"""Terms of count densities in float32 without cancellation: Loader (2000), saddle-point expansion.

With ``log Gamma(a + 1) = a log a - a + r(a)`` the large terms of a density cancel on paper. What is
left are remainders ``r``, at most ``log(a) / 2 + 1``, and deviances, which are small where the
density is not. Values of float64 use the same formulas and are accurate to 1e-7 of a nat.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

SMALL_EXCESS = 0.2  # below, the series of w - log(1 + w) is accurate to 1e-9
SMALLEST = 1e-20  # in place of 0, where a quotient is multiplied with it afterwards


class LogFactorialRemainder(torch.autograd.Function):
    """``r(a) = log Gamma(a + 1) - a log a + a`` for ``a >= 0``, by Stirling's series at ``a + 3``.

    Example:
        >>> LogFactorialRemainder.apply(torch.tensor([0.0, 1.0, 1e8])).round(decimals=4).abs()
        tensor([ 0.0000,  1.0000, 10.1293])
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(a: Tensor) -> Tensor:
        y = a + 3
        u = y.reciprocal()
        square = u.square()
        series = (1 / 12 - square * (1 / 360 - square * (1 / 1260 - square / 1680))).mul_(u)
        below = ((a + 1).mul_(u)).mul_((a + 2).mul_(u)).log_()
        power = (3 / a.clamp(min=SMALLEST)).log1p_().mul_(a)
        return (
            y.log_()
            .mul_(0.5)
            .add_(series)
            .sub_(below)
            .add_(power)
            .add_(0.5 * math.log(2 * math.pi) - 3)
        )

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> Tensor:
        (slope,) = slopes
        (a,) = ctx.saved_tensors
        u = (a + 3).reciprocal()
        square = u.square()
        series = u / 2 + square * (1 / 12 - square * (1 / 120 - square / 252))
        below = (a + 1).reciprocal() + (a + 2).reciprocal()
        return slope * ((3 / a.clamp(min=SMALLEST)).log1p() - series - below)


class Deviance(torch.autograd.Function):
    """``x log(x / m) + m - x >= 0`` of a count ``x`` at mean ``m``; differentiable in ``m`` alone.

    Example:
        >>> x, m = torch.tensor([0.0, 1e8]), torch.tensor([3.0, 1e8 + 1e4])
        >>> Deviance.apply(m, x).round(decimals=4)
        tensor([3.0000, 0.5000])
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(m: Tensor, x: Tensor) -> Tensor:
        positive = x.clamp(min=SMALLEST)
        return _log_excess((m - positive) / positive, m / positive).mul_(positive)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None]:
        (slope,) = slopes
        m, x = ctx.saved_tensors
        return slope * ((m - x) / m), None


class NegativeBinomialDeviance(torch.autograd.Function):
    """``x log(x / m) - (x + c) log((x + c) / (m + c)) >= 0``; differentiable in ``m`` and ``c``.

    With ``w = c (x - m) / (m (x + c))``, ``v = (x - m) / (m + c)`` and ``e(w) = w - log(1 + w)`` it
    is ``x log(1 + w) + c (e(v) - v)``, and ``c w v - x e(w) + c e(v)`` where ``w`` is small.

    Example:
        >>> m, c, x = torch.tensor([4.0, 1e8]), torch.tensor([2.0, 1e8]), torch.tensor([0.0, 1e8])
        >>> NegativeBinomialDeviance.apply(m, c, x).round(decimals=4)
        tensor([2.1972, 0.0000])
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(m: Tensor, c: Tensor, x: Tensor) -> Tensor:
        away, total = x - m, x + c
        w, v = away / m * (c / total), away / (m + c)
        one_plus_v = total / (m + c)
        one_plus_w = (x / m / one_plus_v).clamp(min=SMALLEST)
        excess = _log_excess(v, one_plus_v)
        near = c * (w * v + excess) - x * _log_excess(w, one_plus_w)
        far = x * one_plus_w.log_() + c * (excess - v)
        return torch.where(w.abs_() < SMALL_EXCESS, near, far)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, Tensor, None]:
        (slope,) = slopes
        m, c, x = ctx.saved_tensors
        v = (x - m) / (m + c)
        return -slope * v * (c / m), slope * _log_excess(v, (x + c) / (m + c)), None


def _log_excess(w: Tensor, one_plus_w: Tensor) -> Tensor:
    """``w - log(1 + w) >= 0``, from ``w`` where it is small and from ``1 + w`` elsewhere."""
    v = w / (w + 2)
    square = v.square()
    # log(1 + w) = 2 atanh(v), and w - 2 v = w v
    powers = 1 / 3 + square * (1 / 5 + square * (1 / 7 + square / 9))
    near, far = v * (w - 2 * square * powers), w - one_plus_w.log()
    # torch.where takes ten times the time of a sum
    return far.add_((near - far).mul_((w.abs() < SMALL_EXCESS).to(w.dtype)))
