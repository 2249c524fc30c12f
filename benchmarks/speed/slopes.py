"""Growth of a cost with a size and with time: slopes with intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rounds import bootstrap


def power(sizes: Sequence[float], seconds: np.ndarray) -> dict[str, float]:
    """The exponent ``a`` of ``seconds ~ size^a``: the median slope over rounds ``[rounds, sizes]``.

    Drift of the machine from round to round shifts a line through the logarithms and keeps its
    slope.
    """
    x, y = np.log(np.asarray(sizes, float)), np.log(seconds)
    return bootstrap(np.polyfit(x, y.T, 1)[0])


def last_decade(sizes: Sequence[float], seconds: np.ndarray) -> dict[str, float]:
    """The exponent over the sizes within a factor of ten of the largest."""
    chosen = np.asarray(sizes) >= max(sizes) / 10
    return power(np.asarray(sizes)[chosen].tolist(), seconds[:, chosen])


def trend(values: Sequence[float], draws: int = 1000, block: int = 10) -> dict[str, float]:
    """The change from the first window to the last along a robust line (Theil and Sen).

    The 95 % interval comes from residuals drawn in blocks of neighbours, because the load of a
    machine persists for some time.
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
    """The median slope over all pairs."""
    first, second = np.triu_indices(len(x), 1)
    return float(np.median((y[second] - y[first]) / (x[second] - x[first])))


def _shuffled(residuals: np.ndarray, block: int, generator: np.random.Generator) -> np.ndarray:
    """Residuals drawn in blocks."""
    count = -(-len(residuals) // block)
    starts = generator.integers(0, len(residuals) - block + 1, count)
    return np.concatenate([residuals[start : start + block] for start in starts])[: len(residuals)]
