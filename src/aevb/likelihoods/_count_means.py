"""Means of counts from the output of a network: of each cell, or shares of the library size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, cat, zeros_like

from ..distributions import to_rate
from ..errors import ArgumentError
from ..networks._condition import Condition
from ..networks._library_size import LibrarySize
from ._location_scale import check_unit


@dataclass(frozen=True)
class CountMeans:
    """Means ``unit * exp(l)``; with a library size ``s``, ``s * exp(l) / sum(exp(l))``.

    Args:
        unit: The mean where ``l`` is 0.
        event_rank: Number of axes of an event.
        place: The place of the library size in the context; ``None`` without.
        reference: The library size where the context is 0.
    """

    unit: float
    event_rank: int
    place: int | None = None
    reference: float = 1.0

    @classmethod
    def for_condition(
        cls, unit: float, event_shape: Sequence[int], condition: Condition | None
    ) -> CountMeans:
        """The means under a condition, which may have a ``LibrarySize``."""
        place, unit = 0, check_unit(unit)
        for variable in () if condition is None else condition.variables:
            if isinstance(variable, LibrarySize):
                return cls(unit, len(event_shape), place, variable.reference)
            place += variable.width
        if condition is not None:
            raise ArgumentError(
                "give a condition with a LibrarySize, or none",
                argument="condition",
                value=condition.names,
            )
        return cls(unit, len(event_shape))

    def without_library(self, context: Tensor | None) -> Tensor | None:
        """The context of the network, which makes shares and does not see the library size."""
        if self.place is None or context is None:
            return context
        left, right = context[..., : self.place], context[..., self.place + 1 :]
        return cat([left, zeros_like(context[..., :1]), right], -1)

    def __call__(self, raw: Tensor, context: Tensor | None) -> Tensor:
        """The means ``[*batch, *event]``."""
        rate = to_rate(raw)
        if self.place is None or context is None:
            return self.unit * rate
        axes = tuple(range(-self.event_rank, 0))
        size = self.reference * context[..., self.place].exp()
        size = size.reshape(*size.shape, *[1] * self.event_rank)
        return size * rate / rate.sum(axes, keepdim=True)
