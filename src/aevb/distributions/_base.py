"""Base class of the distributions in this package."""

from __future__ import annotations

from torch import Size, Tensor
from torch.distributions import Distribution, constraints
from torch.types import _size


class BaseDistribution(Distribution):
    """Base class: unvalidated parameters; the support is a class attribute or a property."""

    # torch declares a property here, but its own distributions have class attributes
    arg_constraints: dict[str, constraints.Constraint] = {}  # pyright: ignore[reportIncompatibleMethodOverride] # fmt: skip
    fixed_support: constraints.Constraint | None = None

    def __init__(self, batch_shape: _size = Size(), event_shape: _size = Size()) -> None:
        super().__init__(Size(batch_shape), Size(event_shape), validate_args=False)

    @property
    def support(self) -> constraints.Constraint | None:
        return self.fixed_support

    @property
    def expectation(self) -> Tensor:
        """The mean of every cell, ``[*batch, *event]``; ``mean`` may hold another point value."""
        return self.mean


def expectation(p: Distribution) -> Tensor:
    """The mean of every cell, also where ``p.mean`` holds another value that stands for it.

    Args:
        p: Any distribution.

    Returns:
        ``[*batch, *event]``.
    """
    return p.expectation if isinstance(p, BaseDistribution) else p.mean
