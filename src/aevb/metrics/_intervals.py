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

from ..data._formatting import format_count
from ..errors import ArgumentError, DataError

NORMAL_QUANTILE_975 = 1.959963984540054  # of a normal distribution, 97.5 % lies below
STUDENT_T_QUANTILES_975 = (
    12.706204736432095,
    4.302652729911275,
    3.182446305284263,
    2.7764451051977987,
)  # the same of Student's t with 1 to 4 degrees
MAX_DECIMALS = 5  # at most
JACKKNIFE_GROUPS = 20  # of rows, left out in turn
HALF_SAMPLE_REPEATS = 20  # random halves: the standard error they give is itself off by a sixth


@dataclass(frozen=True)
class Interval:
    """A value and its 95 % interval; ``how`` says what was varied to make it."""

    value: float
    low: float
    high: float
    method: str

    @property
    def is_finite(self) -> bool:
        """Whether there was enough to make an interval of."""
        return math.isfinite(self.high - self.low)

    def format_number(self, value: float) -> str:
        """A number with as many decimals as two figures of the interval's width have: more would say nothing.

        >>> found = Interval(12.3456, 11.9, 12.8, "3 seeds")
        >>> found.figure(12.3456), str(found)
        ('12.35', '12.35 (11.90 to 12.80)')
        """
        if not self.is_finite or self.high == self.low:
            return f"{value:.3g}"
        decimals = min(max(0, 1 - math.floor(math.log10(self.high - self.low))), MAX_DECIMALS)
        return f"{value:.{decimals}f}" if abs(value) < 1e6 else f"{value:.3g}"

    def __str__(self) -> str:
        return self.format_number(self.value) + (
            f" ({self.format_number(self.low)} to {self.format_number(self.high)})"
            if self.is_finite
            else ""
        )


def student_t_quantile(degrees: int) -> float:
    """The 97.5 % point of Student's t distribution, to 1 %. Abramowitz and Stegun (1964), 26.7.5.

    >>> round(student(2), 3), round(student(19), 3), round(student(10_000), 2)
    (4.303, 2.093, 1.96)
    """
    if degrees <= len(STUDENT_T_QUANTILES_975):
        return STUDENT_T_QUANTILES_975[max(degrees, 1) - 1]
    z = NORMAL_QUANTILE_975
    series = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return sum(term / degrees**power for power, term in enumerate(series))


def t_interval(
    value: float,
    standard_error: float,
    degrees: int,
    method: str,
    bounds: tuple[float, float] = (-math.inf, math.inf),
) -> Interval:
    """``value ± t error``, inside of what the value can be."""
    reach = (
        student_t_quantile(degrees) * standard_error if math.isfinite(standard_error) else math.inf
    )
    return Interval(
        value,
        min(value, max(bounds[0], value - reach)),
        max(value, min(bounds[1], value + reach)),
        method,
    )


def interval_over_seeds(values: Sequence[float]) -> Interval:
    """The mean over runs with other seeds, by Student's t. Raises ``DataError`` for a single run.

    >>> found = over_seeds([1.0, 2.0, 3.0])
    >>> round(found.value, 2), round(found.high - found.value, 2), found.how
    (2.0, 2.48, '3 seeds')
    """
    if len(values) < 2:
        raise DataError(
            f"`values` holds {len(values)} number, and an interval over seeds needs at least 2."
        )
    table = torch.tensor(values, dtype=torch.float64)
    return t_interval(
        table.mean().item(),
        table.std().item() / math.sqrt(len(values)),
        len(values) - 1,
        f"{len(values)} seeds",
    )


def interval_over_rows(
    values: Tensor, bounds: tuple[float, float] = (-math.inf, math.inf)
) -> Interval:
    """The mean of ``[N]`` values of independent rows, by Student's t."""
    values = values.double()
    error = values.std().item() / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return t_interval(
        values.mean().item(),
        error,
        len(values) - 1,
        f"spread of {format_count(len(values), 'row')}",
        bounds,
    )


def proportion_interval(hits: Tensor) -> Interval:
    """The share of rows ``[N]`` for which something is true, by Wilson's score (1927), which holds near 0 and 1, too.

    >>> print(share(torch.tensor([True] * 9 + [False])))
    0.90 (0.60 to 0.98)
    """
    return wilson_interval(hits.double().mean().item(), len(hits))


def wilson_interval(p: float, n: int) -> Interval:
    """The interval of a share ``p`` of ``n`` rows."""
    z = NORMAL_QUANTILE_975
    middle, reach = p + z**2 / (2 * n), z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    low, high = ((middle + sign * reach) / (1 + z**2 / n) for sign in (-1, 1))
    return Interval(
        p, max(min(low, p), 0.0), min(max(high, p), 1.0), f"Wilson's score over {n:,} rows"
    )


def add_independent_error(
    first: Interval, second: Interval, bounds: tuple[float, float] = (-math.inf, math.inf)
) -> Interval:
    """The value of ``one`` with both errors, which are independent: each side is as long as the root of the squares."""
    low, high = (
        math.hypot(*(part.value - part.low for part in (first, second))),
        math.hypot(*(part.high - part.value for part in (first, second))),
    )
    return Interval(
        first.value,
        max(bounds[0], first.value - low),
        min(bounds[1], first.value + high),
        f"{first.method}, and {second.method}",
    )


def widest_interval(first: Interval, second: Interval) -> Interval:
    """An interval that holds both."""
    return Interval(
        first.value,
        min(first.low, second.low),
        max(first.high, second.high),
        f"{first.method}, and {second.method}",
    )


def interval_from_halves(
    value: float,
    half_values: Tensor,
    n_rows: int,
    bounds: tuple[float, float] = (-math.inf, math.inf),
) -> Interval:
    """The interval around ``value`` that a statistic of random halves of the rows ``[C]`` gives.

    Leaving out ``d`` of ``n`` rows moves a mean by ``sqrt(d / (n - d))`` times what another sample would move it. Shao and Wu, A general
    theory for jackknife variance estimation (1989).
    """
    kept = n_rows // 2
    error = half_values.double().std().item() * math.sqrt(kept / (n_rows - kept))
    return t_interval(
        value, error, len(half_values) - 1, f"{len(half_values)} random halves of the rows", bounds
    )


def random_halves(n_rows: int, repeats: int, seed: int) -> Iterator[Tensor]:
    """Row numbers of random halves ``[rows // 2]``, sorted, each without repetition. Raises ``ArgumentError`` for fewer than 2 halves."""
    if repeats < 2:
        raise ArgumentError(f"`repeats` is {repeats}; an interval takes at least 2 random halves.")
    generator = torch.Generator().manual_seed(seed)
    for _ in range(repeats):
        yield torch.randperm(n_rows, generator=generator)[: n_rows // 2].sort().values


def half_sample_interval(
    statistic: Callable[[Tensor, int], float],
    n_rows: int,
    *,
    repeats: int,
    seed: int,
    bounds: tuple[float, float] = (0.0, 1.0),
) -> Interval:
    """A statistic ``(row numbers, seed) -> number`` of all rows, with the interval that random halves of them give."""
    value = statistic(torch.arange(n_rows), seed)
    parts = [
        statistic(half, seed + 1 + place)
        for place, half in enumerate(random_halves(n_rows, repeats, seed))
    ]
    return interval_from_halves(value, torch.tensor(parts, dtype=torch.float64), n_rows, bounds)


@dataclass(frozen=True)
class JackknifeEstimate:
    """A statistic as it is computed, and without the part of its bias that falls as one over the number of rows."""

    uncorrected: Interval
    bias_corrected: Interval


def jackknife(
    estimate: float, leave_one_out: Tensor, bounds: tuple[float, float] = (-math.inf, math.inf)
) -> JackknifeEstimate:
    """The interval of a smooth statistic from its values without each of ``G`` equal groups of rows, ``[G]``. Tukey (1958).

    ``bounds`` are those of the statistic as it is computed; without its bias it may go beyond them.
    """
    count = len(leave_one_out)
    mean = leave_one_out.mean().item()
    error = math.sqrt((count - 1) / count * (leave_one_out - mean).square().sum().item())
    how = f"jackknife over {count} groups of rows"
    return JackknifeEstimate(
        t_interval(estimate, error, count - 1, how, bounds),
        t_interval(count * estimate - (count - 1) * mean, error, count - 1, how),
    )


def random_groups(n_rows: int, n_groups: int, seed: int) -> Tensor:
    """The group of each row ``[rows]``, at random, all of one size but for one row."""
    return torch.randperm(n_rows, generator=torch.Generator().manual_seed(seed)) % n_groups
