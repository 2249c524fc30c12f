"""Where one distribution has mass that another has not."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from .._random import seed_scope
from ._quantised import CodebookSupport
from ._sphere import unit_sphere

SUPPORT_CHECK_SAMPLES = 64
FAR_POINT = 1e6 + 0.5  # inside of no interval, and no count
VOLUMELESS_SUPPORTS = (
    type(constraints.simplex),
    type(unit_sphere),
)  # sets without a volume: a density on one is none on another


def has_mass_outside(q: Distribution, p: Distribution) -> bool:
    """Whether ``q`` has mass where ``p`` has none, so that ``KL(q || p)`` is infinite.

    Decided by the supports where both are intervals or both are the same set, else by some draws from ``q``.

    >>> from torch.distributions import Exponential, Normal
    >>> (
    ...     has_mass_outside(Normal(5.0, 0.1), Exponential(1.0)),
    ...     has_mass_outside(Exponential(1.0), Normal(0.0, 1.0)),
    ... )
    (True, False)
    """
    mine, theirs = element_constraint(q.support), element_constraint(p.support)
    if mine is None or theirs is None:
        return False
    if mine.is_discrete != theirs.is_discrete:
        return True
    if type(mine) is not type(theirs) and (
        isinstance(mine, VOLUMELESS_SUPPORTS) or isinstance(theirs, VOLUMELESS_SUPPORTS)
    ):
        return True
    if isinstance(mine, CodebookSupport) or isinstance(theirs, CodebookSupport):
        return not (
            isinstance(mine, CodebookSupport)
            and isinstance(theirs, CodebookSupport)
            and mine.key == theirs.key
        )
    here, there = _interval_ends(mine), _interval_ends(theirs)
    if here is not None and there is not None:
        return bool((here[0] < there[0]).any() or (here[1] > there[1]).any())
    if type(mine) is type(theirs) and not vars(mine):
        return False
    return not _support_contains_samples(q, p)


def has_real_support(p: Distribution) -> bool:
    """Whether every real number has a density: codes may then move wherever they like.

    >>> from torch.distributions import Exponential, Normal
    >>> has_real_support(Normal(0.0, 1.0)), has_real_support(Exponential(1.0))
    (True, False)
    """
    far = torch.full(p.event_shape, FAR_POINT, dtype=p.mean.dtype, device=p.mean.device)
    return p.support is None or all(bool(p.support.check(place).all()) for place in (far, -far))


def _support_contains_samples(q: Distribution, p: Distribution) -> bool:
    with seed_scope(0, q.mean.device):
        draws = q.sample((SUPPORT_CHECK_SAMPLES,))
    support = p.support
    return support is None or bool(support.check(draws).all())


def element_constraint(support: constraints.Constraint | None) -> constraints.Constraint | None:
    """The constraint on one element."""
    return (
        element_constraint(support.base_constraint)
        if isinstance(support, type(constraints.real_vector))
        else support
    )


def _interval_ends(support: constraints.Constraint) -> tuple[Tensor, Tensor] | None:
    """The ends of an interval, or ``None`` for what is none."""
    ends = {
        name: value
        for name, value in vars(support).items()
        if name in ("lower_bound", "upper_bound")
    }
    if not ends and not isinstance(support, type(constraints.real)):
        return None
    return torch.as_tensor(ends.get("lower_bound", -math.inf)), torch.as_tensor(
        ends.get("upper_bound", math.inf)
    )
