"""Whether rows follow one another in time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

MAX_NEIGHBOUR_PAIRS = 1000  # of neighbours
ORDER_LAG = 8
MAX_VON_NEUMANN_RATIO = 0.5  # neighbours of a film differ a quarter as much as any two rows, those of independent rows as much
MIN_NEXT_CLOSER_FRACTION = (
    2 / 3
)  # the share of rows nearer to the next than to one LAG steps on: 3/4 in a film, 1/2 to 0.6 in rows that are sorted


@dataclass(frozen=True)
class TemporalOrder:
    """How much neighbours differ, by ``2 sum_j Var(x_j)``, and how often a row is nearer to the next than to one ``LAG`` steps on."""

    von_neumann_ratio: float  # 1 for independent rows
    next_closer_fraction: float  # 1/2 for rows in any order inside of groups

    @property
    def is_ordered(self) -> bool:
        """Whether rows follow one another: neighbours are alike, and the more so the nearer. Sorted rows are only alike."""
        return (
            self.von_neumann_ratio < MAX_VON_NEUMANN_RATIO
            and self.next_closer_fraction > MIN_NEXT_CLOSER_FRACTION
        )


def measure_temporal_order(
    total: int, read_rows: Callable[[np.ndarray], np.ndarray]
) -> TemporalOrder | None:
    """``E|x_{i+1} - x_i|^2`` over ``2 sum_j Var(x_j)``, and how often ``x_i`` is nearer to ``x_{i+1}`` than to ``x_{i+LAG}``.

    ``rows`` gives the rows ``[n, *event]`` of row numbers ``[n]``; up to ``PAIRS`` of all ``total`` are looked at. ``None`` for fewer than
    20 rows, empty cells, or rows that are all the same. Von Neumann, Distribution of the ratio of the mean square successive difference to
    the variance (1941).

    >>> steps = np.random.default_rng(0).normal(size=(500, 2))
    >>> (
    ...     succession(500, lambda index: steps[index]).timely,
    ...     succession(500, lambda index: steps.cumsum(0)[index]).timely,
    ... )
    (False, True)
    """
    if total < 20:
        return None
    places = np.unique(
        np.linspace(0, total - 1 - ORDER_LAG, min(MAX_NEIGHBOUR_PAIRS, total - ORDER_LAG)).astype(
            int
        )
    )
    first, near, far = (
        np.asarray(read_rows(places + lag), dtype=np.float64).reshape(len(places), -1)
        for lag in (0, 1, ORDER_LAG)
    )
    spread = 2 * first.var(0).sum()
    if not all(np.isfinite(part).all() for part in (first, near, far)) or spread == 0:
        return None
    here, there = (((part - first) ** 2).sum(1) for part in (near, far))
    return TemporalOrder(float(here.mean() / spread), float((here < there).mean()))


def temporal_order_notes(order: TemporalOrder | None) -> tuple[str, ...]:
    """The sentence for rows that a random split should not have torn apart."""
    if order is None:
        return ()
    return (
        f"Rows that follow one another differ {order.von_neumann_ratio:.2f} times as much as any two: they are no independent draws, and a random split "
        'puts near-copies into all parts. Split by time, order="time".',
    )
