"""How well families of distributions fit a column of numbers, in nats per cell."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from ._value_counts import Moments, NumberCounts

MAX_FITTED = 2048  # distinct values that a fit looks at, evenly spaced
MAX_BINS = 20
MIN_CELLS_PER_BIN = 20
MIN_ATOM_SHARE = 0.01
MIN_ATOM_CELLS = 5
MAX_ATOMS = 16  # that make a column spiky
MAX_MODELLED_ATOMS = 128  # of a spiky column
MIN_EXCESS = 3.0  # of an atom, in units of the values around it
_T_QUARTILE = {3: 0.76489, 6: 0.71756, 12: 0.69548}  # of Student's t, by degrees of freedom
NORMAL_QUARTILE = 0.67449
LARGE = 20.0  # from which Stirling's series is exact to 1e-12


@dataclass(frozen=True, eq=False)
class NumberSample:
    """Distinct numbers with weights, as evidence of a distribution.

    Args:
        counts: The counts of the column.
    """

    counts: NumberCounts

    @cached_property
    def moments(self) -> Moments:
        """The moments of all cells."""
        return self.counts.moments

    @cached_property
    def _thinned(self) -> tuple[np.ndarray, np.ndarray]:
        values, weights = self.counts.values, self.counts.counts
        if not self.counts.complete:
            values, weights = values[self.counts.sampled], weights[self.counts.sampled]
        stride = -(-len(values) // MAX_FITTED)
        values, weights = values[::stride], weights[::stride]
        return values, weights / weights.sum()

    @property
    def values(self) -> np.ndarray:
        """Distinct values, ascending."""
        return self._thinned[0]

    @property
    def weights(self) -> np.ndarray:
        """The share of each value; their sum is 1."""
        return self._thinned[1]

    def quantiles(self, shares: np.ndarray) -> np.ndarray:
        """The values below which these shares of the cells lie."""
        places = np.searchsorted(np.cumsum(self.weights) - 1e-12, shares)
        return self.values[np.minimum(places, len(self.values) - 1)]

    def _mean(self, log_density: np.ndarray) -> float:
        return float(self.weights @ log_density)

    def normal(self) -> float:
        """A normal distribution."""
        return -0.5 * math.log(2 * math.pi * math.e * max(self.moments.variance, 1e-300))

    def logistic(self) -> float:
        """A logistic distribution with the mean and variance of the column."""
        scale = self.moments.deviation * math.sqrt(3) / math.pi
        z = np.abs(self.values - self.moments.mean) / scale
        return self._mean(-z - 2 * np.log1p(np.exp(-z))) - math.log(scale)

    def student_t(self) -> float:
        """The best of some Student t distributions with the median and quartiles of the column."""
        low, middle, high = self.quantiles(np.array([0.25, 0.5, 0.75]))
        if high <= low:
            return -math.inf
        square = ((self.values - middle) / (high - low) * 2) ** 2
        return max(
            math.lgamma((df + 1) / 2)
            - math.lgamma(df / 2)
            - 0.5 * math.log(df * math.pi)
            - math.log((high - low) / 2 / unit)
            - (df + 1) / 2 * self._mean(np.log1p(square * unit * unit / df))
            for df, unit in _T_QUARTILE.items()
        )

    def log_normal(self) -> float:
        """A log-normal distribution."""
        if self.counts.low <= 0:
            return -math.inf
        logs = self.counts.log_moments
        spread = 0.5 * math.log(2 * math.pi * math.e * max(logs.variance, 1e-300))
        return -logs.mean - spread

    def beta(self, low: float, high: float) -> float:
        """A Beta distribution on an interval, fitted by moments."""
        if self.counts.low <= low or self.counts.high >= high:
            return -math.inf
        width = high - low
        mean = (self.moments.mean - low) / width
        total = mean * (1 - mean) / (self.moments.variance / width**2) - 1
        if total <= 0:
            return -math.inf
        a, b = mean * total, (1 - mean) * total
        y = (self.values - low) / width
        norm = math.lgamma(a) + math.lgamma(b) - math.lgamma(total)
        return self._mean((a - 1) * np.log(y) + (b - 1) * np.log1p(-y)) - norm - math.log(width)

    def negative_binomial(self) -> float:
        """The best of some negative binomial distributions with the mean of the column."""
        mean, variance = self.moments.mean, self.moments.variance
        if self.counts.low < 0 or not self.counts.whole:
            return -math.inf
        size = mean * mean / max(variance - mean, 1e-3 * mean)
        r = size * 2.0 ** np.arange(-3, 3)[:, None]
        x = self.values[None]
        gammas = _lgamma(x + r) - _lgamma(r) - _lgamma(x + 1)
        mass = gammas + r * np.log(r / (r + mean)) + x * np.log(mean / (r + mean))
        return float((mass @ self.weights).max())


@dataclass(frozen=True, eq=False)
class Histogram:
    """Atoms, and bins for the other values.

    Args:
        atoms: Repeated values, ascending.
        edges: The edges of the bins, ascending.
        largest: The atom with the most cells.
        largest_share: The share of its cells.
        log_density: The mean log-density of a cell.
        penalty: The loss of log-density per cell that the number of parameters stands for (BIC).
    """

    atoms: tuple[float, ...]
    edges: tuple[float, ...]
    largest: float
    largest_share: float
    log_density: float
    penalty: float


def find_atoms(
    counts: NumberCounts, least: float = MIN_ATOM_SHARE, most: int = MAX_ATOMS
) -> np.ndarray:
    """Which of the values, at most ``most``, occur so often that they are atoms.

    An atom holds a share of at least ``least``; among the values of a grid it is also several times
    as frequent as the median of the values around it, by more than chance.
    """
    share = counts.counts / counts.total
    found = (share >= least) & (counts.counts >= MIN_ATOM_CELLS)
    if counts.step and found.any():
        around = _cells_around(counts, counts.step)
        found &= counts.counts >= MIN_EXCESS * around + 2 * MIN_ATOM_CELLS
    places = np.flatnonzero(found)
    chosen = np.zeros(len(share), dtype=bool)
    chosen[places[np.argsort(-share[places], kind="stable")][:most]] = True
    return chosen


def _cells_around(counts: NumberCounts, step: float) -> np.ndarray:
    """The median count of the three values of the grid on either side, within the range.

    A value of the grid that does not occur has the count 0.
    """
    places = np.rint(counts.values / step)
    around = np.zeros((6, len(places)))
    for row, offset in zip(around, (-3, -2, -1, 1, 2, 3), strict=True):
        wanted = places + offset
        near = np.clip(np.searchsorted(places, wanted), 0, len(places) - 1)
        row[:] = np.where(places[near] == wanted, counts.counts[near], 0)
        row[(wanted < places[0]) | (wanted > places[-1])] = np.nan
    around.sort(0)  # NaN is last
    known = np.count_nonzero(~np.isnan(around), 0)
    middle = np.stack([np.maximum(known - 1, 0) // 2, known // 2])
    return np.take_along_axis(around, middle, 0).mean(0)


def fit_histogram(counts: NumberCounts, atoms: np.ndarray, step: float) -> Histogram:
    """Atoms, and up to ``MAX_BINS`` bins of equal shares of the other values.

    Args:
        counts: The counts of the column.
        atoms: Which of the values are atoms.
        step: The grid of the values; 0 for real numbers.
    """
    n = counts.total
    held, others = counts.counts[atoms], ~atoms & counts.sampled
    weights = counts.counts[others].astype(np.float64)
    rest = n - int(held.sum())
    weights *= rest / max(weights.sum(), 1)
    edges = _bin_edges(counts.values[others], weights, step)
    order = int(held.argmax())
    return Histogram(
        tuple(counts.values[atoms].tolist()),
        tuple(edges.tolist()),
        float(counts.values[atoms][order]),
        float(held[order] / n),
        float(held @ np.log(held / n) / n)
        + _bins_log_density(edges, counts.values[others], weights / n, counts.values[atoms], step),
        0.5 * math.log(n) * (len(held) + len(edges) - 1) / n,
    )


def _bin_edges(values: np.ndarray, weights: np.ndarray, step: float) -> np.ndarray:
    """Edges of bins of about equal weights; between the values of a grid."""
    half = step / 2
    if not len(values):
        return np.empty(0)
    total = weights.sum()
    n_bins = int(np.clip(min(total // MIN_CELLS_PER_BIN, len(values)), 1, MAX_BINS))
    places = np.searchsorted(np.cumsum(weights), total * np.arange(1, n_bins) / n_bins)
    inner = values[places] + half
    low, high = values[0] - half, values[-1] + half
    if low == high:  # one real number: a bin needs a width
        low, high = low - 0.5 * max(abs(low), 1) * 1e-3, high + 0.5 * max(abs(high), 1) * 1e-3
    return np.unique(np.concatenate([[low], inner[(inner > low) & (inner < high)], [high]]))


def _bins_log_density(
    edges: np.ndarray, values: np.ndarray, shares: np.ndarray, atoms: np.ndarray, step: float
) -> float:
    """The contribution of the values in bins to the mean log-density of a cell."""
    if len(edges) < 2:
        return 0.0
    mass, _ = np.histogram(values, edges, weights=shares)
    width = np.diff(edges)
    if step:
        width = np.maximum(np.rint(width / step) - np.histogram(atoms, edges)[0], 1)
    used = mass > 0
    return float(mass[used] @ np.log(mass[used] / width[used]))


def _lgamma(x: np.ndarray) -> np.ndarray:
    """The logarithm of the gamma function; of large numbers by Stirling's series, to 1e-12."""
    if x.min() >= LARGE:
        tail = (1 / 12 - (1 / 360 - 1 / 1260 / x**2) / x**2) / x
        return (x - 0.5) * np.log(x) - x + 0.5 * math.log(2 * math.pi) + tail
    return torch.lgamma(torch.from_numpy(np.ascontiguousarray(x, dtype=np.float64))).numpy()
