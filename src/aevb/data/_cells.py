"""Cells of a column of any data frame: numbers, or distinct values and their places."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import DataError
from ..networks._column import Column, Level
from ._columns import EMPTY_CELL_TEXTS, CellRules
from ._date_texts import parse_date
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
        raise DataError(
            f'the cells of column "{series.name}" are not single values ({series.dtype})',
            argument="frame",
            suggestions=("Write them as several columns",),
        )
    native, library = series.to_native(), series.implementation
    if library.is_pandas():
        values, places = _pandas_places(native)
    elif library.is_polars() and str(series.dtype) != "Object":
        values, places = _polars_places(native)
    elif library.is_pyarrow():
        values, places = _pyarrow_places(native)
    else:
        values, places = _other_places(series.to_list())
    is_empty = np.array([*(value is None or value != value for value in values), True])
    return DistinctCells(values, np.where(is_empty[places], -1, places))


def read_numbers(column: Column, series: Any, rules: CellRules = CellRules()) -> np.ndarray:
    """The cells of a column of numbers or dates, float64 ``[N]``, NaN where they are empty.

    Dates are days or seconds since 1970 (see ``Column.unit``); days are those of the clock of the
    time zone.

    Raises:
        DataError: A cell holds something else.
    """
    if column.unit:
        return _read_dates(column, series)
    missing = rules.missing_in(column.name)
    dtype = str(series.dtype)
    if dtype.startswith("Duration"):
        return _to_floats(series.dt.total_microseconds()) / MICROSECONDS["second"]
    if series.dtype.is_numeric() or dtype == "Boolean":
        cells = _to_floats(series)
        codes = [float(number) for number in parse_numbers(missing).values.values()]
        return np.where(np.isin(cells, codes), np.nan, cells) if codes else cells
    cells = distinct_cells(series)
    texts = [str(value).strip() for value in cells.values]
    found = parse_numbers(
        dict.fromkeys(texts), rules.decimal, usual=rules.usual_decimal, empty=missing
    )
    if found.others:
        text = found.others[0]
        row = cells.first_row(cells.values[texts.index(text)])
        raise _cell_error(column, row, text, "numbers")
    return cells.map(lambda value: found.values[str(value).strip()])


def is_empty_text(value: Any, levels: tuple[Level, ...], missing: tuple[str, ...] = ()) -> bool:
    """Whether a value of a column of categories stands for an empty cell.

    >>> is_empty_text("NA", ("a", "b")), is_empty_text("NA", ("NA", "b"))
    (True, False)
    """
    if not isinstance(value, str) or value in levels:
        return False
    text = value.strip()
    return text.lower() in EMPTY_CELL_TEXTS or text in missing


def _to_floats(series: Any) -> np.ndarray:
    """A column of numbers as float64, NaN where a cell is empty."""
    import narwhals

    return np.array(
        series.cast(narwhals.Float64).fill_null(float("nan")).to_numpy(), dtype=np.float64
    )


def _read_dates(column: Column, series: Any) -> np.ndarray:
    """Days or seconds since 1970."""
    dtype = str(series.dtype)
    scale = MICROSECONDS[column.unit]
    if dtype.startswith("Datetime") or dtype == "Date":
        if column.unit == "day" and getattr(series.dtype, "time_zone", None):
            series = series.dt.replace_time_zone(None)
        cells = _to_floats(series.dt.timestamp("us")) / scale
        return np.floor(cells) if column.unit == "day" and column.step else cells
    cells = distinct_cells(series)
    if column.format:
        return cells.map(lambda value: _date_of_text(column, cells, value) * 1e6 / scale)
    for value in cells.values:
        if not isinstance(value, dt.date):
            raise _cell_error(column, cells.first_row(value), value, "dates")
    return cells.map(lambda value: _microseconds(value, column.unit) / scale)


def _date_of_text(column: Column, cells: DistinctCells, value: Any) -> float:
    """A date in text as seconds since 1970; NaN for a text that stands for an empty cell."""
    text = str(value).strip()
    if text.lower() in EMPTY_CELL_TEXTS:
        return np.nan
    try:
        return parse_date(text, column.format)
    except ValueError as error:
        raise _cell_error(column, cells.first_row(value), value, "dates") from error


def _microseconds(value: dt.date, unit: str) -> int:
    """A date of Python as microseconds since 1970."""
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
    import polars

    if series.dtype in (polars.Categorical, polars.Enum):
        series = series.cast(polars.String)
    values = series.unique(maintain_order=True).drop_nulls()
    order = polars.Series(np.arange(len(values)), dtype=polars.Int64)
    places = series.replace_strict(values, order, default=-1, return_dtype=polars.Int64)
    return values.to_list(), places.fill_null(-1).to_numpy()


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
