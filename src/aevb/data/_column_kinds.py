"""The kind of a column, chosen from its statistics."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np

from ..errors import ArgumentError, DataError
from ..networks._column import CellLikelihood, Column, ColumnKind, Level
from ..notes import Argument, message
from ._column_statistics import ColumnStatistics
from ._columns import TRIED_TEXTS, CellRules
from ._date_texts import find_date_format, parse_date
from ._formatting import format_count
from ._identifiers import is_identifier_name, is_index_name
from ._number_fits import (
    MAX_MODELLED_ATOMS,
    MIN_ATOM_CELLS,
    NORMAL_QUARTILE,
    NumberSample,
    find_atoms,
    fit_histogram,
)
from ._number_texts import parse_numbers
from ._value_counts import NumberCounts

MAX_LEVELS = 1000  # of a column of texts; one with more is an identifier
MAX_UNIQUE_SHARE = 0.5  # of the texts of a column that is no identifier
MIN_IDENTIFIER_ROWS = 20
MANY_LEVELS = 40  # above which rare levels are pooled
MIN_CELLS_PER_LEVEL = 5
MIN_LEVEL_SHARE = 0.001  # of a level that is not pooled, where there are many
POOLED_LEVEL = "(rare)"
MAX_ORDINAL_VALUES = 20
MIN_CELLS_PER_VALUE = 5  # of an ordinal column
MIN_SPIKE_SHARE = 0.1
MIN_GAIN = 0.02  # nats per cell, of a family over a simpler one
MIN_TOTAL_GAIN = 5.0  # nats
MIN_REPEATS = 4  # of the values of a grid, on average, for which a density has no meaning
MAX_STEPS = 50  # of a grid in a standard deviation
MAX_FINE_STEPS = 2000  # of decimals; a finer grid is that of rounding
MAX_COUNT = 2**24
MAX_EXACT = 2.0**53  # up to which float64 holds all whole numbers
MAX_NUMBER = 1e100  # whose square and fourth power are finite
FIRST_DATE, LAST_DATE = -62_135_596_800, 253_402_300_800  # the years 1 to 9999, in seconds
FULL_PERCENT = (5.0, 95.0)  # that percentages reach where they are bounded
_DISCRETE: CellLikelihood = "discretised_logistic"
MAX_LEAST_COUNT = 0.25  # the least value of counts, in units of their mean
KINDS: tuple[str, ...] = get_args(ColumnKind)

Locate = Callable[[str], int | None]


@dataclass(frozen=True)
class KindRule:
    """A row of the table of rules.

    Args:
        kind: The kind.
        likelihood: The likelihoods that it may have.
        rule: When it is chosen.
    """

    kind: ColumnKind
    likelihoods: tuple[CellLikelihood, ...]
    rule: str


RULES = (
    KindRule("constant", (), "one value, or none"),
    KindRule("derived", (), "a function of another column"),
    KindRule("binary", ("bernoulli",), "two values of any type"),
    KindRule(
        "identifier",
        (),
        f"more than {MAX_LEVELS:,} texts, or more than {MAX_UNIQUE_SHARE:.0%} of the texts "
        f"different (from {MIN_IDENTIFIER_ROWS} rows on); whole numbers from 0 or 1 of which each "
        f"occurs once (from {MIN_IDENTIFIER_ROWS} rows on); whole numbers in a column without a "
        "name or with one such as `id`, or of more than 15 digits, mostly different; numbers only "
        "where no cell is missing",
    ),
    KindRule("categorical", ("categorical",), "other texts, and categories without an order"),
    KindRule(
        "ordinal",
        ("ordinal",),
        f"categories with an order; up to {MAX_ORDINAL_VALUES} different numbers, each in "
        f"{MIN_CELLS_PER_VALUE} rows on average",
    ),
    KindRule(
        "date",
        (_DISCRETE, "normal"),
        "dates, also in text: days since 1970, or seconds where there is a time of day",
    ),
    KindRule(
        "spiky",
        ("spiky",),
        f"numbers of which one holds {MIN_SPIKE_SHARE:.0%} of the cells, several times as many as "
        "the numbers around it; shares that reach 0 or 1; skewed real numbers from 0 with zeros",
    ),
    KindRule(
        "count",
        ("negative_binomial",),
        f"whole numbers from about 0 (the least at most {MAX_LEAST_COUNT:g} times the mean) that a "
        "negative binomial distribution fits better than a symmetric one",
    ),
    KindRule(
        "integer",
        (_DISCRETE,),
        f"other numbers on a grid that repeat: {MIN_REPEATS} times on average, or with a standard "
        f"deviation below {MAX_STEPS} steps",
    ),
    KindRule(
        "positive", ("log_normal",), "numbers above 0 that a log-normal distribution fits best"
    ),
    KindRule("bounded", ("beta",), "shares and percentages that a Beta distribution fits best"),
    KindRule(
        "continuous", ("normal", "student_t"), "other numbers; Student t where tails are long"
    ),
)


def choose_column(
    statistics: ColumnStatistics,
    kind: str | None = None,
    rules: CellRules = CellRules(),
    locate: Locate = lambda text: None,
) -> Column:
    """The column, with the kind that its statistics suggest.

    Args:
        statistics: The statistics.
        kind: The kind that was asked for.
        rules: How numbers in text are read.
        locate: Finds the row of a text, counted from 0.

    Raises:
        DataError: The cells cannot be read.
        ArgumentError: The kind contradicts the values.
    """
    _check_cells(statistics, kind)
    if statistics.cells == "texts" and statistics.categories is None:
        statistics = _parse_texts(statistics, kind, rules, locate)
    column = Column(
        statistics.name,
        "constant",
        dtype=statistics.dtype,
        missing=statistics.missing / max(statistics.rows, 1),
    )
    if statistics.cells == "empty":
        return replace(column, reason="no cell has a value")
    if statistics.all_nested and statistics.fault is not None:
        reason = f"a cell holds a {statistics.fault[0]}, which is no single value"
        return replace(column, kind="identifier", reason=reason)
    chosen = (
        _choose_text(column, statistics, kind)
        if statistics.cells in ("texts", "mixed")
        else _choose_number(column, statistics, kind)
    )
    if kind is not None:
        chosen = replace(chosen, reason="as requested")
    return chosen


def _check_cells(statistics: ColumnStatistics, kind: str | None) -> None:
    """Refuse infinite and mixed cells, and nested ones for which a kind was asked.

    Raises:
        DataError: There are such cells.
    """
    set_aside = (
        kind in (None, "identifier") if statistics.cells == "nested" else kind == "identifier"
    )
    if statistics.fault is None or set_aside:
        return
    text, row = statistics.fault
    name = statistics.name
    if statistics.cells == "nested":
        raise DataError(
            f'column "{name}" holds a {text} in row {row + 1:,}, and a cell has one value',
            argument="source",
            suggestions=("Leave the column out, or make a column of each part",),
        )
    if statistics.cells != "mixed":
        raise DataError(
            f'column "{name}" holds {text} in row {row + 1:,}',
            argument="source",
            suggestions=("Correct the value, or empty the cell",),
        )
    if kind not in ("categorical", "ordinal", "binary"):
        raise _mixed_error(name, "values of several types", f"row {row + 1:,} holds {text}")


def _mixed_error(name: str, what: str, found: str) -> DataError:
    """The error for a column of numbers and text."""
    return DataError(
        f'column "{name}" holds {what}: {found}',
        argument="source",
        suggestions=(
            message(
                "Correct or empty the cell, or write {kinds}",
                kinds=Argument("kinds", {name: "categorical"}),
            ),
        ),
    )


def _parse_texts(
    statistics: ColumnStatistics, kind: str | None, rules: CellRules, locate: Locate
) -> ColumnStatistics:
    """The statistics with texts as dates or numbers where they are."""
    counts = statistics.texts.counts
    if kind in ("categorical", "binary", "identifier", "constant"):
        return statistics
    stripped: dict[str, int] = {}
    for text, count in counts.items():
        stripped[text.strip()] = stripped.get(text.strip(), 0) + count
    form = find_date_format(stripped)
    if form:
        values = {text: parse_date(text, form) for text in stripped}
        return _as_numbers(statistics, "dates", values, stripped, form)
    if len(stripped) == 2 or (len(stripped) == 1 and kind is None):
        return statistics
    tried = parse_numbers(list(stripped)[:TRIED_TEXTS], rules.decimal)
    if not any(value == value for value in tried.values.values()):
        return statistics
    found = parse_numbers(stripped, rules.decimal, usual=rules.usual_decimal)
    codes = rules.empty_numbers(statistics.name)
    numbers = {text: math.nan if x in codes else x for text, x in found.values.items()}
    n_others = sum(stripped[text] for text in found.others)
    n_numbers = sum(stripped[text] for text, value in numbers.items() if value == value)
    if n_others > (0 if found.format.units else n_numbers) or not n_numbers:
        return statistics
    if found.others:
        row = locate(found.others[0])
        where = "a cell" if row is None else f"row {row + 1:,}"
        what = f'{where} holds "{found.others[0]}"'
        raise _mixed_error(statistics.name, "numbers and text", what)
    return _as_numbers(statistics, "numbers", numbers, stripped, "")


def _as_numbers(
    statistics: ColumnStatistics,
    cells: Any,
    values: dict[str, float],
    counts: dict[str, int],
    form: str,
) -> ColumnStatistics:
    """The statistics of numbers that were read from text."""
    x = np.array([values[text] for text in counts])
    n = np.array(list(counts.values()))
    known = np.isfinite(x)
    distinct, places = np.unique(x[known], return_inverse=True)
    numbers = NumberCounts.of_counts(distinct, np.bincount(places, n[known]).astype(np.int64))
    missing = statistics.missing + int(n[~known].sum())
    return replace(
        statistics,
        cells=cells if numbers.total else "empty",
        numbers=numbers,
        missing=missing,
        format=form,
    )


# Texts and categories


def _choose_text(column: Column, statistics: ColumnStatistics, kind: str | None) -> Column:
    """The column of texts or categories."""
    texts = statistics.texts
    levels = _text_levels(statistics)
    if kind is None:
        kind, reason = _text_kind(statistics, levels)
        column = replace(column, reason=reason)
    if kind in ("constant", "identifier"):
        return _set_aside(column, kind, tuple(each for each in levels if str(each) in texts.counts))
    if kind not in ("binary", "categorical", "ordinal"):
        raise _contradiction(column, kind, "it holds text")
    if kind == "binary":
        return _binary(column, levels)
    if kind == "ordinal":
        return replace(column, kind="ordinal", likelihood="ordinal", levels=levels)
    counts = {level: texts.counts.get(str(level), 0) for level in levels}
    return _categorical(column, counts, texts.total, pool=statistics.categories is None)


def _text_levels(statistics: ColumnStatistics) -> tuple[Level, ...]:
    """The levels in the order of their codes."""
    if statistics.categories is not None:
        return tuple(
            level if isinstance(level, str | int | float) else str(level)
            for level in statistics.categories
        )
    return tuple(sorted(statistics.texts.counts))


def _text_kind(statistics: ColumnStatistics, levels: tuple[Level, ...]) -> tuple[ColumnKind, str]:
    """The kind of texts or categories, and why."""
    texts = statistics.texts
    n, distinct = texts.total, texts.distinct
    noun = "category" if statistics.categories is not None else "text"
    figures = f"{format_count(distinct, noun, 'categories' if noun == 'category' else None)} in "
    figures += format_count(n, "cell")
    used = [level for level in levels if texts.counts.get(str(level))]
    if statistics.categories is not None:
        if statistics.ordered and len(levels) > 2:
            return "ordinal", f"{len(levels):,} categories with an order"
        if len(used) == 1:
            return "constant", "one category"
        if len(levels) == 2:
            return "binary", "two categories"
        if distinct > MAX_LEVELS:
            return "identifier", f"{figures}, more than {MAX_LEVELS:,}"
        return "categorical", f"{len(levels):,} categories"
    if distinct == 1:
        return "constant", "one text"
    if distinct == 2:
        return "binary", "two texts"
    if distinct > MAX_LEVELS:
        return "identifier", f"about {figures}, more than {MAX_LEVELS:,}" if texts.rest else (
            f"{figures}, more than {MAX_LEVELS:,}"
        )
    if n >= MIN_IDENTIFIER_ROWS and distinct > MAX_UNIQUE_SHARE * n:
        return "identifier", f"{figures}: {distinct / n:.0%} are different"
    return "categorical", figures


def _set_aside(column: Column, kind: Any, levels: tuple[Level, ...]) -> Column:
    """A constant or an identifier."""
    if kind == "constant" and len(levels) > 1:
        raise _contradiction(column, kind, f"it holds {len(levels):,} values")
    return replace(column, kind=kind, levels=levels[:1] if kind == "constant" else None)


def _binary(column: Column, levels: tuple[Level, ...]) -> Column:
    if len(levels) != 2:
        raise _contradiction(column, "binary", f"it holds {format_count(len(levels), 'value')}")
    return replace(column, kind="binary", likelihood="bernoulli", levels=levels)


def _categorical(column: Column, counts: dict[Level, int], n: int, pool: bool = True) -> Column:
    """A column of categories; rare levels are pooled where there are many."""
    if len(counts) > MAX_LEVELS:
        raise _contradiction(column, "categorical", f"it holds more than {MAX_LEVELS:,} values")
    column = replace(column, kind="categorical", likelihood="categorical", levels=tuple(counts))
    many = len(counts) > MANY_LEVELS
    if not pool or not (many or n < MIN_CELLS_PER_LEVEL * len(counts)):
        return column
    least = max(MIN_CELLS_PER_LEVEL, MIN_LEVEL_SHARE * n if many else 0)
    rare = {level: count for level, count in counts.items() if count < least}
    kept = tuple(level for level in counts if level not in rare)
    if len(rare) < 2 or not kept:
        return column
    noun = f"{len(rare):,} levels with fewer than {least:.0f} cells share a code"
    return replace(
        column,
        levels=(*kept, _pooled_name(kept)),
        pooled=tuple(rare),
        pooled_counts=tuple(rare.values()),
        reason=f"{column.reason}; {noun}" if column.reason else noun,
    )


def _pooled_name(levels: tuple[Level, ...]) -> str:
    """A name of the pooled levels that is no level."""
    name = POOLED_LEVEL
    while name in levels:
        name = f"({name})"
    return name


def _contradiction(column: Column, kind: str, reason: str) -> ArgumentError:
    """The error for a kind that contradicts the values."""
    return ArgumentError(
        f'column "{column.name}" cannot be {kind}: {reason}',
        argument="kinds",
        suggestions=("Choose another kind, or leave the column out of the kinds",),
    )


# Numbers and dates


@dataclass(frozen=True, eq=False)
class _Choice:
    """A kind, and its reason."""

    kind: ColumnKind
    reason: str


def _choose_number(column: Column, statistics: ColumnStatistics, kind: str | None) -> Column:
    """The column of numbers or dates."""
    numbers = statistics.numbers
    if statistics.cells == "dates":
        return _choose_date(column, statistics, kind)
    if statistics.cells == "durations":
        column = replace(column, unit="second")
    largest = max(numbers.high, -numbers.low)
    if largest > MAX_NUMBER and kind != "identifier":
        raise DataError(
            f'column "{column.name}" holds {largest:.3g}, which is too large to be modelled',
            argument="source",
            suggestions=("Give the column in another unit, or leave it out",),
        )
    sample = NumberSample(numbers)
    if kind is None:
        choice = _number_kind(column, statistics, sample)
        kind, column = choice.kind, replace(column, reason=choice.reason)
    return _BUILDERS[kind](column, statistics, sample)


def _number_kind(column: Column, statistics: ColumnStatistics, sample: NumberSample) -> _Choice:
    """The kind of numbers, and why."""
    numbers = sample.counts
    n, distinct = numbers.total, numbers.distinct
    values = format_count(distinct, "value")
    if distinct == 1:
        return _Choice("constant", "one value")
    if distinct == 2:
        return _Choice("binary", "two values")
    identifier = _identifier_reason(column.name, statistics)
    if identifier:
        return _Choice("identifier", identifier)
    if distinct <= MAX_ORDINAL_VALUES and n >= MIN_CELLS_PER_VALUE * distinct:
        return _Choice("ordinal", f"{values} in {format_count(n, 'cell')}")
    if statistics.cells == "durations":
        return _Choice("continuous", "durations in seconds")
    discrete = _is_discrete(sample)
    step = numbers.step if discrete else 0.0
    spike = _spike_reason(sample, step)
    if spike:
        return _Choice("spiky", spike)
    return _discrete_kind(sample) if discrete else _real_kind(sample)


def _identifier_reason(name: str, statistics: ColumnStatistics) -> str:
    """Why numbers are identifiers; empty where they are not."""
    numbers = statistics.numbers
    n, distinct = numbers.total, numbers.distinct
    if not numbers.whole or statistics.missing or statistics.cells == "durations":
        return ""
    if is_index_name(name) and distinct == n:
        return "an index without a name"
    if is_identifier_name(name) and distinct >= MAX_UNIQUE_SHARE * n:
        return f"its name, and {distinct / n:.0%} of the numbers are different"
    different = f"{distinct / n:.0%} of the numbers are different"
    if max(numbers.high, -numbers.low) > MAX_EXACT and distinct >= MAX_UNIQUE_SHARE * n:
        return f"{different}, and they have more than 15 digits"
    unique = numbers.counts.max() == 1 and distinct >= 0.9 * n
    from_start = numbers.low in (0, 1) and numbers.high - numbers.low + 1 == n
    if n >= MIN_IDENTIFIER_ROWS and unique and from_start:
        return f"the numbers {numbers.low:.0f} to {numbers.high:,.0f} without repetition"
    return ""


def _is_discrete(sample: NumberSample) -> bool:
    """Whether numbers repeat on a grid, so that a density has no meaning."""
    numbers = sample.counts
    if not numbers.step:
        return False
    repeats = numbers.total / numbers.distinct
    resolution = sample.moments.deviation / numbers.step
    if numbers.whole:
        return repeats >= MIN_REPEATS or resolution < MAX_STEPS
    coarse = repeats >= 2 and resolution < MAX_STEPS
    return coarse or (repeats >= MIN_REPEATS and resolution < MAX_FINE_STEPS)


def _spike_reason(sample: NumberSample, step: float) -> str:
    """Why numbers are spiky; empty where they are not."""
    numbers = sample.counts
    if numbers.distinct <= MAX_ORDINAL_VALUES // 2:
        return ""
    if find_atoms(numbers, MIN_SPIKE_SHARE).any():
        histogram = fit_histogram(numbers, find_atoms(numbers), step)
        if sample.negative_binomial() > histogram.log_density - histogram.penalty - MIN_GAIN:
            return ""
        share = histogram.largest_share
        return f"{histogram.largest:g} holds {share:.0%} of {format_count(numbers.total, 'cell')}"
    return "" if numbers.whole else _bound_reason(sample)


def _bound_reason(sample: NumberSample) -> str:
    """Why real numbers at a bound are atoms."""
    numbers = sample.counts
    cells = {bound: int(numbers.counts[numbers.values == bound].sum()) for bound in (0.0, 1.0)}
    # the least and the greatest of any numbers lie at their bounds: one cell is no atom
    at_bounds = {
        bound: count / numbers.total if count >= MIN_ATOM_CELLS else 0.0
        for bound, count in cells.items()
    }
    if numbers.low >= 0 and numbers.high <= 1 and max(at_bounds.values()) >= 0.01:
        low, high = at_bounds.values()
        return f"shares, of which {low:.1%} are 0 and {high:.1%} are 1"
    if numbers.low == 0 and at_bounds[0.0] >= 0.01 and sample.moments.skewness > 1:
        return f"{at_bounds[0.0]:.1%} of the cells are 0, and the others are skewed"
    return ""


def _discrete_kind(sample: NumberSample) -> _Choice:
    """Count, or whole number."""
    numbers = sample.counts
    figures = _figures(numbers)
    if _near_zero(sample) and sample.negative_binomial() > sample.logistic():
        return _Choice("count", f"whole numbers {figures}, skewness {sample.moments.skewness:.1f}")
    what = "whole numbers" if numbers.whole else f"steps of {numbers.step:g},"
    return _Choice("integer", f"{what} {figures}, {format_count(numbers.distinct)} different")


def _figures(numbers: NumberCounts) -> str:
    """The range of numbers.

    >>> _figures(NumberCounts.of(np.array([12285.0, 0.125])))
    '0.125 to 12,285'
    """
    low, high = (f"{x:,.0f}" if x == round(x) else f"{x:.4g}" for x in (numbers.low, numbers.high))
    return f"{low} to {high}"


def _near_zero(sample: NumberSample) -> bool:
    """Whether numbers may be counts: whole, none negative, the least close to zero."""
    numbers = sample.counts
    return (
        numbers.whole
        and 0 <= numbers.low <= MAX_LEAST_COUNT * sample.moments.mean
        and numbers.high <= MAX_COUNT
    )


def _real_kind(sample: NumberSample) -> _Choice:
    """The kind of numbers that hardly repeat: that of the family that fits best."""
    numbers = sample.counts
    figures = _figures(numbers)
    fits: dict[ColumnKind, float] = {
        "continuous": max(sample.normal(), sample.student_t()),
        "positive": sample.log_normal(),
        "bounded": _beta_fit(sample),
        "count": sample.negative_binomial() if _near_zero(sample) else -np.inf,
    }
    best = max(fits, key=lambda kind: fits[kind])
    gain = fits[best] - fits["continuous"]
    if gain <= max(MIN_GAIN, MIN_TOTAL_GAIN / numbers.total):
        return _Choice("continuous", figures)
    family = {"positive": "log-normal", "bounded": "Beta", "count": "negative binomial"}[best]
    return _Choice(best, f"{figures}; {family} fits better than normal, by {gain:.2f} nats a cell")


def _beta_fit(sample: NumberSample) -> float:
    """How well a Beta distribution fits shares, or percentages of the whole range."""
    low, high = sample.counts.low, sample.counts.high
    if low >= 0 and high <= 1:
        return sample.beta(0.0, 1.0)
    is_percent = low <= FULL_PERCENT[0] and high >= FULL_PERCENT[1]
    return sample.beta(0.0, 100.0) if is_percent else -np.inf


def _choose_date(column: Column, statistics: ColumnStatistics, kind: str | None) -> Column:
    """The column of dates, in days where all are whole days without a time zone."""
    numbers, local = statistics.numbers, "time_zone=None" in column.dtype
    whole_days = numbers.grid >= 0 and numbers.grid % (86_400 * 10**6) == 0
    days = whole_days and (column.dtype == "Date" or local or "Datetime" not in column.dtype)
    size, unit = (86_400.0, "day") if days else (1.0, "second")
    column = replace(column, unit=unit, format=statistics.format)
    low, high = numbers.low / size, numbers.high / size
    if kind != "identifier" and not FIRST_DATE <= numbers.low <= numbers.high < LAST_DATE:
        raise DataError(
            f'column "{column.name}" holds a date before the year 1 or after the year 9999',
            argument="source",
            suggestions=("Correct the dates, or empty the cells",),
        )
    if kind in (None, "constant") and low == high:
        iso = dt.datetime.fromtimestamp(numbers.low, dt.UTC).replace(tzinfo=None).isoformat(" ")
        return replace(
            column, kind="constant", levels=(iso[:10] if days else iso,), reason="one date"
        )
    if kind == "identifier":
        return replace(column, kind="identifier")
    if kind not in (None, "date"):
        raise _contradiction(column, kind, "it holds dates")
    moments = numbers.moments
    first, last = (dt.datetime.fromtimestamp(x * size, dt.UTC).date() for x in (low, high))
    return replace(
        column,
        kind="date",
        likelihood="discretised_logistic" if days else "normal",
        shift=moments.mean / size if not days else float(np.rint(moments.mean / size)),
        scale=_positive(moments.deviation / size),
        low=low,
        high=high,
        step=1.0 if days else 0.0,
        grid=0.0 if days else numbers.step,
        reason=column.reason or f"dates {first} to {last}",
    )


def _positive(scale: float) -> float:
    """The scale, or 1 where it is 0."""
    return scale if scale > 0 and np.isfinite(scale) else 1.0


def _number_levels(column: Column, statistics: ColumnStatistics) -> tuple[Level, ...]:
    """Numbers as levels, of the type of the source."""
    values = statistics.numbers.values.tolist()
    if statistics.cells == "truths":
        return tuple(bool(value) for value in values)
    if "Int" in column.dtype:
        return tuple(int(value) for value in values)
    return tuple(values)


def _build_constant(column: Column, statistics: ColumnStatistics, sample: NumberSample) -> Column:
    return _set_aside(column, "constant", _number_levels(column, statistics))


def _build_identifier(column: Column, statistics: ColumnStatistics, sample: NumberSample) -> Column:
    return replace(column, kind="identifier")


def _build_binary(column: Column, statistics: ColumnStatistics, sample: NumberSample) -> Column:
    return _binary(column, _number_levels(column, statistics))


def _build_ordinal(column: Column, statistics: ColumnStatistics, sample: NumberSample) -> Column:
    levels = _number_levels(column, statistics)
    if len(levels) > MAX_LEVELS:
        raise _contradiction(column, "ordinal", f"it holds more than {MAX_LEVELS:,} values")
    return replace(column, kind="ordinal", likelihood="ordinal", levels=levels)


def _build_categorical(
    column: Column, statistics: ColumnStatistics, sample: NumberSample
) -> Column:
    levels = _number_levels(column, statistics)
    counts = dict(zip(levels, statistics.numbers.counts.tolist(), strict=True))
    return _categorical(column, counts, statistics.numbers.total)


def _build_count(column: Column, statistics: ColumnStatistics, sample: NumberSample) -> Column:
    numbers = statistics.numbers
    if not numbers.whole or numbers.low < 0 or numbers.high > MAX_COUNT:
        what = "it holds decimals" if not numbers.whole else f"it holds {_extreme(numbers):g}"
        raise _contradiction(column, "count", what)
    mean = _positive(sample.moments.mean)
    return _numeric(column, "count", "negative_binomial", numbers, 0.0, mean, 1.0)


def _extreme(numbers: NumberCounts) -> float:
    """The value that lies furthest beyond zero: the least if it is negative, else the greatest."""
    return numbers.low if numbers.low < 0 else numbers.high


def _numeric(
    column: Column,
    kind: ColumnKind,
    likelihood: CellLikelihood,
    numbers: NumberCounts,
    shift: float,
    scale: float,
    step: float = 0.0,
) -> Column:
    """A column of numbers."""
    return replace(
        column,
        kind=kind,
        likelihood=likelihood,
        shift=shift,
        scale=_positive(scale),
        low=numbers.low,
        high=numbers.high,
        step=step,
        grid=0.0 if step else numbers.step,
    )


def _build_integer(column: Column, statistics: ColumnStatistics, sample: NumberSample) -> Column:
    numbers, moments = statistics.numbers, sample.moments
    if not numbers.step:
        raise _contradiction(column, "integer", "its values are no multiples of a step")
    return _numeric(
        column,
        "integer",
        "discretised_logistic",
        numbers,
        moments.mean,
        moments.deviation,
        numbers.step,
    )


def _build_positive(column: Column, statistics: ColumnStatistics, sample: NumberSample) -> Column:
    numbers = statistics.numbers
    if numbers.low <= 0:
        raise _contradiction(column, "positive", f"it holds {numbers.low:g}")
    logs = numbers.log_moments
    return _numeric(column, "positive", "log_normal", numbers, logs.mean, logs.deviation)


def _build_bounded(column: Column, statistics: ColumnStatistics, sample: NumberSample) -> Column:
    numbers = statistics.numbers
    low, high = _bounds(numbers)
    return replace(column, kind="bounded", likelihood="beta", low=low, high=high, grid=numbers.step)


def _bounds(numbers: NumberCounts) -> tuple[float, float]:
    """The interval of bounded numbers: shares, percent, or the next whole numbers."""
    for low, high in ((0.0, 1.0), (0.0, 100.0)):
        if low <= numbers.low and numbers.high <= high:
            return low, high
    low, high = float(np.floor(numbers.low)), float(np.ceil(numbers.high))
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def _build_spiky(column: Column, statistics: ColumnStatistics, sample: NumberSample) -> Column:
    numbers, moments = statistics.numbers, sample.moments
    step = numbers.step if _is_discrete(sample) else 0.0
    # in a spiky column every value that is far more frequent than its neighbours is an atom
    atoms = find_atoms(numbers, 0.0, MAX_MODELLED_ATOMS)
    if not atoms.any():
        if numbers.counts.max() < 2:
            raise _contradiction(column, "spiky", "no value occurs twice")
        atoms = numbers.counts == numbers.counts.max()
        atoms[np.flatnonzero(atoms)[1:]] = False
    histogram = fit_histogram(numbers, atoms, step)
    column = _numeric(column, "spiky", "spiky", numbers, moments.mean, moments.deviation, step)
    return replace(column, atoms=histogram.atoms, edges=histogram.edges)


def _build_continuous(column: Column, statistics: ColumnStatistics, sample: NumberSample) -> Column:
    numbers, moments = statistics.numbers, sample.moments
    gain = sample.student_t() - sample.normal()
    if gain < max(MIN_GAIN, MIN_TOTAL_GAIN / numbers.total):
        return _numeric(column, "continuous", "normal", numbers, moments.mean, moments.deviation)
    low, middle, high = sample.quantiles(np.array([0.25, 0.5, 0.75])).tolist()
    tails = f"long tails: Student t fits better than normal, by {gain:.2f} nats a cell"
    column = replace(column, reason=f"{column.reason}; {tails}" if column.reason else tails)
    return _numeric(
        column, "continuous", "student_t", numbers, middle, (high - low) / 2 / NORMAL_QUARTILE
    )


def _build_date(column: Column, statistics: ColumnStatistics, sample: NumberSample) -> Column:
    raise _contradiction(column, "date", "it holds numbers")


_BUILDERS: dict[str, Callable[[Column, ColumnStatistics, NumberSample], Column]] = {
    "constant": _build_constant,
    "identifier": _build_identifier,
    "binary": _build_binary,
    "categorical": _build_categorical,
    "ordinal": _build_ordinal,
    "date": _build_date,
    "spiky": _build_spiky,
    "count": _build_count,
    "integer": _build_integer,
    "positive": _build_positive,
    "bounded": _build_bounded,
    "continuous": _build_continuous,
}
