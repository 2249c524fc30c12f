"""Distributions with detached parameters."""

from __future__ import annotations

import copy
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
    return _detach(q, {})


def _detach(value: Any, seen: dict[int, Any]) -> Any:
    if isinstance(value, Tensor):
        return value.detach()
    if isinstance(value, (Distribution, Transform)):
        if id(value) not in seen:  # a transform and its cached inverse refer to each other
            detached = seen[id(value)] = copy.copy(value)
            fields = vars(value).items()
            detached.__dict__.update({name: _detach(field, seen) for name, field in fields})
        return seen[id(value)]
    if isinstance(value, (list, tuple)):
        return type(value)(_detach(item, seen) for item in value)
    return value
