"""Whether rows follow one another in time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

PAIRS = 1000  # of neighbours
ALIKE = 0.5  # a ratio below it: films and series are below 0.1, rows sorted by class near 0.8, independent ones at 1


def succession(total: int, rows: Callable[[np.ndarray], np.ndarray]) -> float | None:
    """``E|x_{i+1} - x_i|^2`` over ``2 sum_j Var(x_j)``, of up to ``PAIRS`` neighbours: 1 for independent rows, near 0 for frames of a film.

    ``rows`` gives the rows ``[n, *event]`` of row numbers ``[n]``. Von Neumann, Distribution of the ratio of the mean square successive
    difference to the variance (1941). ``None`` for fewer than 20 rows, empty cells, or rows that are all the same.

    >>> steps = np.random.default_rng(0).normal(size=(500, 2))
    >>> round(succession(500, lambda index: steps[index]), 1), succession(500, lambda index: steps.cumsum(0)[index]) < 0.1
    (1.0, True)
    """
    if total < 20:
        return None
    places = np.unique(np.linspace(0, total - 2, min(PAIRS, total - 1)).astype(int))
    first, second = (np.asarray(rows(part), dtype=np.float64).reshape(len(part), -1) for part in (places, places + 1))
    spread = 2 * first.var(0).sum()
    if not np.isfinite(spread) or not np.isfinite(second).all() or spread == 0:
        return None
    return float(((second - first) ** 2).sum(1).mean() / spread)


def order_said(total: int, rows: Callable[[np.ndarray], np.ndarray]) -> tuple[str, ...]:
    """The sentence for rows that a random split should not have torn apart."""
    ratio = succession(total, rows)
    if ratio is None or ratio >= ALIKE:
        return ()
    return (
        f"Rows that follow one another differ {ratio:.2f} times as much as any two: they are no independent draws, and a random split puts "
        'near-copies into all parts. Split by time, order="time".',
    )
