"""Distinct values of a column with their counts, in bounded memory; parts can be merged."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

MAX_VALUES = 8192  # distinct values that are held with their exact counts
MAX_FREQUENT = 256  # further values that are held because they occur most often
MAX_DECIMALS = 6
_NO_GRID = -1


@dataclass(frozen=True)
class Moments:
    """Sums of powers about the mean, which can be merged (Chan et al. 1979, Pebay 2008).

    Args:
        count: The number of values.
        mean: Their mean.
        m2: The sum of squares of the differences from the mean.
        m3: The sum of their third powers.
        m4: The sum of their fourth powers.

    >>> x = np.arange(5.0)
    >>> bool((Moments.of(x[:2]) + Moments.of(x[2:])).variance == x.var())
    True
    """

    count: float = 0.0
    mean: float = 0.0
    m2: float = 0.0
    m3: float = 0.0
    m4: float = 0.0

    @classmethod
    def of(cls, values: np.ndarray, counts: np.ndarray | None = None) -> Moments:
        """The moments of values that occur ``counts`` times."""
        if not len(values):
            return cls()
        weights = np.ones(len(values)) if counts is None else counts.astype(np.float64)
        total = float(weights.sum())
        mean = float(weights @ values / total)
        difference = values - mean
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            square = difference * difference
            weighted = weights * square
            sums = float(weighted.sum()), float(weighted @ difference), float(weighted @ square)
        return cls(total, mean, *sums)

    def __add__(self, other: Moments) -> Moments:
        """The moments of both."""
        if not self.count or not other.count:
            return other if not self.count else self
        a, b = self.count, other.count
        n, d = a + b, other.mean - self.mean
        s = d / n
        return Moments(
            n,
            self.mean + b * s,
            self.m2 + other.m2 + d * s * a * b,
            self.m3 + other.m3 + d * s * s * a * b * (a - b) + 3 * s * (a * other.m2 - b * self.m2),
            self.m4
            + other.m4
            + d * s**3 * a * b * (a * a - a * b + b * b)
            + 6 * s * s * (a * a * other.m2 + b * b * self.m2)
            + 4 * s * (a * other.m3 - b * self.m3),
        )

    @property
    def variance(self) -> float:
        """The mean square of the differences from the mean."""
        return self.m2 / self.count if self.count else 0.0

    @property
    def deviation(self) -> float:
        """The standard deviation."""
        return float(np.sqrt(self.variance))

    @property
    def skewness(self) -> float:
        """The third standardised moment; 0 for equal values."""
        return self.m3 / self.count / self.variance**1.5 if self.m2 > 0 else 0.0

    @property
    def kurtosis(self) -> float:
        """The fourth standardised moment less 3; 0 for equal values."""
        return self.m4 / self.count / self.variance**2 - 3 if self.m2 > 0 else 0.0


@dataclass(frozen=True, eq=False)
class NumberCounts:
    """Distinct numbers with their counts.

    Up to ``MAX_VALUES`` distinct numbers are held with their counts. Of more the
    numbers with the least hashes remain, which is a sample that does not depend on the order of
    rows or on how they were divided, and those that occur most often; the rest is summed.

    Args:
        values: Distinct numbers, ascending.
        counts: How often each occurs.
        rest: The moments of numbers that are not held.
        rest_logs: The moments of the logarithms of those that are positive.
        low: The least number.
        high: The greatest number.
        grid: The greatest number that divides all, in units of 1e-6; 0 for zeros alone, -1 where
            there is none.
        whole: Whether all are whole numbers.

    >>> NumberCounts.of(np.array([2.0, 1.5, 2.0])).step
    0.5
    """

    values: np.ndarray = field(default_factory=lambda: np.empty(0))
    counts: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    rest: Moments = Moments()
    rest_logs: Moments = Moments()
    low: float = np.inf
    high: float = -np.inf
    grid: int = 0
    whole: bool = True

    @classmethod
    def of(cls, x: np.ndarray, single: bool = False) -> NumberCounts:
        """The counts of finite numbers.

        Args:
            x: Numbers, float64 ``[N]``, none missing or infinite.
            single: Whether they were float32.
        """
        return cls.of_counts(*_unique(x), single)

    @classmethod
    def of_counts(
        cls, values: np.ndarray, counts: np.ndarray, single: bool = False
    ) -> NumberCounts:
        """The counts of distinct numbers, ascending."""
        if not len(values):
            return cls()
        whole = bool((values == np.rint(values)).all())
        found = cls(
            values,
            counts,
            low=float(values[0]),
            high=float(values[-1]),
            grid=_common_divisor(values, whole, single),
            whole=whole,
        )
        return found._prune()

    def __add__(self, other: NumberCounts) -> NumberCounts:
        """The counts of both."""
        values = np.concatenate([self.values, other.values])
        values, places = np.unique(values, return_inverse=True)
        counts = np.concatenate([self.counts, other.counts])
        return NumberCounts(
            values,
            np.bincount(places, counts, len(values)).astype(np.int64),
            self.rest + other.rest,
            self.rest_logs + other.rest_logs,
            min(self.low, other.low),
            max(self.high, other.high),
            _NO_GRID if _NO_GRID in (self.grid, other.grid) else int(np.gcd(self.grid, other.grid)),
            self.whole and other.whole,
        )._prune()

    def _prune(self) -> NumberCounts:
        """The same with the numbers of the least hashes and the most frequent ones."""
        if len(self.values) <= MAX_VALUES:
            return self
        keep = self.sampled | _most_frequent(self.counts)
        values, counts = self.values[~keep], self.counts[~keep]
        positive = values > 0
        return replace(
            self,
            values=self.values[keep],
            counts=self.counts[keep],
            rest=self.rest + Moments.of(values, counts),
            rest_logs=self.rest_logs + Moments.of(np.log(values[positive]), counts[positive]),
        )

    @cached_property
    def sampled(self) -> np.ndarray:
        """Which of the values are a sample of all distinct ones: those of the least hashes."""
        if len(self.values) <= MAX_VALUES:
            return np.ones(len(self.values), dtype=bool)
        hashes = _hash(self.values)
        return hashes <= np.partition(hashes, MAX_VALUES - 1)[MAX_VALUES - 1]

    @property
    def complete(self) -> bool:
        """Whether all distinct values are held."""
        return not self.rest.count

    @property
    def total(self) -> int:
        """The number of cells."""
        return int(self.counts.sum() + self.rest.count)

    @cached_property
    def distinct(self) -> int:
        """The number of distinct values; an estimate where not all are held."""
        if self.complete:
            return len(self.values)
        share = float(_hash(self.values[self.sampled]).max()) / 2.0**64
        return min(round((MAX_VALUES - 1) / share), self.total)

    @property
    def step(self) -> float:
        """The distance between the values, if all are multiples of a number, otherwise 0."""
        return self.grid / 10**MAX_DECIMALS if self.grid > 0 else 0.0

    @cached_property
    def moments(self) -> Moments:
        """The moments of all cells."""
        return Moments.of(self.values, self.counts) + self.rest

    @cached_property
    def log_moments(self) -> Moments:
        """The moments of the logarithms of positive cells."""
        positive = self.values > 0
        return Moments.of(np.log(self.values[positive]), self.counts[positive]) + self.rest_logs


@dataclass(frozen=True, eq=False)
class TextCounts:
    """Distinct texts with their counts; of more than ``MAX_VALUES`` those of the least hashes.

    Args:
        counts: How often each text occurs.
        rest: The number of cells with other texts.

    >>> (TextCounts.of({"a": 2}) + TextCounts.of({"a": 1, "b": 1})).counts
    {'a': 3, 'b': 1}
    """

    counts: Mapping[str, int] = field(default_factory=dict)
    rest: int = 0

    @classmethod
    def of(cls, counts: Mapping[str, int]) -> TextCounts:
        """The counts of texts."""
        if len(counts) <= MAX_VALUES:
            return cls(counts)
        hashes = np.fromiter(map(_hash_text, counts), np.uint32, len(counts))
        limit = np.partition(hashes, MAX_VALUES - 1)[MAX_VALUES - 1]
        kept = {
            text: count
            for (text, count), small in zip(counts.items(), (hashes <= limit).tolist(), strict=True)
            if small
        }
        return cls(kept, sum(counts.values()) - sum(kept.values()))

    def __add__(self, other: TextCounts) -> TextCounts:
        """The counts of both."""
        total = dict(self.counts)
        for text, count in other.counts.items():
            total[text] = total.get(text, 0) + count
        found = TextCounts.of(total)
        return replace(found, rest=found.rest + self.rest + other.rest)

    @property
    def total(self) -> int:
        """The number of cells."""
        return sum(self.counts.values()) + self.rest

    @cached_property
    def distinct(self) -> int:
        """The number of distinct texts; an estimate where not all are held."""
        if not self.rest:
            return len(self.counts)
        share = max(_hash_text(text) for text in self.counts) / 2.0**32
        return min(round((MAX_VALUES - 1) / share), self.total)


def _unique(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct numbers, ascending, with their counts; whole numbers of a short range at once."""
    if not len(x):
        return x, np.empty(0, dtype=np.int64)
    low, high = float(x.min()), float(x.max())
    if high - low < 2 * len(x) + 1024 and (x == np.rint(x)).all():
        counts = np.bincount((x - low).astype(np.int64))
        places = np.flatnonzero(counts)
        return places + low, counts[places]
    values, counts = np.unique(x + 0.0, return_counts=True)  # -0.0 becomes 0.0
    return values, counts


def _common_divisor(values: np.ndarray, whole: bool, single: bool) -> int:
    """The greatest number that divides all values, in units of 1e-6."""
    if whole and np.abs(values).max() < 2.0**62:
        return _divisor(values.astype(np.int64)) * 10**MAX_DECIMALS
    if np.abs(values).max() >= 2.0**31:
        return _NO_GRID
    rounded = np.round(values, MAX_DECIMALS)
    kind = np.float32 if single else np.float64
    if (rounded.astype(kind) != values.astype(kind)).any():
        return _NO_GRID
    return _divisor(np.rint(rounded * 10**MAX_DECIMALS).astype(np.int64))


def _divisor(numbers: np.ndarray) -> int:
    """The greatest common divisor."""
    first = int(np.gcd.reduce(numbers[:64]))
    return first if first == 1 else int(np.gcd(np.gcd.reduce(numbers), first))


def _hash(values: np.ndarray) -> np.ndarray:
    """Hashes of numbers, uint64 (splitmix64)."""
    bits = np.ascontiguousarray(values + 0.0).view(np.uint64)
    with np.errstate(over="ignore"):
        bits = bits + np.uint64(0x9E3779B97F4A7C15)
        bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


def _hash_text(text: str) -> int:
    """A hash of 32 bits that is the same in every process."""
    return zlib.crc32(text.encode("utf-8", "surrogatepass"))


def _most_frequent(counts: np.ndarray) -> np.ndarray:
    """Which values occur most often, and more than once."""
    found = np.zeros(len(counts), dtype=bool)
    found[np.argpartition(counts, -MAX_FREQUENT)[-MAX_FREQUENT:]] = True
    return found & (counts > 1)
