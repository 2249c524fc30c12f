"""What is known about a column after one pass over its cells; parts can be merged."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from numbers import Real
from typing import Any, Literal

import numpy as np

from ..errors import DataError
from ..networks._condition import class_name
from ._columns import CellRules, cast_to_float
from ._value_counts import NumberCounts, TextCounts

Cells = Literal["empty", "numbers", "truths", "texts", "dates", "durations", "mixed", "nested"]
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICRO = 1e6


@dataclass(frozen=True, eq=False)
class ColumnStatistics:
    """Statistics of a column.

    Args:
        name: The name of the column.
        dtype: The dtype in the source, as narwhals names it.
        cells: What the cells hold.
        rows: The number of rows.
        missing: The number of missing cells.
        numbers: The counts of numbers, of seconds since 1970 for dates, of seconds for durations.
        texts: The counts of texts.
        categories: The categories of a column whose dtype lists them.
        ordered: Whether these have an order.
        fault: What is wrong with a cell, and its row, counted from 0.
        format: How dates are written in text.
    """

    name: str
    dtype: str
    cells: Cells
    rows: int
    missing: int
    numbers: NumberCounts = field(default_factory=NumberCounts)
    texts: TextCounts = field(default_factory=TextCounts)
    categories: tuple[Any, ...] | None = None
    ordered: bool = False
    fault: tuple[str, int] | None = None
    format: str = ""

    @property
    def known(self) -> int:
        """The number of cells with a value."""
        return self.rows - self.missing

    @property
    def all_nested(self) -> bool:
        """Whether every cell that is not empty holds a list, a record or another container."""
        return self.cells == "nested" and not self.texts.total

    @property
    def distinct(self) -> int:
        """The number of distinct values; an estimate where there are very many."""
        return (self.texts if self.cells in ("texts", "mixed") else self.numbers).distinct

    def __add__(self, other: ColumnStatistics) -> ColumnStatistics:
        """The statistics of both, ``other`` following on this."""
        if self.cells == "empty" or other.cells == "empty":
            known = other if self.cells == "empty" else self
            fault = known.fault and (known.fault[0], known.fault[1] + (known is other) * self.rows)
            return replace(
                known,
                rows=self.rows + other.rows,
                missing=self.missing + other.missing,
                fault=fault,
            )
        if self.cells != other.cells:
            raise DataError(
                f'column "{self.name}" holds {self.cells} in one part and {other.cells} in another',
                argument="frame",
                suggestions=("Give all parts the same dtypes",),
            )
        later = other.fault and (other.fault[0], other.fault[1] + self.rows)
        same = self.dtype == other.dtype
        return replace(
            self,
            dtype=self.dtype if same or self.cells != "numbers" else "Float64",
            rows=self.rows + other.rows,
            missing=self.missing + other.missing,
            numbers=self.numbers + other.numbers,
            texts=self.texts + other.texts,
            categories=self.categories
            and tuple(dict.fromkeys((*self.categories, *(other.categories or ())))),
            fault=self.fault or later,
        )


def read_statistics(name: str, series: Any, rules: CellRules = CellRules()) -> ColumnStatistics:
    """The statistics of a narwhals series.

    Args:
        name: The name of the column.
        series: A narwhals series.
        rules: How cells are read.
    """
    empty = rules.empty_texts(name)
    start = (name, str(series.dtype))
    series = plain_values(series)
    dtype = series.dtype
    kind = str(dtype).split("(")[0]
    if dtype.is_numeric() or kind == "Boolean":
        cells = "truths" if kind == "Boolean" else "numbers"
        x = rules.without_codes(name, to_floats(series))
        return _of_numbers(start, cells, x, kind == "Float32")
    if kind in ("String", "Categorical", "Enum"):
        return _of_texts(start, series, kind, empty)
    if kind in ("Date", "Datetime"):
        return _of_numbers(start, "dates", to_floats(series.dt.timestamp("us")) / _MICRO)
    if kind == "Duration":
        return _of_numbers(start, "durations", to_floats(series.dt.total_microseconds()) / _MICRO)
    if kind in ("Time", "Object", "Unknown"):
        return _of_objects(start, series.to_list(), rules)
    return ColumnStatistics(*start, "nested", len(series), 0, fault=(kind.lower(), 0))


def plain_values(series: Any) -> Any:
    """A series without the dictionary of pyarrow, where that does not hold texts."""
    import narwhals

    if not series.implementation.is_pyarrow() or str(series.dtype) != "Categorical":
        return series
    native = series.to_native()
    plain = narwhals.from_native(native.slice(0, 0).cast(native.type.value_type), series_only=True)
    if str(plain.dtype) == "String":
        return series
    return narwhals.from_native(native.cast(native.type.value_type), series_only=True)


def _of_numbers(
    start: tuple[str, str], cells: Cells, x: np.ndarray, single: bool = False
) -> ColumnStatistics:
    """Statistics of numbers with NaN in missing cells."""
    known = ~np.isnan(x)
    fault = None
    if np.isinf(x).any():
        row = int(np.isinf(x).argmax())
        fault, known = (str(x[row]), row), np.isfinite(x)
    missing = len(x) - int(np.count_nonzero(known))
    if missing == len(x) and fault is None:
        return ColumnStatistics(*start, "empty", len(x), len(x))
    numbers = NumberCounts.of(x[known] if missing else x, single)
    return ColumnStatistics(*start, cells, len(x), missing, numbers, fault=fault)


def _of_texts(
    start: tuple[str, str], series: Any, kind: str, empty: frozenset[str]
) -> ColumnStatistics:
    """Statistics of texts and categories."""
    categories, ordered = _categories(series, kind)
    present = series if categories is None else series.drop_nulls()
    table = present.value_counts(sort=False, name="aevb count")
    values, counts = (table[column].to_list() for column in table.columns)
    pairs = zip(values, counts, strict=True)
    if categories is None:
        found = {value: count for value, count in pairs if isinstance(value, str)}
        found = _without_empty(found, empty)
    else:
        found = {str(value): count for value, count in pairs if count}
    texts = TextCounts.of(found)
    cells = "texts" if texts.total else "empty"
    missing = len(series) - texts.total
    return ColumnStatistics(
        *start, cells, len(series), missing, texts=texts, categories=categories, ordered=ordered
    )


def _without_empty(counts: dict[str, int], empty: frozenset[str]) -> dict[str, int]:
    """The counts without texts that stand for missing cells."""
    for text in [text for text in counts if text.strip().lower() in empty]:
        del counts[text]
    return counts


def _categories(series: Any, kind: str) -> tuple[tuple[Any, ...] | None, bool]:
    """The categories that a dtype lists, and whether they have an order."""
    native = series.to_native()
    if series.implementation.is_pandas() and kind in ("Categorical", "Enum"):
        return tuple(native.cat.categories.tolist()), bool(native.cat.ordered)
    if kind == "Enum":
        return tuple(series.dtype.categories), True
    if series.implementation.is_pyarrow() and kind == "Categorical" and native.type.ordered:
        return tuple(native.unify_dictionaries().chunk(0).dictionary.to_pylist()), True
    return None, False


def _of_objects(start: tuple[str, str], values: list[Any], rules: CellRules) -> ColumnStatistics:
    """Statistics of Python objects: those of a dtype where all have one."""
    values = _without_codes(start[0], values, rules)
    known = [value for value in values if not is_missing_cell(value)]
    n = len(values)
    types = set(map(type, known))
    if not known:
        return ColumnStatistics(*start, "empty", n, n)
    if all(issubclass(each, str) for each in types):
        texts = TextCounts.of(Counter(known))
        return ColumnStatistics(*start, "texts", n, n - texts.total, texts=texts)
    convert = _converter(types)
    if convert is None:
        return _refused_objects(start, values, types)
    cells, function = convert
    x = np.array([np.nan if is_missing_cell(value) else function(value) for value in values])
    return _of_numbers(start, cells, x)


def _without_codes(name: str, values: list[Any], rules: CellRules) -> list[Any]:
    """Python objects with None in the place of those that stand for empty cells."""
    texts, numbers = rules.empty_texts(name), rules.empty_numbers(name)

    def is_empty(value: Any) -> bool:
        if isinstance(value, str):
            return value.strip().lower() in texts
        return isinstance(value, Real | Decimal | np.bool_) and float(value) in numbers

    return [None if is_empty(value) else value for value in values]


def _converter(types: set[type]) -> tuple[Cells, Any] | None:
    """How objects of these types become numbers."""
    if all(issubclass(each, bool | np.bool_) for each in types):
        return "truths", float
    if all(issubclass(each, Real | Decimal) for each in types):
        return "numbers", float
    if all(issubclass(each, dt.date) for each in types):
        return "dates", _seconds
    if all(issubclass(each, dt.time) for each in types):
        return "durations", _seconds_of_day
    if all(issubclass(each, dt.timedelta) for each in types):
        return "durations", dt.timedelta.total_seconds
    return None


def _refused_objects(
    start: tuple[str, str], values: list[Any], types: set[type]
) -> ColumnStatistics:
    """Statistics of cells that cannot be read: several types, or containers."""
    known = [value for value in values if not is_missing_cell(value)]
    missing = len(values) - len(known)
    unknown = [each for each in types if not issubclass(each, str | Real | dt.date | Decimal)]
    if unknown:
        row = next(row for row, value in enumerate(values) if type(value) in unknown)
        fault, texts = (type(values[row]).__name__, row), TextCounts()
        if len(unknown) < len(types):
            texts = TextCounts.of(Counter(map(class_name, known)))
        return ColumnStatistics(*start, "nested", len(values), missing, texts=texts, fault=fault)
    is_text = [isinstance(value, str) for value in known]
    rare = known[is_text.index(2 * sum(is_text) <= len(is_text))] if any(is_text) else known[0]
    row = next(row for row, value in enumerate(values) if value is rare)
    texts = TextCounts.of(Counter(map(class_name, known)))
    fault = (_quote(rare), row)
    return ColumnStatistics(*start, "mixed", len(values), missing, texts=texts, fault=fault)


def _quote(value: Any) -> str:
    """A cell in a sentence."""
    return f'"{value}"' if isinstance(value, str) else repr(value)


def is_missing_cell(value: Any) -> bool:
    """Whether an object stands for a missing cell: None, NaN, NaT, NA."""
    if value is None:
        return True
    try:
        return bool(value != value)
    except (TypeError, ValueError):  # the comparison of NA is NA, that of an array is an array
        return type(value).__name__ == "NAType"


def _seconds(value: Any) -> float:
    """Seconds since 1970; a date without a time zone counts as UTC."""
    if not isinstance(value, dt.datetime):
        value = dt.datetime(value.year, value.month, value.day)
    if value.tzinfo is None:
        value = value.replace(tzinfo=dt.UTC)
    return (value - _EPOCH).total_seconds()


def _seconds_of_day(value: dt.time) -> float:
    """Seconds since midnight."""
    return value.hour * 3600 + value.minute * 60 + value.second + value.microsecond / _MICRO


def to_floats(series: Any) -> np.ndarray:
    """The cells as float64, NaN where they are missing."""
    import narwhals

    dtype = series.dtype
    if dtype != narwhals.Float64:
        series = cast_to_float(series)
    cells = np.asarray(series.to_numpy(), dtype=np.float64)
    return np.round(cells, dtype.scale) if isinstance(dtype, narwhals.Decimal) else cells


def merge_statistics(
    first: Mapping[str, ColumnStatistics], second: Mapping[str, ColumnStatistics]
) -> dict[str, ColumnStatistics]:
    """The statistics of all columns of two parts of a table.

    Raises:
        DataError: The parts have other columns.
    """
    if set(first) != set(second):
        other = next(iter(set(first) ^ set(second)))
        raise DataError(
            f'one part has the column "{other}", and another has not',
            argument="frame",
            suggestions=("Give all parts the same columns",),
        )
    return {name: first[name] + second[name] for name in first}
