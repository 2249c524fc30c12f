"""Tables: CSV, Parquet and data frames of any kind become rows of numbers, and what was left out is said."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..errors import DataError, extra
from .cells import EMPTY, Column, read_column
from .form import Form
from .raw import Ask, Raw
from .told import LABEL, Given
from .words import count, listing, nearest


@dataclass(frozen=True)
class Sheet:
    """A narwhals frame, how errors name it, and the line of the file on which its first row stands (None: not from lines)."""

    frame: Any
    name: str
    origin: str
    first_line: int | None = None
    notes: tuple[str, ...] = ()
    form: Form | None = None  # of the rows in a column of bytes, where the file says


def read_csv(handle: BinaryIO, path: Path, ask: Ask) -> Raw:
    """A CSV file: comma, semicolon or tab between cells; a header unless every cell of the first line is a number."""
    origin = f'file "{path}"'
    ask.refuse(origin, "key")
    polars = _import("polars", "reading CSV files")
    text = handle.read().strip()  # empty lines at the end are no rows
    first = text.split(b"\n", 1)[0].decode("utf-8", "replace").strip()
    separator = max(",;\t", key=first.count)
    header = not all(_is_number(cell) for cell in first.split(separator))
    frame = polars.read_csv(text, separator=separator, has_header=header, infer_schema_length=None)
    if not header:
        frame.columns = [f"column_{i + 1}" for i in range(frame.width)]
    notes = () if header else (f"The first line holds numbers only, so the columns are named {listing(frame.columns, 3)}.",)
    return from_sheet(Sheet(_native(frame, origin), path.stem, origin, 2 if header else 1, notes), ask)


def read_parquet(handle: BinaryIO, path: Path, ask: Ask) -> Raw:
    """A Parquet file: columns of numbers, or one column of rows (bytes, arrays or lists of one length; form.py says which bytes)."""
    polars = _import("polars", "reading Parquet files")
    origin = f'file "{path}"'
    form = Form.in_metadata(polars.read_parquet_metadata(handle), origin)
    handle.seek(0)
    return from_sheet(Sheet(_native(polars.read_parquet(handle), origin), path.stem, origin, form=form), ask)


def from_frame(source: Any, ask: Ask) -> Raw:
    """A data frame of pandas, polars or another library that narwhals knows."""
    return from_sheet(Sheet(_native(source, "the frame"), "frame", "the frame"), ask)


def from_sheet(sheet: Sheet, ask: Ask) -> Raw:
    """The numbers of a sheet. Raises ``DataError`` for missing columns, stray text, and where nothing is left."""
    ask = _named(sheet, ask)
    _check_names(sheet, ask)
    if len(sheet.frame) == 0:
        raise DataError(f"{sheet.origin} holds no rows: give at least one.")
    names = [name for name in ask.columns or sheet.frame.columns if name not in (ask.labels, *ask.condition)]
    nested = [name for name in names if _is_nested(sheet.frame[name])]
    if ask.key or (nested and not ask.columns):
        return _from_nested(sheet, ask, nested)
    columns = [read_column(name, sheet.frame[name], wanted=bool(ask.columns)) for name in names]
    _check_cells(sheet, columns, wanted=bool(ask.columns))
    return _from_columns(sheet, ask, columns)


def _from_columns(sheet: Sheet, ask: Ask, columns: list[Column]) -> Raw:
    kept = [column for column in columns if column.numeric]
    if not kept:
        raise DataError(f"{sheet.origin} has no column of numbers among {listing(sheet.frame.columns)}: write text as numbers first.")
    labels = None if ask.labels is None else sheet.frame[ask.labels].to_numpy()
    given = [_given(name, sheet.frame[name]) for name in ask.condition]
    full = np.ones(len(sheet.frame), bool) if ask.labels is None else ~sheet.frame[ask.labels].is_null().to_numpy()
    full &= ~np.any([np.isnan(column.cells) for column in kept], axis=0)
    full &= ~np.any([np.zeros(len(full), bool), *(column.empty for column in given if not ask.partial)], axis=0)
    holes = _holes(sheet, ask, kept, given, full)
    values = np.stack([column.cells for column in kept], axis=1)[full]
    notes = (*sheet.notes, *_set_aside(columns), *holes)
    raw = Raw(sheet.name, sheet.origin, values, columns=tuple(column.name for column in kept), notes=notes)
    raw = replace(raw, given=tuple(column.rows(full) for column in given))
    return raw if labels is None else raw.labelled(labels[full])


def _set_aside(columns: list[Column]) -> tuple[str, ...]:
    aside = [column for column in columns if not column.numeric]
    if not aside:
        return ()
    names = listing((f"{column.name} ({column.kind})" for column in aside), 20)
    return (f"Set aside {count(len(aside), 'column')} without numbers: {names}.",)


def _named(sheet: Sheet, ask: Ask) -> Ask:
    """The same with the column of labels by its name; as what a model is told, it is read with the other columns."""
    names = tuple(ask.labels if name in LABEL and name not in sheet.frame.columns and ask.labels else name for name in ask.condition)
    return replace(ask, condition=names, labels=None if ask.labels in names else ask.labels)


def _given(name: str, series: Any) -> Given:
    """A column that a model is told: numbers, or text."""
    column = read_column(name, series, wanted=False)
    if column.numeric and column.stray is None:
        return Given(name, column.cells)
    texts = [None if cell is None or str(cell).strip().lower() in EMPTY else str(cell).strip() for cell in series.to_list()]
    return Given(name, np.array(texts, dtype=object))


def _holes(sheet: Sheet, ask: Ask, kept: list[Column], given: list[Given], full: np.ndarray) -> tuple[str, ...]:
    """The sentence about rows with empty cells; an error where all rows have some, or where every row must get an answer."""
    empty = {column.name: int(np.isnan(column.cells).sum()) for column in kept}
    if ask.labels is not None:
        empty[ask.labels] = int(sheet.frame[ask.labels].is_null().sum())
    empty |= {column.name: int(column.empty.sum()) for column in given if not ask.partial}
    names = listing(f"{name} ({number:,})" for name, number in empty.items() if number)
    dropped = int((~full).sum())
    if dropped and ask.every:
        row = int(np.flatnonzero(~full)[0])
        raise DataError(f"{sheet.origin} has empty cells in {names}, the first in {_row(sheet, row)}: fill them or drop those rows.")
    if dropped == len(full):
        raise DataError(f"{sheet.origin} has an empty cell in every row: {names}. Remove the columns that are mostly empty.")
    return (f"Dropped {count(dropped)} of {count(len(full), 'row')} with empty cells: {names}.",) if dropped else ()


def _check_cells(sheet: Sheet, columns: list[Column], wanted: bool) -> None:
    for column in columns:
        if wanted and not column.numeric:
            raise DataError(f'{sheet.origin}: column "{column.name}" holds {column.kind}, and the model takes numbers there: convert it.')
        if column.stray is not None:
            raise DataError(
                f'{sheet.origin}: column "{column.name}" holds numbers, but {_row(sheet, column.stray.row)} says "{column.stray.text}": '
                "correct or empty that cell, or remove the column."
            )


def _row(sheet: Sheet, row: int) -> str:
    line = "" if sheet.first_line is None else f" (line {row + sheet.first_line:,} of the file)"
    return f"row {row + 1:,}{line}"


def _check_names(sheet: Sheet, ask: Ask) -> None:
    have = list(sheet.frame.columns)
    told = [("condition", name) for name in ask.condition]
    for argument, name in [("key", ask.key), ("labels", ask.labels), *told, *(("column", name) for name in ask.columns or ())]:
        if name is not None and name not in have:
            raise DataError(f'{argument}="{name}": {sheet.origin} has no such column, it has {listing(have)}.{nearest(name, have)}')


def _from_nested(sheet: Sheet, ask: Ask, nested: list[str]) -> Raw:
    """One column whose cells are whole rows."""
    if ask.key is None and len(nested) > 1:
        raise DataError(f'{sheet.origin} has several columns of rows: {listing(nested)}. Choose one, key="{nested[0]}".')
    name = ask.key or nested[0]
    if name not in nested:
        raise DataError(f'key="{name}": that column of {sheet.origin} holds single cells. Leave key out to read all columns of numbers.')
    aside = [other for other in sheet.frame.columns if other not in (name, ask.labels, *ask.condition)]
    notes = (f"Set aside {count(len(aside), 'column')} beside {name}: {listing(aside)}.",) if aside else ()
    raw = Raw(sheet.name, sheet.origin, _stack(sheet, name), notes=notes, given=tuple(_given(c, sheet.frame[c]) for c in ask.condition))
    return raw if ask.labels is None else raw.labelled(sheet.frame[ask.labels].to_numpy())


def _stack(sheet: Sheet, name: str) -> np.ndarray:
    """The rows of a column ``[N, *row]``; bytes are whole numbers 0 to 255 where the file does not say what they are."""
    series = sheet.frame[name]
    empty = int(series.is_null().sum())
    if empty:
        raise DataError(
            f'{sheet.origin}: column "{name}" has {count(empty, "empty cell")}, and every row needs its numbers: drop those rows.'
        )
    try:
        rows = _polars_rows(series.to_native()) if series.implementation.is_polars() else _any_rows(series.to_list())
    except (ValueError, TypeError, ArithmeticError) as error:
        raise DataError(f'{sheet.origin}: the cells of column "{name}" are not rows of numbers of one length: {error}.') from error
    return sheet.form.of(rows, sheet.origin) if sheet.form is not None and sheet.form.column == name else rows


def _any_rows(cells: list[Any]) -> np.ndarray:
    return np.stack([np.frombuffer(cell, np.uint8) if isinstance(cell, bytes) else np.asarray(cell, dtype=np.float64) for cell in cells])


def _polars_rows(series: Any) -> np.ndarray:
    """The same without a Python object for each cell: 30 times as fast for bytes, 100 times for lists."""
    polars = _import("polars", "reading columns of rows")
    if series.dtype == polars.Binary:
        sizes = series.bin.size()
        if sizes.min() != sizes.max():
            raise ValueError(f"there are {sizes.min()} and {sizes.max()} bytes")
        return np.frombuffer(b"".join(series.to_list()), np.uint8).reshape(len(series), -1)
    if series.dtype == polars.List and not series.dtype.inner.is_nested():
        sizes = series.list.len()
        if sizes.min() != sizes.max():
            raise ValueError(f"there are {sizes.min()} and {sizes.max()} numbers")
        series = series.list.to_array(sizes.min())
    return series.to_numpy()


def _is_nested(series: Any) -> bool:
    import narwhals

    return series.dtype in (narwhals.Binary, narwhals.Array, narwhals.List)


def _native(frame: Any, origin: str) -> Any:
    narwhals = _import("narwhals", "reading data frames")
    try:
        known = narwhals.from_native(frame)
    except TypeError as error:
        raise DataError(
            f"source is a {type(frame).__name__}, which cannot be read: give an array, a tensor, a data frame, a path or the name of a set."
        ) from error
    frame = known.collect() if isinstance(known, narwhals.LazyFrame) else known
    unnamed = [name for name in frame.columns if not isinstance(name, str)]
    return frame.rename({name: str(name) for name in unnamed}) if unnamed else frame


def _import(module: str, purpose: str) -> Any:
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise extra("tables", purpose) from error


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
