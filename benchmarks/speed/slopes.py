"""How a cost grows with a size, and whether it grows with time: slopes with intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rounds import bootstrap


def power(sizes: Sequence[float], seconds: np.ndarray) -> dict[str, float]:
    """The exponent ``a`` of ``seconds ~ size^a``: a line through the logarithms in every round ``[rounds, sizes]``, its median slope.

    A drift of the machine from round to round moves a line up and down and leaves its slope.
    """
    x, y = np.log(np.asarray(sizes, float)), np.log(seconds)
    return bootstrap(np.polyfit(x, y.T, 1)[0])


def last_decade(sizes: Sequence[float], seconds: np.ndarray) -> dict[str, float]:
    """The same over the sizes within a factor of ten of the largest: what is left when fixed costs no longer matter."""
    chosen = np.asarray(sizes) >= max(sizes) / 10
    return power(np.asarray(sizes)[chosen].tolist(), seconds[:, chosen])


def trend(values: Sequence[float], draws: int = 1000, block: int = 10) -> dict[str, float]:
    """Change from the first window to the last along a robust line (Theil and Sen), with a 95 % interval.

    The interval comes from residuals drawn in blocks of neighbours, since a machine that is slow now is likely to be slow in a moment.
    """
    y = np.asarray(values, float)
    x = np.arange(len(y), dtype=float)
    slope = _theil_sen(x, y)
    fitted = np.median(y - slope * x) + slope * x
    generator = np.random.default_rng(0)
    size = min(block, len(y))
    found = [_theil_sen(x, fitted + _shuffled(y - fitted, size, generator)) for _ in range(draws)]
    low, high = np.quantile(found, [0.025, 0.975])
    span = len(y) - 1
    return {"median": slope * span, "low": float(low) * span, "high": float(high) * span}


def _theil_sen(x: np.ndarray, y: np.ndarray) -> float:
    first, second = np.triu_indices(len(x), 1)
    return float(np.median((y[second] - y[first]) / (x[second] - x[first])))


def _shuffled(residuals: np.ndarray, block: int, generator: np.random.Generator) -> np.ndarray:
    count = -(-len(residuals) // block)
    starts = generator.integers(0, len(residuals) - block + 1, count)
    return np.concatenate([residuals[start : start + block] for start in starts])[: len(residuals)]
