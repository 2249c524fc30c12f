"""Whether consecutive rows are ordered in time."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..notes import Argument, Note, message

MAX_NEIGHBOUR_PAIRS = 1000
MIN_NEIGHBOUR_PAIRS, MAX_NEIGHBOUR_CELLS = 100, 1 << 20  # wide rows are compared in fewer pairs
ORDER_LAG = 8
# Frames of a film have a ratio of 1/4, independent rows have a ratio of 1.
MAX_VON_NEUMANN_RATIO = 0.5
# The share is 3/4 in a film, and 1/2 to 0.6 in sorted rows.
MIN_NEXT_CLOSER_FRACTION = 2 / 3


@dataclass(frozen=True)
class TemporalOrder:
    """Statistics that distinguish rows in temporal order from independent and from sorted rows.

    Args:
        von_neumann_ratio: ``E|x_{i+1} - x_i|^2 / (2 sum_j Var(x_j))``, 1 for independent rows.
        next_closer_fraction: How often a row is closer to the next row than to the row
            ``ORDER_LAG`` steps later; 1/2 for rows without order inside groups.
    """

    von_neumann_ratio: float
    next_closer_fraction: float

    @property
    def is_ordered(self) -> bool:
        """Whether neighbours are similar, and more similar the closer they are.

        Sorted rows are similar to their neighbours at every distance.
        """
        return (
            self.von_neumann_ratio < MAX_VON_NEUMANN_RATIO
            and self.next_closer_fraction > MIN_NEXT_CLOSER_FRACTION
        )


def measure_temporal_order(
    total: int, read_rows: Callable[[np.ndarray], np.ndarray]
) -> TemporalOrder | None:
    """Measure the temporal order of rows on at most ``MAX_NEIGHBOUR_PAIRS`` pairs.

    The columns of a table count equally, whatever their units; columns that always rise or always
    fall do not count, because they are numbers of rows, or what the table was sorted by.

    Von Neumann, Distribution of the ratio of the mean square successive difference to the variance
    (1941).

    Args:
        total: The number of rows.
        read_rows: Reads rows ``[n, *event]`` by their numbers ``[n]``.

    Returns:
        The statistics; ``None`` for fewer than 20 rows, missing values, or rows that are all equal.

    >>> steps = np.random.default_rng(0).normal(size=(500, 2))
    >>> (
    ...     measure_temporal_order(500, lambda index: steps[index]).is_ordered,
    ...     measure_temporal_order(500, lambda index: steps.cumsum(0)[index]).is_ordered,
    ... )
    (False, True)
    """
    if total < 20:
        return None
    width = math.prod(read_rows(np.arange(1)).shape[1:])
    n_pairs = max(MIN_NEIGHBOUR_PAIRS, MAX_NEIGHBOUR_CELLS // max(width, 1))
    n_pairs = min(n_pairs, MAX_NEIGHBOUR_PAIRS, total - ORDER_LAG)
    places = np.unique(np.linspace(0, total - 1 - ORDER_LAG, n_pairs).astype(int))
    read = [np.array(read_rows(places + lag), np.float64) for lag in (0, 1, ORDER_LAG)]
    if read[0].ndim == 2:
        _standardise_columns(read)
    first, near, far = (part.reshape(len(places), -1) for part in read)
    spread = 2 * first.var(0).sum()
    if not all(np.isfinite(part).all() for part in (first, near, far)) or spread == 0:
        return None
    to_near, to_far = (((part - first) ** 2).sum(1) for part in (near, far))
    return TemporalOrder(float(to_near.mean() / spread), float((to_near < to_far).mean()))


def _standardise_columns(parts: list[np.ndarray]) -> None:
    """Divide columns by their deviation in place; constant and monotone columns become 0."""
    first, near, _ = parts
    step = near - first
    deviation = first.std(0)
    used = ~((step > 0).all(0) | (step < 0).all(0)) & (deviation > 0)
    mean = first.mean(0)
    for part in parts:
        part -= mean
        part[:, ~used] = 0.0
        part /= np.where(used, deviation, 1.0)


def temporal_order_notes(order: TemporalOrder | None) -> tuple[Note, ...]:
    """The warning that a random split separated rows that depend on each other."""
    if order is None:
        return ()
    return (
        Note(
            "temporal_order",
            message(
                "Consecutive rows differ {ratio} times as much as two random rows: rows are not "
                "independent, and a random split puts near-copies into all parts. "
                "Split by time: {order}.",
                ratio=f"{order.von_neumann_ratio:.2f}",
                order=Argument("order", "time"),
            ),
            "warning",
            {"von_neumann_ratio": order.von_neumann_ratio},
        ),
    )
