"""Roots of increasing functions."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

ROOT_ITERATIONS = 24  # bisection alone would reach 2^-24 of the interval; Newton steps are faster

FunctionWithSlope = Callable[[Tensor], tuple[Tensor, Tensor]]


@torch.no_grad()
def increasing_root(
    function: FunctionWithSlope, low: Tensor, high: Tensor, iterations: int = ROOT_ITERATIONS
) -> Tensor:
    """Root of an increasing function in a bracket, elementwise, by Newton steps and bisection.

    The function returns its value and its slope.

    Example:
        >>> increasing_root(
        ...     lambda x: (x**3 - 8, 3 * x**2), torch.tensor(0.0), torch.tensor(10.0)
        ... ).round(decimals=4)
        tensor(2.)
    """
    x = (low + high) / 2
    for iteration in range(iterations):
        over, slope = function(x)
        low, high = torch.where(over > 0, low, x), torch.where(over > 0, x, high)
        step = x - over / slope
        # steps from end to end of the bracket can go round in a circle: every other one is shorter
        reach = (high - low) * (1.0 if iteration % 2 else 0.5)
        newton = (step >= low) & (step <= high) & ((step - x).abs() <= reach)
        x = torch.where(newton, step, (low + high) / 2)
    return x


def differentiable_root(function: FunctionWithSlope, low: Tensor, high: Tensor) -> Tensor:
    """The same root with a gradient in the parameters of the function, by one more Newton step."""
    x = increasing_root(function, low, high)
    over, slope = function(x)
    return x - over / slope.detach()
