"""Comparison of the supports of distributions."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from .._random import seed_scope
from ._quantised import CodebookSupport
from ._sphere import unit_sphere

SUPPORT_CHECK_SAMPLES = 64
FAR_POINT = 1e6 + 0.5  # outside every bounded interval, and no count
# sets without a volume: a density on such a set is no density on another set
VOLUMELESS_SUPPORTS = (type(constraints.simplex), type(unit_sphere))


def has_mass_outside(q: Distribution, p: Distribution) -> bool:
    """Whether ``q`` has mass where ``p`` has none, so that ``KL(q || p)`` is infinite.

    The supports decide where both are intervals or the same set; otherwise draws from ``q`` decide.

    Example:
        >>> from torch.distributions import Exponential, Normal
        >>> (
        ...     has_mass_outside(Normal(5.0, 0.1), Exponential(1.0)),
        ...     has_mass_outside(Exponential(1.0), Normal(0.0, 1.0)),
        ... )
        (True, False)
    """
    of_q, of_p = element_constraint(q.support), element_constraint(p.support)
    if of_q is None or of_p is None:
        return False
    if of_q.is_discrete != of_p.is_discrete:
        return True
    if type(of_q) is not type(of_p) and (
        isinstance(of_q, VOLUMELESS_SUPPORTS) or isinstance(of_p, VOLUMELESS_SUPPORTS)
    ):
        return True
    if isinstance(of_q, CodebookSupport) or isinstance(of_p, CodebookSupport):
        return not (
            isinstance(of_q, CodebookSupport)
            and isinstance(of_p, CodebookSupport)
            and of_q.key == of_p.key
        )
    q_ends, p_ends = _interval_ends(of_q), _interval_ends(of_p)
    if q_ends is not None and p_ends is not None:
        return bool((q_ends[0] < p_ends[0]).any() or (q_ends[1] > p_ends[1]).any())
    if type(of_q) is type(of_p) and not vars(of_q):
        return False
    return not _support_contains_samples(q, p)


def has_real_support(p: Distribution) -> bool:
    """Whether every real number has a density, so that latents can move freely.

    Example:
        >>> from torch.distributions import Exponential, Normal
        >>> has_real_support(Normal(0.0, 1.0)), has_real_support(Exponential(1.0))
        (True, False)
    """
    far = torch.full(p.event_shape, FAR_POINT, dtype=p.mean.dtype, device=p.mean.device)
    return p.support is None or all(bool(p.support.check(point).all()) for point in (far, -far))


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
    """Ends of an interval, or ``None`` for other constraints."""
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
