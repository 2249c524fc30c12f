"""Cells of a column of any data frame: numbers, or distinct values and their places."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np

from ..errors import DataError
from ..networks._column import Column
from ._column_statistics import is_missing_cell, plain_values, to_floats
from ._columns import CellRules
from ._date_texts import find_date_format, parse_date
from ._number_texts import parse_numbers

MICROSECONDS = {"day": 86_400_000_000, "second": 1_000_000}
_EPOCH = dt.datetime(1970, 1, 1)


@dataclass(frozen=True, eq=False)
class DistinctCells:
    """The distinct values of a column.

    Args:
        values: The values, none of them empty.
        places: The place of each cell in ``values``, int64 ``[N]``, -1 for an empty cell.
    """

    values: list[Any]
    places: np.ndarray

    def map(self, function: Callable[[Any], float]) -> np.ndarray:
        """The number of each cell, float64 ``[N]``, NaN for an empty cell."""
        table = np.array([*(function(value) for value in self.values), np.nan], dtype=np.float64)
        return table[self.places]

    def first_row(self, value: Any) -> int:
        """The first row with a value, counted from 0."""
        return int(np.argmax(self.places == self.values.index(value)))


def distinct_cells(series: Any) -> DistinctCells:
    """The distinct values of a narwhals series; None, NaN, NaT and NA are empty cells.

    Raises:
        DataError: The cells are lists, records or bytes.
    """
    if series.dtype.is_nested() or str(series.dtype) == "Binary":
        raise _nested_error(series)
    series = plain_values(series)
    native, library = series.to_native(), series.implementation
    if str(series.dtype) == "Object":
        values, places = _object_places(series)
    elif library.is_pandas():
        values, places = _pandas_places(native)
    elif library.is_polars():
        values, places = _polars_places(native)
    elif library.is_pyarrow():
        values, places = _pyarrow_places(native)
    else:
        values, places = _other_places(series.to_list())
    kept = [place for place, value in enumerate(values) if not is_missing_cell(value)]
    new_places = np.full(len(values) + 1, -1)  # the last one is that of empty cells
    new_places[kept] = np.arange(len(kept))
    return DistinctCells([values[place] for place in kept], new_places[places])


def _nested_error(series: Any) -> DataError:
    """The error for lists, records and bytes."""
    return DataError(
        f'the cells of column "{series.name}" are not single values ({series.dtype})',
        argument="frame",
        suggestions=("Write them as several columns",),
    )


def _object_places(series: Any) -> tuple[list[Any], np.ndarray]:
    """The distinct values of Python objects."""
    try:
        if series.implementation.is_pandas():
            return _pandas_places(series.to_native())
        values, places = _other_places(series.to_list())
        hash(tuple(values))
        return values, places
    except TypeError as error:  # a value without a hash
        raise _nested_error(series) from error


def read_numbers(column: Column, series: Any, rules: CellRules = CellRules()) -> np.ndarray:
    """The cells of a column of numbers or dates, float64 ``[N]``, NaN where they are empty.

    Dates are days or seconds since 1970 (see ``Column.unit``); days are those of the clock of the
    time zone. Durations and times of the day are seconds.

    Raises:
        DataError: A cell holds something else.
    """
    if column.kind == "date":
        return _read_dates(column, series, rules)
    if str(series.dtype).startswith("Duration"):
        return to_floats(series.dt.total_microseconds()) / MICROSECONDS["second"]
    if series.dtype.is_numeric() or str(series.dtype) == "Boolean":
        return rules.without_codes(column.name, to_floats(series))
    cells = distinct_cells(series)
    numbers = numbers_of(column.name, cells.values, rules)
    for value in cells.values:
        if numbers[value] is None:
            raise _cell_error(column, cells.first_row(value), value, "numbers")
    return cells.map(lambda value: numbers[value])


def numbers_of(name: str, values: list[Any], rules: CellRules = CellRules()) -> dict[Any, Any]:
    """The number of each distinct value of a column; ``None`` where it is none.

    >>> numbers_of("x", ["1,5", " 2", "a", True, dt.timedelta(minutes=1)])
    {'1,5': 1.5, ' 2': 2.0, 'a': None, True: True, datetime.timedelta(seconds=60): 60.0}
    """
    texts = dict.fromkeys(value.strip() for value in values if isinstance(value, str))
    empty, codes = rules.empty_texts(name), rules.empty_numbers(name)
    read = parse_numbers(texts, rules.decimal, usual=rules.usual_decimal, empty=empty).values
    numbers = {value: _number_of(value, read) for value in values}
    times = (dt.timedelta, dt.time)
    return {
        value: math.nan if number in codes and not isinstance(value, times) else number
        for value, number in numbers.items()
    }


def _number_of(value: Any, read: Mapping[str, float]) -> Any:
    """A value as a number; durations and times of the day in seconds."""
    if isinstance(value, str):
        return read.get(value.strip())
    if isinstance(value, dt.timedelta):
        return value.total_seconds()
    if isinstance(value, dt.time):
        return (dt.datetime.combine(_EPOCH, value.replace(tzinfo=None)) - _EPOCH).total_seconds()
    if isinstance(value, Decimal):
        return float(value)
    return value if isinstance(value, Real | np.bool_) else None


def _read_dates(column: Column, series: Any, rules: CellRules) -> np.ndarray:
    """Days or seconds since 1970."""
    dtype = str(series.dtype)
    scale = MICROSECONDS[column.unit]
    if dtype.startswith("Datetime") or dtype == "Date":
        if column.unit == "day" and getattr(series.dtype, "time_zone", None):
            series = series.dt.replace_time_zone(None)
        cells = to_floats(series.dt.timestamp("us")) / scale
        return np.floor(cells) if column.unit == "day" and column.step else cells
    cells = distinct_cells(series)
    empty = rules.empty_texts(column.name)
    texts = [value for value in cells.values if isinstance(value, str)]
    filled = [text for text in texts if text.strip().lower() not in empty]
    form = column.format or find_date_format(filled)
    dates = {
        **{value: _microseconds_of(value, column.unit, form) for value in cells.values},
        **dict.fromkeys(set(texts).difference(filled), math.nan),
    }
    for value, date in dates.items():
        if date is None:
            raise _cell_error(column, cells.first_row(value), value, "dates")
    return cells.map(lambda value: dates[value] or 0.0) / scale


def _microseconds_of(value: Any, unit: str, form: str) -> float | None:
    """A date as microseconds since 1970; ``None`` for something else."""
    if isinstance(value, str):
        try:
            return parse_date(value, form) * MICROSECONDS["second"] if form else None
        except ValueError:
            return None
    if not isinstance(value, dt.date):
        return None
    if not isinstance(value, dt.datetime):
        return (value - _EPOCH.date()) // dt.timedelta(microseconds=1)
    if value.tzinfo is not None and unit == "second":
        value = value.astimezone(dt.UTC)
    return (value.replace(tzinfo=None) - _EPOCH) // dt.timedelta(microseconds=1)


def _cell_error(column: Column, row: int, value: Any, noun: str) -> DataError:
    """The error for a cell that holds something else than its column."""
    return DataError(
        f'column "{column.name}" holds {noun}, but row {row + 1:,} holds "{value}"',
        argument="frame",
        suggestions=("Correct or empty the cell",),
    )


def _pandas_places(series: Any) -> tuple[list[Any], np.ndarray]:
    import pandas

    if isinstance(series.dtype, pandas.CategoricalDtype):
        return series.cat.categories.tolist(), series.cat.codes.to_numpy(np.int64)
    places, values = pandas.factorize(series)
    return values.tolist(), places.astype(np.int64)


def _polars_places(series: Any) -> tuple[list[Any], np.ndarray]:
    """By way of text, whose places polars finds without its lazy engine, which starts slowly."""
    import polars

    if series.dtype in (polars.Categorical, polars.Enum):
        series = series.cast(polars.String)
    if series.dtype.is_float():
        return _float_places(series.to_numpy())
    values = series.unique(maintain_order=True).drop_nulls()
    distinct = values
    if series.dtype.is_temporal():
        series, distinct = series.to_physical(), values.to_physical()
    texts = polars.Enum(distinct.cast(polars.String))
    places = series.cast(polars.String).cast(texts).to_physical().to_numpy().astype(np.float64)
    return values.to_list(), np.nan_to_num(places, nan=-1).astype(np.int64)


def _float_places(cells: np.ndarray) -> tuple[list[Any], np.ndarray]:
    values, places = np.unique(cells[~np.isnan(cells)] + 0.0, return_inverse=True)  # -0.0 is 0.0
    found = np.full(len(cells), -1)
    found[~np.isnan(cells)] = places
    return values.tolist(), found


def _pyarrow_places(array: Any) -> tuple[list[Any], np.ndarray]:
    import pyarrow

    encoded = array.dictionary_encode() if not pyarrow.types.is_dictionary(array.type) else array
    encoded = encoded.unify_dictionaries().combine_chunks()
    places = encoded.indices.cast(pyarrow.int64()).fill_null(-1).to_numpy(zero_copy_only=False)
    return encoded.dictionary.to_pylist(), places


def _other_places(cells: list[Any]) -> tuple[list[Any], np.ndarray]:
    order: dict[Any, int] = {}
    places = [order.setdefault(str(cell), len(order)) for cell in cells]
    values = dict(zip(places, cells, strict=True))
    return [values[place] for place in range(len(order))], np.array(places, dtype=np.int64)
