"""A fixed choice of combinations where trying all of them would show nothing more."""

from collections.abc import Iterable
from typing import Any


def few(*axes: Iterable[Any], times: int = 2) -> list[tuple[Any, ...]]:
    """Combinations in which every value of every axis occurs at least ``times`` times.

    The longest axis is traversed ``times`` times; the others are traversed in parallel, each
    with an offset that grows by 1 per round and axis, so that values meet different values.
    """
    values = [list(axis) for axis in axes]
    longest = max(len(axis) for axis in values)
    rows = [(i, turn) for turn in range(times) for i in range(longest)]
    return list(
        dict.fromkeys(
            tuple(axis[(i + turn * place) % len(axis)] for place, axis in enumerate(values))
            for i, turn in rows
        )
    )
