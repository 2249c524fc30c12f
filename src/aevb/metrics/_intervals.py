"""Values with 95 % intervals, computed without drawing any row twice.

A row that is drawn twice is its own nearest neighbour, so that the bootstrap moves Frechet
distances, precision, recall and nearest-neighbour accuracies by more than another sample of rows
would. The intervals come instead from seeds, from groups of rows that are left out in turn (the
jackknife), or from random halves of the rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..data._formatting import format_count
from ..errors import ArgumentError, DataError

NORMAL_QUANTILE_975 = 1.959963984540054
STUDENT_T_QUANTILES_975 = (
    12.706204736432095,
    4.302652729911275,
    3.182446305284263,
    2.7764451051977987,
)
"""Quantiles of Student's t distribution with 1 to 4 degrees of freedom."""

MAX_DECIMALS = 5
"""Most decimals of a number with its interval."""

JACKKNIFE_GROUPS = 20
"""Groups of rows that the jackknife leaves out in turn."""

HALF_SAMPLE_REPEATS = 20
"""Random halves of the rows; the relative error of their standard error is a sixth."""


@dataclass(frozen=True)
class Interval:
    """A value with its 95 % interval.

    Args:
        value: The value.
        low: Lower end of the interval.
        high: Upper end of the interval.
        method: What the interval was computed from.
    """

    value: float
    low: float
    high: float
    method: str

    @property
    def is_finite(self) -> bool:
        """Whether there were enough rows or seeds for an interval."""
        return math.isfinite(self.high - self.low)

    def format_number(self, value: float) -> str:
        """Format a number with the decimals that the first two digits of the width have.

        Args:
            value: The number, in the units of the interval.

        Returns:
            The number as text.

        Example:
            >>> interval = Interval(12.3456, 11.9, 12.8, "3 seeds")
            >>> interval.format_number(12.3456), str(interval)
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
    """The 97.5 % quantile of Student's t, to 1 %. Abramowitz and Stegun (1964), 26.7.5.

    >>> [round(student_t_quantile(degrees), 3) for degrees in (2, 19, 10_000)]
    [4.303, 2.093, 1.96]
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
    """``value ± t standard_error``, within the bounds of the value."""
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
    """Average a number over runs with different seeds, with Student's t interval.

    Args:
        values: One number for each run.

    Returns:
        The mean with its interval.

    Raises:
        DataError: There are fewer than 2 runs.

    Example:
        >>> interval = interval_over_seeds([1.0, 2.0, 3.0])
        >>> round(interval.value, 2), round(interval.high - interval.value, 2), interval.method
        (2.0, 2.48, '3 seeds')
    """
    if len(values) < 2:
        raise DataError(
            f"`values` has {format_count(len(values), 'number')}, and an interval over seeds needs "
            "at least 2",
            argument="values",
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
    """The share of true rows ``[N]`` with Wilson's score interval (1927), valid near 0 and 1.

    >>> print(proportion_interval(torch.tensor([True] * 9 + [False])))
    0.90 (0.60 to 0.98)
    """
    return wilson_interval(hits.double().mean().item(), len(hits))


def wilson_interval(p: float, n: int) -> Interval:
    """Wilson's score interval of a share ``p`` of ``n`` rows."""
    z = NORMAL_QUANTILE_975
    middle, reach = p + z**2 / (2 * n), z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    low, high = ((middle + sign * reach) / (1 + z**2 / n) for sign in (-1, 1))
    return Interval(
        p, max(min(low, p), 0.0), min(max(high, p), 1.0), f"Wilson's score over {n:,} rows"
    )


def add_independent_error(
    first: Interval, second: Interval, bounds: tuple[float, float] = (-math.inf, math.inf)
) -> Interval:
    """The value of ``first`` with both independent errors: the root of the sum of squares."""
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
    """The value of ``first`` with the smallest interval that contains both."""
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
    """The interval of a statistic from its values on random halves of the rows, ``[repeats]``.

    Leaving out ``d`` of ``n`` rows moves a mean by ``sqrt(d / (n - d))`` times as much as another
    sample would. Shao and Wu, A general theory for jackknife variance estimation (1989).
    """
    kept = n_rows // 2
    error = half_values.double().std().item() * math.sqrt(kept / (n_rows - kept))
    return t_interval(
        value, error, len(half_values) - 1, f"{len(half_values)} random halves of the rows", bounds
    )


def random_halves(n_rows: int, repeats: int, seed: int) -> Iterator[Tensor]:
    """Row numbers of random halves ``[n_rows // 2]``, sorted, each without repetition."""
    if repeats < 2:
        raise ArgumentError(
            "an interval needs at least 2 random halves", argument="repeats", value=repeats
        )
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
    """A statistic ``(row numbers, seed) -> number`` with its interval from random halves."""
    value = statistic(torch.arange(n_rows), seed)
    parts = [
        statistic(half, seed + 1 + number)
        for number, half in enumerate(random_halves(n_rows, repeats, seed))
    ]
    return interval_from_halves(value, torch.tensor(parts, dtype=torch.float64), n_rows, bounds)


@dataclass(frozen=True)
class JackknifeEstimate:
    """A statistic with and without its bias of order one over the number of rows.

    Args:
        plug_in: The statistic of all rows.
        bias_corrected: The statistic without the bias that the jackknife finds.
    """

    plug_in: Interval
    bias_corrected: Interval


def jackknife(
    estimate: float, leave_one_out: Tensor, bounds: tuple[float, float] = (-math.inf, math.inf)
) -> JackknifeEstimate:
    """Interval of a smooth statistic from its values without each group of rows, ``[groups]``.

    ``bounds`` hold for the plug-in statistic; the corrected one may exceed them. Tukey (1958).
    """
    count = len(leave_one_out)
    mean = leave_one_out.mean().item()
    error = math.sqrt((count - 1) / count * (leave_one_out - mean).square().sum().item())
    method = f"jackknife over {count} groups of rows"
    return JackknifeEstimate(
        t_interval(estimate, error, count - 1, method, bounds),
        t_interval(count * estimate - (count - 1) * mean, error, count - 1, method),
    )


def random_groups(n_rows: int, n_groups: int, seed: int) -> Tensor:
    """A random group for each row ``[n_rows]``; sizes differ by at most one row."""
    return torch.randperm(n_rows, generator=torch.Generator().manual_seed(seed)) % n_groups
