"""A number with its interval, and the ways to make one without drawing any row twice.

Rows that are drawn with replacement come in copies, and a copy is its own nearest neighbour: Frechet distances, precision and recall, and
accuracies of neighbours move by more than another sample of rows would move them. So what is varied here are seeds, rows in groups that
are left out in turn (the jackknife), or random halves of the rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..data.words import count
from ..errors import ArgumentError, DataError

NORMAL = 1.959963984540054  # of a normal distribution, 97.5 % lies below
FEW = (12.706204736432095, 4.302652729911275, 3.182446305284263, 2.7764451051977987)  # the same of Student's t with 1 to 4 degrees
DECIMALS = 5  # at most
GROUPS = 20  # of rows, left out in turn
REPEATS = 20  # random halves: the standard error they give is itself off by a sixth


@dataclass(frozen=True)
class Ranged:
    """A value and its 95 % interval; ``how`` says what was varied to make it."""

    value: float
    low: float
    high: float
    how: str

    @property
    def known(self) -> bool:
        """Whether there was enough to make an interval of."""
        return math.isfinite(self.high - self.low)

    def figure(self, value: float) -> str:
        """A number with as many decimals as two figures of the interval's width have: more would say nothing.

        >>> found = Ranged(12.3456, 11.9, 12.8, "3 seeds")
        >>> found.figure(12.3456), str(found)
        ('12.35', '12.35 (11.90 to 12.80)')
        """
        if not self.known or self.high == self.low:
            return f"{value:.3g}"
        decimals = min(max(0, 1 - math.floor(math.log10(self.high - self.low))), DECIMALS)
        return f"{value:.{decimals}f}" if abs(value) < 1e6 else f"{value:.3g}"

    def __str__(self) -> str:
        return self.figure(self.value) + (f" ({self.figure(self.low)} to {self.figure(self.high)})" if self.known else "")


def student(degrees: int) -> float:
    """The 97.5 % point of Student's t distribution, to 1 %. Abramowitz and Stegun (1964), 26.7.5.

    >>> round(student(2), 3), round(student(19), 3), round(student(10_000), 2)
    (4.303, 2.093, 1.96)
    """
    if degrees <= len(FEW):
        return FEW[max(degrees, 1) - 1]
    z = NORMAL
    series = (z, (z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96, (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384)
    return sum(term / degrees**power for power, term in enumerate(series))


def around(value: float, error: float, degrees: int, how: str, bounds: tuple[float, float] = (-math.inf, math.inf)) -> Ranged:
    """``value ± t error``, inside of what the value can be."""
    reach = student(degrees) * error if math.isfinite(error) else math.inf
    return Ranged(value, min(value, max(bounds[0], value - reach)), max(value, min(bounds[1], value + reach)), how)


def over_seeds(values: Sequence[float]) -> Ranged:
    """The mean over runs with other seeds, by Student's t. Raises ``DataError`` for a single run.

    >>> found = over_seeds([1.0, 2.0, 3.0])
    >>> round(found.value, 2), round(found.high - found.value, 2), found.how
    (2.0, 2.48, '3 seeds')
    """
    if len(values) < 2:
        raise DataError(f"`values` holds {len(values)} number, and an interval over seeds needs at least 2.")
    table = torch.tensor(values, dtype=torch.float64)
    return around(table.mean().item(), table.std().item() / math.sqrt(len(values)), len(values) - 1, f"{len(values)} seeds")


def over_rows(values: Tensor, bounds: tuple[float, float] = (-math.inf, math.inf)) -> Ranged:
    """The mean of ``[N]`` values of independent rows, by Student's t."""
    values = values.double()
    error = values.std().item() / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return around(values.mean().item(), error, len(values) - 1, f"spread of {count(len(values), 'row')}", bounds)


def share(hits: Tensor) -> Ranged:
    """The share of rows ``[N]`` for which something is true, by Wilson's score (1927), which holds near 0 and 1, too.

    >>> print(share(torch.tensor([True] * 9 + [False])))
    0.90 (0.60 to 0.98)
    """
    return wilson(hits.double().mean().item(), len(hits))


def wilson(p: float, n: int) -> Ranged:
    """The interval of a share ``p`` of ``n`` rows."""
    z = NORMAL
    middle, reach = p + z**2 / (2 * n), z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    low, high = ((middle + sign * reach) / (1 + z**2 / n) for sign in (-1, 1))
    return Ranged(p, max(min(low, p), 0.0), min(max(high, p), 1.0), f"Wilson's score over {n:,} rows")


def summed(one: Ranged, other: Ranged, bounds: tuple[float, float] = (-math.inf, math.inf)) -> Ranged:
    """The value of ``one`` with both errors, which are independent: each side is as long as the root of the squares."""
    low, high = (
        math.hypot(*(part.value - part.low for part in (one, other))),
        math.hypot(*(part.high - part.value for part in (one, other))),
    )
    return Ranged(one.value, max(bounds[0], one.value - low), min(bounds[1], one.value + high), f"{one.how}, and {other.how}")


def wider(one: Ranged, other: Ranged) -> Ranged:
    """An interval that holds both."""
    return Ranged(one.value, min(one.low, other.low), max(one.high, other.high), f"{one.how}, and {other.how}")


def from_halves(value: float, of_halves: Tensor, rows: int, bounds: tuple[float, float] = (-math.inf, math.inf)) -> Ranged:
    """The interval around ``value`` that a statistic of random halves of the rows ``[C]`` gives.

    Leaving out ``d`` of ``n`` rows moves a mean by ``sqrt(d / (n - d))`` times what another sample would move it. Shao and Wu, A general
    theory for jackknife variance estimation (1989).
    """
    kept = rows // 2
    error = of_halves.double().std().item() * math.sqrt(kept / (rows - kept))
    return around(value, error, len(of_halves) - 1, f"{len(of_halves)} random halves of the rows", bounds)


def halves(rows: int, repeats: int, seed: int) -> Iterator[Tensor]:
    """Row numbers of random halves ``[rows // 2]``, sorted, each without repetition. Raises ``ArgumentError`` for fewer than 2 halves."""
    if repeats < 2:
        raise ArgumentError(f"`repeats` is {repeats}; an interval takes at least 2 random halves.")
    generator = torch.Generator().manual_seed(seed)
    for _ in range(repeats):
        yield torch.randperm(rows, generator=generator)[: rows // 2].sort().values


def by_halves(
    statistic: Callable[[Tensor, int], float], rows: int, *, repeats: int, seed: int, bounds: tuple[float, float] = (0.0, 1.0)
) -> Ranged:
    """A statistic ``(row numbers, seed) -> number`` of all rows, with the interval that random halves of them give."""
    value = statistic(torch.arange(rows), seed)
    parts = [statistic(half, seed + 1 + place) for place, half in enumerate(halves(rows, repeats, seed))]
    return from_halves(value, torch.tensor(parts, dtype=torch.float64), rows, bounds)


@dataclass(frozen=True)
class Jackknifed:
    """A statistic as it is computed, and without the part of its bias that falls as one over the number of rows."""

    plain: Ranged
    corrected: Ranged


def jackknife(whole: float, without: Tensor, bounds: tuple[float, float] = (-math.inf, math.inf)) -> Jackknifed:
    """The interval of a smooth statistic from its values without each of ``G`` equal groups of rows, ``[G]``. Tukey (1958).

    ``bounds`` are those of the statistic as it is computed; without its bias it may go beyond them.
    """
    count = len(without)
    mean = without.mean().item()
    error = math.sqrt((count - 1) / count * (without - mean).square().sum().item())
    how = f"jackknife over {count} groups of rows"
    return Jackknifed(around(whole, error, count - 1, how, bounds), around(count * whole - (count - 1) * mean, error, count - 1, how))


def grouped(rows: int, groups: int, seed: int) -> Tensor:
    """The group of each row ``[rows]``, at random, all of one size but for one row."""
    return torch.randperm(rows, generator=torch.Generator().manual_seed(seed)) % groups
