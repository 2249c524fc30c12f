"""How often noise alone makes as much of a difference, and how that is counted where there are several."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from .measured import Measured

LEVEL = 0.05  # how often a table in which all is noise may call some difference real
EXACT = 200  # degrees of freedom up to which Student's t is summed; above, its normal form is off by less than 1e-5

Spread = Literal["paired rows", "rows", "seeds", "paired seeds"]
Gap = tuple[Measured, float]  # a difference of means with its standard error, and the degrees of freedom of that
Gaps = Callable[[int, int], Gap]


def holm(chances: Sequence[float]) -> list[float]:
    """Probabilities corrected for being several; those that are NaN stay it, and do not count. Holm (1979).

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = sorted((place for place, chance in enumerate(chances) if not math.isnan(chance)), key=lambda place: chances[place])
    corrected, largest = [math.nan] * len(chances), 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * chances[place]))
        corrected[place] = largest
    return corrected


def two_sided(t: float, degrees: float) -> float:
    """``P(|T| >= |t|)`` of Student's t with so many degrees of freedom. Abramowitz and Stegun (1964), 26.7.3, 26.7.4 and 26.7.8.

    >>> round(two_sided(2.7764451, 4), 6), round(two_sided(1.0, 1), 6), round(two_sided(1.96, 1e9), 4)
    (0.05, 0.5, 0.05)
    """
    whole = math.floor(degrees)
    if math.isnan(t) or whole < 1:
        return math.nan
    if whole > EXACT:
        return math.erfc(abs(t) * (1 - 1 / (4 * degrees)) / math.sqrt(1 + t * t / (2 * degrees)) / math.sqrt(2))
    angle = math.atan(abs(t) / math.sqrt(whole))
    sine, cosine = math.sin(angle), math.cos(angle)
    term, total = (cosine, 0.0) if whole % 2 else (1.0, 0.0)
    for step in range(2 + whole % 2, whole + 1, 2):
        total += term
        term *= cosine**2 * (step - 1) / step
    inside = 2 / math.pi * (angle + sine * total) if whole % 2 else sine * total
    return min(1.0, max(0.0, 1 - inside))


def by_pairs(tables: Sequence[Tensor]) -> Gaps:
    """Row by row."""
    return lambda one, other: (Measured.of(tables[one].double() - tables[other].double()), len(tables[one]) - 1)


def by_samples(tables: Sequence[Tensor]) -> Gaps:
    """Of two samples of rows. Welch (1947)."""
    sides = list(map(Measured.of, tables))

    def gap(one: int, other: int) -> Gap:
        parts = [sides[place].standard_error ** 2 for place in (one, other)]
        within = sum(part**2 / max(len(tables[place]) - 1, 1) for part, place in zip(parts, (one, other), strict=True))
        degrees = sum(parts) ** 2 / within if within else math.inf
        return Measured(sides[one].mean - sides[other].mean, math.sqrt(sum(parts))), degrees

    return gap


def by_seeds(tables: Sequence[Tensor]) -> Gaps:
    """Of means over seeds, whose spread is taken to be the same everywhere: a few seeds each do not show one of their own."""
    several = [table.double() for table in tables if len(table) > 1 and bool(table.isfinite().all())]
    degrees = sum(len(table) - 1 for table in several)
    squares = sum(((table - table.mean()) ** 2).sum().item() for table in several)
    spread = math.sqrt(squares / degrees) if degrees else math.nan

    def gap(one: int, other: int) -> Gap:
        error = spread * math.sqrt(1 / len(tables[one]) + 1 / len(tables[other]))
        return Measured((tables[one].double().mean() - tables[other].double().mean()).item(), error), degrees

    return gap


def by_blocks(tables: Sequence[Tensor]) -> Gaps:
    """Of means over the same seeds, entry by entry, with one spread: what is left where configurations and seeds are taken off.

    That of the additive two-way layout. Fisher, The design of experiments (1935).
    """
    table = torch.stack([each.double() for each in tables])  # [configurations, seeds]
    left = table - table.mean(1, keepdim=True) - table.mean(0) + table.mean()
    degrees = (len(table) - 1) * (table.shape[1] - 1)
    error = math.sqrt(2 * left.square().sum().item() / degrees / table.shape[1]) if degrees else math.nan
    return lambda one, other: (Measured((table[one] - table[other]).mean().item(), error), degrees)


def chance(found: Measured, degrees: float) -> float:
    """How often noise makes such a difference; never of an infinite one, always of none at all."""
    if math.isinf(found.mean):
        return 0.0
    if found.standard_error > 0:
        return two_sided(found.mean / found.standard_error, degrees)
    return math.nan if math.isnan(found.standard_error + found.mean) else float(found.mean == 0)


GAPS: Mapping[Spread, Callable[[Sequence[Tensor]], Gaps]] = {
    "paired rows": by_pairs,
    "rows": by_samples,
    "seeds": by_seeds,
    "paired seeds": by_blocks,
}
