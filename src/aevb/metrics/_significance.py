"""Significance of differences: standard errors, p-values, and their correction for many pairs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from ._estimate import Estimate

SIGNIFICANCE_LEVEL = 0.05
"""Share of tables of equal models in which some difference is significant."""

MAX_SUMMED_DEGREES_OF_FREEDOM = 200
"""Degrees of freedom up to which Student's t is summed; its normal form is then off by < 1e-5."""

ErrorSource = Literal["paired rows", "rows", "seeds", "paired seeds"]
DifferenceWithDegrees = tuple[Estimate, float]  # a difference, and its degrees of freedom
DifferenceFunction = Callable[[int, int], DifferenceWithDegrees]


def holm_correction(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for multiple tests; NaN stays NaN and does not count. Holm (1979).

    >>> holm_correction([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    known = [index for index, p in enumerate(p_values) if not math.isnan(p)]
    order = sorted(known, key=lambda index: p_values[index])
    corrected, largest = [math.nan] * len(p_values), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * p_values[index]))
        corrected[index] = largest
    return corrected


def student_t_p_value(t: float, degrees: float) -> float:
    """``P(|T| >= |t|)`` of Student's t, for any number of degrees of freedom above 0.

    Abramowitz and Stegun (1964), 26.7.1, 26.5.4 and 26.7.8.

    >>> (
    ...     round(student_t_p_value(2.7764451, 4), 6),
    ...     round(student_t_p_value(2.5, 5.9), 4),
    ...     round(student_t_p_value(1.96, 1e9), 4),
    ... )
    (0.05, 0.0472, 0.05)
    """
    if math.isnan(t) or not degrees > 0:
        return math.nan
    if degrees > MAX_SUMMED_DEGREES_OF_FREEDOM:
        return math.erfc(
            abs(t) * (1 - 1 / (4 * degrees)) / math.sqrt(1 + t * t / (2 * degrees)) / math.sqrt(2)
        )
    total = degrees + t * t
    return _incomplete_beta(degrees / total, t * t / total, degrees / 2, 0.5)


def _incomplete_beta(x: float, rest: float, a: float, b: float) -> float:
    """The regularised incomplete beta function of ``x = 1 - rest``, by its series of one sign."""
    if x > (a + 1) / (a + b + 2):  # the series of the other side converges faster
        return 1 - _incomplete_beta(rest, x, b, a)
    if x == 0:
        return 0.0
    log_beta = math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
    term = math.exp(a * math.log(x) + b * math.log(rest) - log_beta) / a
    total, n = term, 0
    while term > 1e-17 * total:
        term *= x * (a + b + n) / (a + 1 + n)
        total, n = total + term, n + 1
    return min(1.0, total)


def paired_differences(values: Sequence[Tensor]) -> DifferenceFunction:
    """Differences row by row."""
    return lambda first, second: (
        Estimate.from_values(values[first].double() - values[second].double()),
        len(values[first]) - 1,
    )


def welch_differences(values: Sequence[Tensor]) -> DifferenceFunction:
    """Differences of two samples of rows. Welch (1947)."""
    sides = list(map(Estimate.from_values, values))

    def difference(first: int, second: int) -> DifferenceWithDegrees:
        parts = [sides[index].standard_error ** 2 for index in (first, second)]
        within = sum(
            part**2 / max(len(values[index]) - 1, 1)
            for part, index in zip(parts, (first, second), strict=True)
        )
        degrees = sum(parts) ** 2 / within if within else math.inf
        return Estimate(sides[first].mean - sides[second].mean, math.sqrt(sum(parts))), degrees

    return difference


def pooled_seed_differences(values: Sequence[Tensor]) -> DifferenceFunction:
    """Differences of means over seeds, with one spread for all: few seeds do not show their own."""
    several = [
        table.double() for table in values if len(table) > 1 and bool(table.isfinite().all())
    ]
    degrees = sum(len(table) - 1 for table in several)
    squares = sum(((table - table.mean()) ** 2).sum().item() for table in several)
    spread = math.sqrt(squares / degrees) if degrees else math.nan

    def difference(first: int, second: int) -> DifferenceWithDegrees:
        error = spread * math.sqrt(1 / len(values[first]) + 1 / len(values[second]))
        mean = (values[first].double().mean() - values[second].double().mean()).item()
        return Estimate(mean, error), degrees

    return difference


def blocked_seed_differences(values: Sequence[Tensor]) -> DifferenceFunction:
    """Differences over the same seeds, with one spread: the residual of the two-way layout.

    Fisher, The design of experiments (1935).
    """
    table = torch.stack([each.double() for each in values])  # [configurations, seeds]
    residual = table - table.mean(1, keepdim=True) - table.mean(0) + table.mean()
    degrees = (len(table) - 1) * (table.shape[1] - 1)
    error = (
        math.sqrt(2 * residual.square().sum().item() / degrees / table.shape[1])
        if degrees
        else math.nan
    )
    return lambda first, second: (
        Estimate((table[first] - table[second]).mean().item(), error),
        degrees,
    )


def difference_p_value(difference: Estimate, degrees: float) -> float:
    """p-value of a difference; 0 for an infinite one, 1 for one that is exactly 0."""
    if math.isinf(difference.mean):
        return 0.0
    if difference.standard_error > 0:
        return student_t_p_value(difference.mean / difference.standard_error, degrees)
    return (
        math.nan
        if math.isnan(difference.standard_error + difference.mean)
        else float(difference.mean == 0)
    )


DIFFERENCE_FUNCTIONS: Mapping[ErrorSource, Callable[[Sequence[Tensor]], DifferenceFunction]] = {
    "paired rows": paired_differences,
    "rows": welch_differences,
    "seeds": pooled_seed_differences,
    "paired seeds": blocked_seed_differences,
}
