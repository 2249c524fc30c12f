"""Copies of distributions with other parameter tensors."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.distributions import Distribution, Transform


def detach_distribution(q: Distribution) -> Distribution:
    """The same distribution with detached parameters.

    Gradients of its density reach the argument only.

    Args:
        q: Distribution.

    Returns:
        A distribution of the same family; the parameters of ``q`` do not change.

    Example:
        >>> import torch
        >>> loc = torch.zeros(2, requires_grad=True)
        >>> detach_distribution(torch.distributions.Normal(loc, 1.0)).loc.requires_grad
        False
    """
    return map_tensors(Tensor.detach, q)


def map_tensors(function: Callable[[Tensor], Tensor], value: Any) -> Any:
    """A copy of a distribution, or of a list of them, with the function of each of its tensors.

    Example:
        >>> import torch
        >>> q = torch.distributions.Normal(torch.zeros(2), torch.ones(2))
        >>> map_tensors(Tensor.double, q).sample().dtype
        torch.float64
    """
    return _map_tensors(function, value, {})


def _map_tensors(function: Callable[[Tensor], Tensor], value: Any, seen: dict[int, Any]) -> Any:
    if isinstance(value, Tensor):
        return function(value)
    if isinstance(value, (Distribution, Transform)):
        if id(value) not in seen:  # a transform and its cached inverse refer to each other
            mapped = seen[id(value)] = copy.copy(value)
            fields = vars(value).items()
            mapped.__dict__.update(
                {name: _map_tensors(function, field, seen) for name, field in fields}
            )
        return seen[id(value)]
    if isinstance(value, (list, tuple)):
        return type(value)(_map_tensors(function, item, seen) for item in value)
    return value
