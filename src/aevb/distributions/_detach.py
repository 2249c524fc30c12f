"""A distribution whose parameters no gradient reaches."""

from __future__ import annotations

import copy
from typing import Any

from torch import Tensor
from torch.distributions import Distribution, Transform


def detach_distribution(q: Distribution) -> Distribution:
    """The same distribution with every parameter detached: the density's gradient then flows through its argument alone.

    >>> import torch
    >>> loc = torch.zeros(2, requires_grad=True)
    >>> stopped(torch.distributions.Normal(loc, 1.0)).loc.requires_grad
    False
    """
    return _detach(q, {})


def _detach(value: Any, seen: dict[int, Any]) -> Any:
    if isinstance(value, Tensor):
        return value.detach()
    if isinstance(value, (Distribution, Transform)):
        if (
            id(value) not in seen
        ):  # a transform and its inverse hold each other once either has been asked for
            twin = seen[id(value)] = copy.copy(value)
            twin.__dict__.update({name: _detach(held, seen) for name, held in vars(value).items()})
        return seen[id(value)]
    if isinstance(value, (list, tuple)):
        return type(value)(_detach(held, seen) for held in value)
    return value
