"""Pairs of columns of which one is a function of the other, found in one pass.

The pairs of parts of a table can be merged.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

import numpy as np

from ._cells import DistinctCells, distinct_cells
from ._column_statistics import ColumnStatistics, is_missing_cell, plain_values, to_floats
from ._columns import CellRules

MAX_VALUES = 1000  # of a column that is a function, or the source of one
MAX_COLUMNS = 1000  # of one sort, between which functions are sought
MAX_PAIRS = 2000  # of columns that a look at some rows leaves
MIN_ROWS_PER_VALUE = 5  # of a source: what follows from a value that occurs once is not known
SMALL_PART = 500  # values that a column may have in a part of a table with few rows
SAMPLE_ROWS = 128  # that are looked at first
MAX_LISTED_ROWS = 4096  # of which a list is faster than the search of a library
MIN_REPEATS = 100  # rows with a value of the source that occurred before
MIN_EVIDENCE = 30.0  # nats, against columns that are independent
MIN_LINE_VALUES, MIN_LINE_ROWS = 10, 20
MIN_CORRELATION = 1 - 1e-6  # squared, of some rows of numbers
TOLERANCE, SINGLE_TOLERANCE = 1e-12, 1e-6  # of a linear function, in units of the largest number

Pair = tuple[str, str]


@dataclass(frozen=True, eq=False)
class ValueTable:
    """The value of a column for each value of another one, its source.

    Args:
        images: The value for each value of the source.
        counts: In how many rows a value of the source stands beside one of the column.
        orphans: Values beside an empty cell of the source.
    """

    images: Mapping[Any, Any]
    counts: Mapping[Any, int]
    orphans: frozenset[Any] = frozenset()

    def __add__(self, other: ValueTable) -> ValueTable | None:
        """The table of both; ``None`` where they contradict each other."""
        images = {**other.images, **self.images}
        if any(images[value] != image for value, image in other.images.items()):
            return None
        counts = Counter(self.counts) + Counter(other.counts)
        return ValueTable(images, counts, self.orphans | other.orphans)

    @property
    def is_one_to_one(self) -> bool:
        """Whether different values of the source have different values."""
        return len(set(self.images.values())) == len(self.images)

    @property
    def is_complete(self) -> bool:
        """Whether a value beside an empty cell of the source always says what that cell holds."""
        sources = Counter(self.images.values())
        return all(sources[value] == 1 for value in self.orphans)

    @property
    def is_established(self) -> bool:
        """Whether there are too many rows for an accident.

        Only a row with a value of the source that occurred before could contradict the others.
        Independent columns agree in all of these rows with the probability exp(-evidence).
        """
        rows = sum(self.counts.values())
        beside: Counter[Any] = Counter()
        for value, image in self.images.items():
            beside[image] += self.counts[value]
        evidence = sum(
            (1 - self.counts[value]) * math.log(beside[image] / rows)
            for value, image in self.images.items()
        )
        repeats = rows - len(self.images)
        return len(beside) > 1 and repeats >= MIN_REPEATS and evidence >= MIN_EVIDENCE


@dataclass(frozen=True)
class Line:
    """A column of numbers as a linear function of another one, its source.

    Args:
        low: The least value of the source, and the value beside it.
        high: The greatest one.
        rows: In how many rows both have a value.
        tolerance: How far a value may be off, in units of the largest number.
    """

    low: tuple[float, float] = (math.inf, 0.0)
    high: tuple[float, float] = (-math.inf, 0.0)
    rows: int = 0
    tolerance: float = TOLERANCE

    @classmethod
    def through(cls, x: np.ndarray, y: np.ndarray, rows: int, tolerance: float) -> Line | None:
        """The line through all points; ``None`` where there is none."""
        if not len(x):
            return cls(tolerance=tolerance)
        low, high = ((float(x[i]), float(y[i])) for i in (x.argmin(), x.argmax()))
        line = cls(low, high, rows, tolerance)
        predicted = line.scale * x
        size = max(np.abs(y).max(), np.abs(predicted).max())
        difference = np.abs(y - (line.shift + predicted)).max()
        return line if difference <= tolerance * size else None

    def __add__(self, other: Line) -> Line | None:
        """The line of both; ``None`` where they contradict each other."""
        rows, tolerance = self.rows + other.rows, max(self.tolerance, other.tolerance)
        ends = [end for line in (self, other) if line.rows for end in (line.low, line.high)]
        x, y = np.array(ends).reshape(-1, 2).T
        return Line.through(x, y, rows, tolerance)

    @property
    def scale(self) -> float:
        """The slope, without rounding errors; 0 where the source has one value."""
        width = self.high[0] - self.low[0]
        return float(f"{(self.high[1] - self.low[1]) / width:.14g}") if width > 0 else 0.0

    @property
    def shift(self) -> float:
        """The value at 0, without rounding errors."""
        size = max(abs(self.low[1]), abs(self.scale * self.low[0]))
        digits = 14 - math.ceil(math.log10(size)) if size else 0
        return round(self.low[1] - self.scale * self.low[0], digits)

    @property
    def inverse(self) -> Line:
        """The source as a function of the column."""
        (a, b), (c, d) = self.low, self.high
        low, high = sorted([(b, a), (d, c)])
        return replace(self, low=low, high=high)

    @property
    def is_established(self) -> bool:
        """Whether there are too many rows for an accident, and the column is no constant."""
        return self.rows >= MIN_LINE_ROWS and self.scale != 0


@dataclass(frozen=True, eq=False)
class Functions:
    """Pairs of a source and a column, where no row contradicts that the first gives the second.

    Args:
        tables: Pairs of columns with few values.
        lines: Pairs of columns of numbers, in the order of the table.
        empty: Columns without any value.
    """

    tables: Mapping[Pair, ValueTable] = field(default_factory=dict)
    lines: Mapping[Pair, Line] = field(default_factory=dict)
    empty: frozenset[str] = frozenset()

    def __add__(self, other: Functions) -> Functions:
        """The pairs that no row of both contradicts."""
        return Functions(
            _merge(self.tables, other.tables, self.empty, other.empty),
            _merge(self.lines, other.lines, self.empty, other.empty),
            self.empty & other.empty,
        )

    def sources(self) -> dict[str, set[str]]:
        """The possible sources of each column."""
        found: dict[str, set[str]] = {}
        for source, name in (*self.tables, *self.lines, *((b, a) for a, b in self.lines)):
            found.setdefault(name, set()).add(source)
        return found

    def line(self, source: str, column: str) -> Line | None:
        """A column as a linear function of a source."""
        reverse = self.lines.get((column, source))
        return reverse.inverse if reverse is not None else self.lines.get((source, column))


def _merge(
    first: Mapping[Pair, Any],
    second: Mapping[Pair, Any],
    empty_first: frozenset[str],
    empty_second: frozenset[str],
) -> dict[Pair, Any]:
    """The pairs in both, or in one where a column has no value in the other."""
    both = {pair: first[pair] + second[pair] for pair in first if pair in second}
    only_first = {pair: first[pair] for pair in first if empty_second.intersection(pair)}
    only_second = {pair: second[pair] for pair in second if empty_first.intersection(pair)}
    found = {**only_second, **only_first, **both}
    return {pair: each for pair, each in found.items() if each is not None}


def read_functions(
    frame: Any,
    statistics: Mapping[str, ColumnStatistics],
    rules: CellRules = CellRules(),
    requested: Collection[str] = (),
) -> Functions:
    """The pairs of columns of a table of which one may be a function of the other.

    Some evenly spaced rows exclude nearly all pairs. All rows are read for the others.

    Args:
        frame: A narwhals frame.
        statistics: The statistics of its columns.
        rules: How cells are read.
        requested: Columns that are looked at, however few rows there are.
    """
    few = [
        name
        for name, each in statistics.items()
        if _has_few_values(each)
        and (name in requested or 1 < each.distinct <= each.known / MIN_ROWS_PER_VALUE)
    ]
    numbers = [
        name
        for name, each in statistics.items()
        if _has_numbers(each) and (name in requested or each.distinct >= MIN_LINE_VALUES)
    ]
    return _read_pairs(frame, statistics, rules, few, numbers)


def read_part(
    frame: Any,
    statistics: Mapping[str, ColumnStatistics],
    rules: CellRules = CellRules(),
    before: Functions | None = None,
) -> Functions:
    """The same for a part of a table, in which a column may have few of its values.

    Args:
        frame: A narwhals frame.
        statistics: The statistics of its columns.
        rules: How cells are read.
        before: The pairs of the rows before, which are the only possible ones.
    """
    most = max(len(frame) / 2, SMALL_PART)
    few = [n for n, each in statistics.items() if _has_few_values(each) and each.distinct <= most]
    numbers = [name for name, each in statistics.items() if _has_numbers(each)]
    if before is None or any(statistics[name].known for name in before.empty):
        return _read_pairs(frame, statistics, rules, few, numbers)
    both = set(few)
    tables = [pair for pair in before.tables if both.issuperset(pair)]
    lines = [pair for pair in before.lines if set(numbers).issuperset(pair)]
    return _read_all_rows(frame, statistics, rules, tables, lines)


def _has_few_values(statistics: ColumnStatistics) -> bool:
    is_plain = statistics.cells in ("numbers", "truths", "texts") and statistics.fault is None
    return is_plain and 0 < statistics.distinct <= MAX_VALUES


def _has_numbers(statistics: ColumnStatistics) -> bool:
    return statistics.cells == "numbers" and statistics.fault is None


def _read_pairs(
    frame: Any,
    statistics: Mapping[str, ColumnStatistics],
    rules: CellRules,
    few: list[str],
    numbers: list[str],
) -> Functions:
    """The pairs of some columns, those with few values and those of numbers."""
    few, numbers = few[:MAX_COLUMNS], numbers[:MAX_COLUMNS]
    sample = frame[list(range(0, len(frame), max(len(frame) // SAMPLE_ROWS, 1)))]
    places = [_read_places(sample[name], statistics[name], rules)[1] for name in few]
    tables = [(few[a], few[b]) for a, b in _possible_functions(places)]
    possible = _possible_lines([_read_numbers(sample[name], rules) for name in numbers])
    lines = [(numbers[a], numbers[b]) for a, b in possible]
    return _read_all_rows(frame, statistics, rules, tables, lines)


def _read_all_rows(
    frame: Any,
    statistics: Mapping[str, ColumnStatistics],
    rules: CellRules,
    possible_tables: Sequence[Pair],
    possible_lines: Sequence[Pair],
) -> Functions:
    """Those of the pairs that no row contradicts."""
    names = _names_in(possible_tables)
    cells = {name: _read_places(frame[name], statistics[name], rules) for name in names}
    tables = {(a, b): _value_table(*cells[a], *cells[b]) for a, b in possible_tables}
    x = {name: _read_numbers(frame[name], rules) for name in _names_in(possible_lines)}
    lines = {(a, b): _line(x[a], x[b], statistics[a], statistics[b]) for a, b in possible_lines}
    return Functions(
        {pair: each for pair, each in tables.items() if each is not None},
        {pair: each for pair, each in lines.items() if each is not None},
        frozenset(name for name, each in statistics.items() if not each.known),
    )


def _names_in(pairs: Iterable[Pair]) -> list[str]:
    return list(dict.fromkeys(chain.from_iterable(pairs)))


def _read_places(
    series: Any, statistics: ColumnStatistics, rules: CellRules
) -> tuple[list[Any], np.ndarray]:
    """The distinct values of a column, and the place of each cell among them, -1 where empty."""
    if series.dtype.is_numeric() or str(series.dtype) == "Boolean":
        values, x = statistics.numbers.values, _read_numbers(series, rules)
        return values.tolist(), np.where(np.isnan(x), -1, np.searchsorted(values, x))
    cells = _few_cells(series) if len(series) <= MAX_LISTED_ROWS else distinct_cells(series)
    codes, texts = rules.empty_numbers(statistics.name), statistics.texts.counts
    is_text = statistics.cells == "texts"
    known = [
        str(value) in texts if is_text else not codes or float(value) not in codes
        for value in cells.values
    ]
    places = np.where([*known, False], np.arange(len(known) + 1), -1)
    return cells.values, places[cells.places]


def _few_cells(series: Any) -> DistinctCells:
    """The distinct values of a short column."""
    cells = plain_values(series).to_list()
    values = [value for value in dict.fromkeys(cells) if not is_missing_cell(value)]
    places = {value: place for place, value in enumerate(values)}
    return DistinctCells(values, np.array([places.get(cell, -1) for cell in cells], dtype=np.int64))


def _read_numbers(series: Any, rules: CellRules) -> np.ndarray:
    """The cells of a column of numbers, NaN where they are empty."""
    return rules.without_codes(series.name, to_floats(plain_values(series)))


def _possible_functions(columns: Sequence[np.ndarray]) -> list[tuple[int, int]]:
    """The pairs of columns that some rows leave."""
    if len(columns) < 2:
        return []
    places = np.stack(columns, 1)
    filled = np.where(places < 0, MAX_VALUES, places)  # the least place of known cells remains
    found = []
    for source, own in enumerate(columns):
        order = np.argsort(own, kind="stable")
        order = order[np.count_nonzero(own < 0) :]
        starts = np.flatnonzero(np.diff(own[order], prepend=-1))
        last = np.maximum.reduceat(places[order], starts) if len(order) else places[:0]
        first = np.minimum.reduceat(filled[order], starts) if len(order) else places[:0]
        possible = ((last == first) | (last < 0)).all(0)
        found += [(source, each) for each in np.flatnonzero(possible).tolist() if each != source]
    return found[:MAX_PAIRS]


def _value_table(
    sources: list[Any], places: np.ndarray, values: list[Any], own_places: np.ndarray
) -> ValueTable | None:
    """The function of a source; ``None`` where there is none."""
    known = (places >= 0) & (own_places >= 0)
    a, b = places[known], own_places[known]
    images = np.full(len(sources), -1)
    images[a] = b
    if (images[a] != b).any():
        return None
    counts = np.bincount(a, minlength=len(sources))
    orphans = np.unique(own_places[(places < 0) & (own_places >= 0)])
    used = np.flatnonzero(counts).tolist()
    return ValueTable(
        {sources[place]: values[images[place]] for place in used},
        {sources[place]: int(counts[place]) for place in used},
        frozenset(values[place] for place in orphans.tolist()),
    )


def _possible_lines(columns: Sequence[np.ndarray]) -> list[tuple[int, int]]:
    """The pairs of columns of numbers that some rows leave, by the correlation of these rows."""
    if len(columns) < 2:
        return []
    x = np.stack(columns, 1)
    known = np.isfinite(x)
    n = np.maximum(known.sum(0), 1)
    x = np.where(known, x, 0)
    x = np.where(known, x - x.sum(0) / n, 0)
    x /= np.maximum(np.abs(x).max(0), 1e-300)
    mask = known.astype(np.float64)
    rows = np.maximum(mask.T @ mask, 1)
    sums = x.T @ mask  # of the first column, where the second one is known
    squares = (x * x).T @ mask - sums**2 / rows
    products = x.T @ x - sums * sums.T / rows
    excluded = products**2 < MIN_CORRELATION * squares * squares.T
    excluded |= np.tri(len(rows), dtype=bool)
    return list(zip(*(each.tolist() for each in np.nonzero(~excluded)), strict=True))[:MAX_PAIRS]


def _line(
    x: np.ndarray, y: np.ndarray, source: ColumnStatistics, column: ColumnStatistics
) -> Line | None:
    """The linear function of a source; ``None`` where there is none."""
    known = ~(np.isnan(x) | np.isnan(y))
    single = "float32" in f"{source.dtype} {column.dtype}".lower()
    tolerance = SINGLE_TOLERANCE if single else TOLERANCE
    return Line.through(x[known], y[known], int(known.sum()), tolerance)
