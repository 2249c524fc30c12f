"""How often noise alone makes as much of a difference, and how that is counted where there are several."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from ._estimate import Estimate

SIGNIFICANCE_LEVEL = 0.05  # how often a table in which all is noise may call some difference real
MAX_SUMMED_DEGREES_OF_FREEDOM = 200  # degrees of freedom up to which Student's t is summed; above, its normal form is off by less than 1e-5

ErrorSource = Literal["paired rows", "rows", "seeds", "paired seeds"]
DifferenceWithDegrees = tuple[
    Estimate, float
]  # a difference of means with its standard error, and the degrees of freedom of that
DifferenceFunction = Callable[[int, int], DifferenceWithDegrees]


def holm_correction(p_values: Sequence[float]) -> list[float]:
    """Probabilities corrected for being several; those that are NaN stay it, and do not count. Holm (1979).

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = sorted(
        (place for place, chance in enumerate(p_values) if not math.isnan(chance)),
        key=lambda place: p_values[place],
    )
    corrected, largest = [math.nan] * len(p_values), 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * p_values[place]))
        corrected[place] = largest
    return corrected


def student_t_p_value(t: float, degrees: float) -> float:
    """``P(|T| >= |t|)`` of Student's t with so many degrees of freedom. Abramowitz and Stegun (1964), 26.7.3, 26.7.4 and 26.7.8.

    >>> (
    ...     round(student_t_p_value(2.7764451, 4), 6),
    ...     round(student_t_p_value(1.0, 1), 6),
    ...     round(student_t_p_value(1.96, 1e9), 4),
    ... )
    (0.05, 0.5, 0.05)
    """
    whole = math.floor(degrees)
    if math.isnan(t) or whole < 1:
        return math.nan
    if whole > MAX_SUMMED_DEGREES_OF_FREEDOM:
        return math.erfc(
            abs(t) * (1 - 1 / (4 * degrees)) / math.sqrt(1 + t * t / (2 * degrees)) / math.sqrt(2)
        )
    angle = math.atan(abs(t) / math.sqrt(whole))
    sine, cosine = math.sin(angle), math.cos(angle)
    term, total = (cosine, 0.0) if whole % 2 else (1.0, 0.0)
    for step in range(2 + whole % 2, whole + 1, 2):
        total += term
        term *= cosine**2 * (step - 1) / step
    inside = 2 / math.pi * (angle + sine * total) if whole % 2 else sine * total
    return min(1.0, max(0.0, 1 - inside))


def paired_differences(values: Sequence[Tensor]) -> DifferenceFunction:
    """Row by row."""
    return lambda one, other: (
        Estimate.from_values(values[one].double() - values[other].double()),
        len(values[one]) - 1,
    )


def welch_differences(values: Sequence[Tensor]) -> DifferenceFunction:
    """Of two samples of rows. Welch (1947)."""
    sides = list(map(Estimate.from_values, values))

    def gap(one: int, other: int) -> DifferenceWithDegrees:
        parts = [sides[place].standard_error ** 2 for place in (one, other)]
        within = sum(
            part**2 / max(len(values[place]) - 1, 1)
            for part, place in zip(parts, (one, other), strict=True)
        )
        degrees = sum(parts) ** 2 / within if within else math.inf
        return Estimate(sides[one].mean - sides[other].mean, math.sqrt(sum(parts))), degrees

    return gap


def pooled_seed_differences(values: Sequence[Tensor]) -> DifferenceFunction:
    """Of means over seeds, whose spread is taken to be the same everywhere: a few seeds each do not show one of their own."""
    several = [
        table.double() for table in values if len(table) > 1 and bool(table.isfinite().all())
    ]
    degrees = sum(len(table) - 1 for table in several)
    squares = sum(((table - table.mean()) ** 2).sum().item() for table in several)
    spread = math.sqrt(squares / degrees) if degrees else math.nan

    def gap(one: int, other: int) -> DifferenceWithDegrees:
        error = spread * math.sqrt(1 / len(values[one]) + 1 / len(values[other]))
        return Estimate(
            (values[one].double().mean() - values[other].double().mean()).item(), error
        ), degrees

    return gap


def blocked_seed_differences(values: Sequence[Tensor]) -> DifferenceFunction:
    """Of means over the same seeds, entry by entry, with one spread: what is left where configurations and seeds are taken off.

    That of the additive two-way layout. Fisher, The design of experiments (1935).
    """
    table = torch.stack([each.double() for each in values])  # [configurations, seeds]
    left = table - table.mean(1, keepdim=True) - table.mean(0) + table.mean()
    degrees = (len(table) - 1) * (table.shape[1] - 1)
    error = (
        math.sqrt(2 * left.square().sum().item() / degrees / table.shape[1])
        if degrees
        else math.nan
    )
    return lambda one, other: (Estimate((table[one] - table[other]).mean().item(), error), degrees)


def difference_p_value(difference: Estimate, degrees: float) -> float:
    """How often noise makes such a difference; never of an infinite one, always of none at all."""
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
