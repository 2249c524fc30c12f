"""Which combinations to try where trying all of them would show nothing more: chosen by a rule, the same ones every time."""

from collections.abc import Iterable
from typing import Any


def few(*axes: Iterable[Any], times: int = 2) -> list[tuple[Any, ...]]:
    """Combinations in which every value of every axis occurs at least ``times`` times, each time beside other values where there are any.

    The longest axis is walked ``times`` times; the others are walked beside it, each begun one further in each round than the axis before.
    """
    held = [list(axis) for axis in axes]
    longest = max(len(axis) for axis in held)
    rows = [(i, turn) for turn in range(times) for i in range(longest)]
    return list(
        dict.fromkeys(
            tuple(axis[(i + turn * place) % len(axis)] for place, axis in enumerate(held))
            for i, turn in rows
        )
    )
