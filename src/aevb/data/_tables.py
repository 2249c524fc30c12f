"""Tables: CSV, Parquet and data frames of any kind become rows of numbers, and what was left out is said."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..errors import DataError, missing_extra
from ._byte_format import ByteFormat
from ._columns import EMPTY_CELL_TEXTS, TableColumn, read_column
from ._context import LABEL_COLUMN_NAMES, ContextColumn
from ._formatting import did_you_mean, format_count, format_list
from ._raw import RawData, ReadOptions


@dataclass(frozen=True)
class SourceTable:
    """A narwhals frame, how errors name it, and the line of the file on which its first row stands (None: not from lines)."""

    frame: Any
    name: str
    origin: str
    first_line: int | None = None
    notes: tuple[str, ...] = ()
    byte_format: ByteFormat | None = None  # of the rows in a column of bytes, where the file says


def read_csv(handle: BinaryIO, path: Path, options: ReadOptions) -> RawData:
    """A CSV file: comma, semicolon or tab between cells; a header unless every cell of the first line is a number."""
    origin = f'file "{path}"'
    options.check_unsupported(origin, "key")
    polars = _import_extra("polars", "reading CSV files")
    text = handle.read().strip()  # empty lines at the end are no rows
    first = text.split(b"\n", 1)[0].decode("utf-8", "replace").strip()
    separator = max(",;\t", key=first.count)
    header = not all(_is_number(cell) for cell in first.split(separator))
    frame = polars.read_csv(text, separator=separator, has_header=header, infer_schema_length=None)
    if not header:
        frame.columns = [f"column_{i + 1}" for i in range(frame.width)]
    notes = (
        ()
        if header
        else (
            f"The first line holds numbers only, so the columns are named {format_list(frame.columns, 3)}.",
        )
    )
    return from_table(
        SourceTable(_to_narwhals(frame, origin), path.stem, origin, 2 if header else 1, notes),
        options,
    )


def read_parquet(handle: BinaryIO, path: Path, options: ReadOptions) -> RawData:
    """A Parquet file: columns of numbers, or one column of rows (bytes, arrays or lists of one length; form.py says which bytes)."""
    polars = _import_extra("polars", "reading Parquet files")
    origin = f'file "{path}"'
    form = ByteFormat.from_metadata(polars.read_parquet_metadata(handle), origin)
    handle.seek(0)
    return from_table(
        SourceTable(
            _to_narwhals(polars.read_parquet(handle), origin), path.stem, origin, byte_format=form
        ),
        options,
    )


def from_frame(source: Any, options: ReadOptions) -> RawData:
    """A data frame of pandas, polars or another library that narwhals knows."""
    return from_table(SourceTable(_to_narwhals(source, "the frame"), "frame", "the frame"), options)


def from_table(table: SourceTable, options: ReadOptions) -> RawData:
    """The numbers of a sheet. Raises ``DataError`` for missing columns, stray text, and where nothing is left."""
    options = _resolve_label_column(table, options)
    _check_column_names(table, options)
    if len(table.frame) == 0:
        raise DataError(f"{table.origin} holds no rows: give at least one.")
    names = [
        name
        for name in options.columns or table.frame.columns
        if name not in (options.labels, *options.condition)
    ]
    nested = [name for name in names if _is_nested(table.frame[name])]
    if options.key or (nested and not options.columns):
        return _from_nested(table, options, nested)
    columns = [
        read_column(name, table.frame[name], required=bool(options.columns)) for name in names
    ]
    _check_cells(table, columns, required=bool(options.columns))
    return _from_columns(table, options, columns)


def _from_columns(table: SourceTable, options: ReadOptions, columns: list[TableColumn]) -> RawData:
    kept = [column for column in columns if column.numeric]
    if not kept:
        raise DataError(
            f"{table.origin} has no column of numbers among {format_list(table.frame.columns)}: write text as numbers first."
        )
    labels = None if options.labels is None else table.frame[options.labels].to_numpy()
    given = [_read_context_column(name, table.frame[name]) for name in options.condition]
    full = (
        np.ones(len(table.frame), bool)
        if options.labels is None
        else ~table.frame[options.labels].is_null().to_numpy()
    )
    full &= ~np.any([np.isnan(column.cells) for column in kept], axis=0)
    full &= ~np.any(
        [
            np.zeros(len(full), bool),
            *(column.missing_mask for column in given if not options.allow_missing_labels),
        ],
        axis=0,
    )
    holes = _missing_cell_notes(table, options, kept, given, full)
    values = np.stack([column.cells for column in kept], axis=1)[full]
    notes = (*table.notes, *_excluded_column_notes(columns), *holes)
    raw = RawData(
        table.name, table.origin, values, columns=tuple(column.name for column in kept), notes=notes
    )
    raw = replace(raw, context_columns=tuple(column.subset(full) for column in given))
    return raw if labels is None else raw.with_labels(labels[full])


def _excluded_column_notes(columns: list[TableColumn]) -> tuple[str, ...]:
    aside = [column for column in columns if not column.numeric]
    if not aside:
        return ()
    names = format_list((f"{column.name} ({column.kind})" for column in aside), 20)
    return (f"Set aside {format_count(len(aside), 'column')} without numbers: {names}.",)


def _resolve_label_column(table: SourceTable, options: ReadOptions) -> ReadOptions:
    """The same with the column of labels by its name; as what a model is told, it is read with the other columns."""
    names = tuple(
        options.labels
        if name in LABEL_COLUMN_NAMES and name not in table.frame.columns and options.labels
        else name
        for name in options.condition
    )
    return replace(
        options, condition=names, labels=None if options.labels in names else options.labels
    )


def _read_context_column(name: str, series: Any) -> ContextColumn:
    """A column that a model is told: numbers, or text."""
    column = read_column(name, series, required=False)
    if column.numeric and column.non_numeric is None:
        return ContextColumn(name, column.cells)
    texts = [
        None if cell is None or str(cell).strip().lower() in EMPTY_CELL_TEXTS else str(cell).strip()
        for cell in series.to_list()
    ]
    return ContextColumn(name, np.array(texts, dtype=object))


def _missing_cell_notes(
    table: SourceTable,
    options: ReadOptions,
    numeric_columns: list[TableColumn],
    context_columns: list[ContextColumn],
    complete: np.ndarray,
) -> tuple[str, ...]:
    """The sentence about rows with empty cells; an error where all rows have some, or where every row must get an answer."""
    empty = {column.name: int(np.isnan(column.cells).sum()) for column in numeric_columns}
    if options.labels is not None:
        empty[options.labels] = int(table.frame[options.labels].is_null().sum())
    empty |= {
        column.name: int(column.missing_mask.sum())
        for column in context_columns
        if not options.allow_missing_labels
    }
    names = format_list(f"{name} ({number:,})" for name, number in empty.items() if number)
    dropped = int((~complete).sum())
    if dropped and options.keep_all_rows:
        row = int(np.flatnonzero(~complete)[0])
        raise DataError(
            f"{table.origin} has empty cells in {names}, the first in {_describe_row(table, row)}: fill them or drop those rows."
        )
    if dropped == len(complete):
        raise DataError(
            f"{table.origin} has an empty cell in every row: {names}. Remove the columns that are mostly empty."
        )
    return (
        (
            f"Dropped {format_count(dropped)} of {format_count(len(complete), 'row')} with empty cells: {names}.",
        )
        if dropped
        else ()
    )


def _check_cells(table: SourceTable, columns: list[TableColumn], required: bool) -> None:
    for column in columns:
        if required and not column.numeric:
            raise DataError(
                f'{table.origin}: column "{column.name}" holds {column.kind}, and the model takes numbers there: convert it.'
            )
        if column.non_numeric is not None:
            raise DataError(
                f'{table.origin}: column "{column.name}" holds numbers, but {_describe_row(table, column.non_numeric.row)} says "{column.non_numeric.text}": '
                "correct or empty that cell, or remove the column."
            )


def _describe_row(table: SourceTable, row: int) -> str:
    line = "" if table.first_line is None else f" (line {row + table.first_line:,} of the file)"
    return f"row {row + 1:,}{line}"


def _check_column_names(table: SourceTable, options: ReadOptions) -> None:
    have = list(table.frame.columns)
    told = [("condition", name) for name in options.condition]
    for argument, name in [
        ("key", options.key),
        ("labels", options.labels),
        *told,
        *(("column", name) for name in options.columns or ()),
    ]:
        if name is not None and name not in have:
            raise DataError(
                f'{argument}="{name}": {table.origin} has no such column, it has {format_list(have)}.{did_you_mean(name, have)}'
            )


def _from_nested(table: SourceTable, options: ReadOptions, nested: list[str]) -> RawData:
    """One column whose cells are whole rows."""
    if options.key is None and len(nested) > 1:
        raise DataError(
            f'{table.origin} has several columns of rows: {format_list(nested)}. Choose one, key="{nested[0]}".'
        )
    name = options.key or nested[0]
    if name not in nested:
        raise DataError(
            f'key="{name}": that column of {table.origin} holds single cells. Leave key out to read all columns of numbers.'
        )
    aside = [
        other
        for other in table.frame.columns
        if other not in (name, options.labels, *options.condition)
    ]
    notes = (
        (f"Set aside {format_count(len(aside), 'column')} beside {name}: {format_list(aside)}.",)
        if aside
        else ()
    )
    raw = RawData(
        table.name,
        table.origin,
        _stack_nested_rows(table, name),
        notes=notes,
        context_columns=tuple(_read_context_column(c, table.frame[c]) for c in options.condition),
    )
    return (
        raw if options.labels is None else raw.with_labels(table.frame[options.labels].to_numpy())
    )


def _stack_nested_rows(table: SourceTable, name: str) -> np.ndarray:
    """The rows of a column ``[N, *row]``; bytes are whole numbers 0 to 255 where the file does not say what they are."""
    series = table.frame[name]
    empty = int(series.is_null().sum())
    if empty:
        raise DataError(
            f'{table.origin}: column "{name}" has {format_count(empty, "empty cell")}, and every row needs its numbers: drop those rows.'
        )
    try:
        rows = (
            _polars_rows(series.to_native())
            if series.implementation.is_polars()
            else _generic_rows(series.to_list())
        )
    except (ValueError, TypeError, ArithmeticError) as error:
        raise DataError(
            f'{table.origin}: the cells of column "{name}" are not rows of numbers of one length: {error}.'
        ) from error
    return (
        table.byte_format.decode_bytes(rows, table.origin)
        if table.byte_format is not None and table.byte_format.column == name
        else rows
    )


def _generic_rows(cells: list[Any]) -> np.ndarray:
    return np.stack(
        [
            np.frombuffer(cell, np.uint8)
            if isinstance(cell, bytes)
            else np.asarray(cell, dtype=np.float64)
            for cell in cells
        ]
    )


def _polars_rows(series: Any) -> np.ndarray:
    """The same without a Python object for each cell: 30 times as fast for bytes, 100 times for lists."""
    polars = _import_extra("polars", "reading columns of rows")
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


def _to_narwhals(frame: Any, origin: str) -> Any:
    narwhals = _import_extra("narwhals", "reading data frames")
    try:
        known = narwhals.from_native(frame)
    except TypeError as error:
        raise DataError(
            f"source is a {type(frame).__name__}, which cannot be read: give an array, a tensor, a data frame, a path or the name of a set."
        ) from error
    frame = known.collect() if isinstance(known, narwhals.LazyFrame) else known
    unnamed = [name for name in frame.columns if not isinstance(name, str)]
    return frame.rename({name: str(name) for name in unnamed}) if unnamed else frame


def _import_extra(module: str, purpose: str) -> Any:
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise missing_extra("tables", purpose) from error


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
