"""Conditions on single cells of a row."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..errors import ArgumentError

Intervals = tuple[tuple[float, float], ...]
ANY_NUMBER: Intervals = ((-math.inf, math.inf),)


@dataclass(frozen=True)
class CellCondition:
    """The values that a cell may have.

    Args:
        cell: The place of the cell in the event, in row-major order.
        intervals: Closed intervals of possible values, ascending and apart, in the form in which
            the model's rows hold the cell; of a table of mixed columns, encoded numbers.
        text: The condition as its author wrote it.

    Raises:
        ArgumentError: There is no interval, or one has no value.

    Example:
        >>> CellCondition(3, ((2.5, 2.5),)).value, CellCondition(3, ((60.0, math.inf),)).value
        (2.5, None)
    """

    cell: int
    intervals: Intervals
    text: str = ""

    def __post_init__(self) -> None:
        """Check the intervals."""
        if not self.intervals or not all(low <= high for low, high in self.intervals):
            raise ArgumentError(
                "give intervals with their lower end first",
                argument="intervals",
                value=self.intervals,
            )

    @property
    def value(self) -> float | None:
        """The only possible value; ``None`` where there are several."""
        low, high = self.intervals[0]
        return low if low == high and len(self.intervals) == 1 else None


def intersect(first: Intervals, second: Intervals) -> Intervals:
    """The values in both sets of intervals.

    >>> intersect(((0, 3), (5, 9)), ((2, 6),))
    ((2, 3), (5, 6))
    """
    both = [(max(a, c), min(b, d)) for a, b in first for c, d in second if max(a, c) <= min(b, d)]
    return tuple(sorted(both))
