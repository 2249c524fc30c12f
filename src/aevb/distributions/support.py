"""Where one distribution has mass that another has not."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from ..random import seeded
from .quantised import Coded
from .sphere import sphere

DRAWS = 64
FAR = 1e6 + 0.5  # inside of no interval, and no count
THIN = (type(constraints.simplex), type(sphere))  # sets without a volume: a density on one is none on another


def reaches_beyond(q: Distribution, p: Distribution) -> bool:
    """Whether ``q`` has mass where ``p`` has none, so that ``KL(q || p)`` is infinite.

    Decided by the supports where both are intervals or both are the same set, else by some draws from ``q``.

    >>> from torch.distributions import Exponential, Normal
    >>> reaches_beyond(Normal(5.0, 0.1), Exponential(1.0)), reaches_beyond(Exponential(1.0), Normal(0.0, 1.0))
    (True, False)
    """
    mine, theirs = core(q.support), core(p.support)
    if mine is None or theirs is None:
        return False
    if mine.is_discrete != theirs.is_discrete:
        return True
    if type(mine) is not type(theirs) and (isinstance(mine, THIN) or isinstance(theirs, THIN)):
        return True
    if isinstance(mine, Coded) or isinstance(theirs, Coded):
        return not (isinstance(mine, Coded) and isinstance(theirs, Coded) and mine.key == theirs.key)
    here, there = _interval(mine), _interval(theirs)
    if here is not None and there is not None:
        return bool((here[0] < there[0]).any() or (here[1] > there[1]).any())
    if type(mine) is type(theirs) and not vars(mine):
        return False
    return not _holds_draws(q, p)


def is_real(p: Distribution) -> bool:
    """Whether every real number has a density: codes may then move wherever they like.

    >>> from torch.distributions import Exponential, Normal
    >>> is_real(Normal(0.0, 1.0)), is_real(Exponential(1.0))
    (True, False)
    """
    far = torch.full(p.event_shape, FAR, dtype=p.mean.dtype, device=p.mean.device)
    return p.support is None or all(bool(p.support.check(place).all()) for place in (far, -far))


def _holds_draws(q: Distribution, p: Distribution) -> bool:
    with seeded(0, q.mean.device):
        draws = q.sample((DRAWS,))
    support = p.support
    return support is None or bool(support.check(draws).all())


def core(support: constraints.Constraint | None) -> constraints.Constraint | None:
    """The constraint on one element."""
    return core(support.base_constraint) if isinstance(support, type(constraints.real_vector)) else support


def _interval(support: constraints.Constraint) -> tuple[Tensor, Tensor] | None:
    """The ends of an interval, or ``None`` for what is none."""
    ends = {name: value for name, value in vars(support).items() if name in ("lower_bound", "upper_bound")}
    if not ends and not isinstance(support, type(constraints.real)):
        return None
    return torch.as_tensor(ends.get("lower_bound", -math.inf)), torch.as_tensor(ends.get("upper_bound", math.inf))
