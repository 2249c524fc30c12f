"""Tables: Parquet files and data frames of any kind as rows of numbers."""

from __future__ import annotations

import io
import zipfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .._registry import register
from ..errors import ArgumentError, DataError, missing_extra
from ..notes import Argument, Note, message
from ._byte_format import ByteFormat
from ._columns import CellRules, TableColumn, read_column
from ._compression import check_size, data_name, open_file
from ._context import LABEL_COLUMN_NAMES, ContextColumn
from ._encoded_images import decode_column, holds_images, name_classes, recorded_class_names
from ._formatting import format_count, format_list, source_error, suggest_nearest
from ._identifiers import set_aside_identifier
from ._images import image_notes, stack_images
from ._labels import is_missing
from ._missing_codes import missing_code_notes
from ._number_texts import DecimalMark
from ._raw import MixedTable, RawData, ReadOptions
from ._readers import ReaderRegistration, convert_read_errors, find_reader
from ._text_cells import TextCells

CELL_BYTES = 8  # of memory that a cell needs at least


@dataclass(frozen=True)
class SourceTable:
    """A table as read.

    Args:
        frame: A narwhals frame.
        name: The name of the data set.
        origin: The table as the subject of a sentence.
        first_line: The line of the file with the first row; ``None`` where the file has no lines.
        notes: What the reader noticed.
        byte_format: The format of a column of bytes, where the metadata have one.
        metadata: The metadata of the file.
        usual_decimal: The decimal mark of numbers in text where a column does not decide.
        settings: The settings of ``Reading`` that the reader has; every table has ``missing``.
        texts: The cells of a text file as they are in it.
    """

    frame: Any
    name: str
    origin: str
    first_line: int | None = None
    notes: tuple[Note, ...] = ()
    byte_format: ByteFormat | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    usual_decimal: DecimalMark = "."
    settings: frozenset[str] = frozenset()
    texts: TextCells | None = None

    def cell_rules(self, options: ReadOptions) -> CellRules:
        """How the cells are read."""
        reading = options.reading
        return CellRules(reading.decimal, self.usual_decimal, reading.missing or ())


def read_parquet_table(path: Path, options: ReadOptions) -> SourceTable:
    """All columns of a Parquet file."""
    polars = import_extra("polars", "reading Parquet files")
    origin = f'file "{path}"'
    with open_file(path, options.reading.allow_large) as handle:
        _check_expanded(polars.scan_parquet(handle), origin, options)
        handle.seek(0)
        metadata = polars.read_parquet_metadata(handle)
        byte_format = ByteFormat.from_metadata(metadata, origin)
        handle.seek(0)
        frame = polars.read_parquet(handle)
    table = to_narwhals(frame)
    return SourceTable(table, data_name(path), origin, None, (), byte_format, metadata)


@register(
    ReaderRegistration(
        name="parquet",
        title="Parquet",
        suffixes=(".parquet",),
        reads="columns of numbers, or the column `key` of rows (bytes, arrays, lists, images)",
        use_when="large tables; images as a column of bytes or of encoded images, with labels",
        cost='the extra "tables"; a column of lists takes ten times as long as one of bytes',
        avoid_when="rows are larger than the memory; use npy",
        table=read_parquet_table,
    )
)
def read_parquet(path: Path, options: ReadOptions) -> RawData:
    """A Parquet file with columns of numbers, or a column of rows.

    The cells of a column of rows are bytes (see ``ByteFormat``), arrays or lists of one length, or
    encoded images.
    """
    return from_table(read_parquet_table(path, options), options)


def read_arrow_table(path: Path, options: ReadOptions) -> SourceTable:
    """All columns of an Arrow file or stream."""
    polars = import_extra("polars", "reading Arrow files")
    origin = f'file "{path}"'
    with open_file(path, options.reading.allow_large) as handle:
        content = handle.read()
    read = polars.read_ipc if content.startswith(b"ARROW1") else polars.read_ipc_stream
    frame = read(io.BytesIO(content))
    return SourceTable(to_narwhals(frame), data_name(path), origin)


@register(
    ReaderRegistration(
        name="arrow",
        title="Arrow",
        suffixes=(".arrow", ".feather", ".ipc"),
        reads="columns of numbers, or the column `key` of rows (bytes, arrays or lists)",
        use_when="tables of other programs, and data sets of Hugging Face `datasets`",
        cost='the extra "tables"',
        avoid_when="the format is yours to choose; parquet files are smaller",
        table=read_arrow_table,
    )
)
def read_arrow(path: Path, options: ReadOptions) -> RawData:
    """An Arrow file or stream, also as Feather 2."""
    return from_table(read_arrow_table(path, options), options)


def read_excel_table(path: Path, options: ReadOptions) -> SourceTable:
    """All columns of the chosen sheet of an Excel file."""
    polars = import_extra("polars", "reading Excel files")
    fastexcel = import_extra("fastexcel", "reading Excel files", "formats")
    origin, reading = f'file "{path}"', options.reading
    with open_file(path, reading.allow_large) as handle:
        with zipfile.ZipFile(handle) as archive:
            check_size(
                sum(each.file_size for each in archive.infolist()), origin, reading.allow_large
            )
        handle.seek(0)
        content = handle.read()
    sheets = fastexcel.read_excel(content).sheet_names
    sheet = options.key or (sheets[0] if len(sheets) == 1 else None)
    if sheet not in sheets:
        raise DataError(
            f"{origin} has {format_count(len(sheets), 'sheet')}: {format_list(sheets)}",
            argument="key",
            **({} if sheet is None else {"value": sheet}),
            suggestions=(message("Choose one: {key}", key=Argument("key", sheets[0])),),
        )
    frame = polars.read_excel(
        content,
        sheet_name=sheet,
        engine="calamine",
        has_header=reading.header is not False,
        infer_schema_length=None,
    )
    return SourceTable(to_narwhals(frame), data_name(path), origin, settings=frozenset({"header"}))


@register(
    ReaderRegistration(
        name="excel",
        title="Excel",
        suffixes=(".xlsx",),
        reads="columns of numbers of the sheet `key`, or of the only one",
        use_when="tables of a spreadsheet",
        cost='the extra "formats"',
        avoid_when="the table is large; parquet is faster",
        table=read_excel_table,
    )
)
def read_excel(path: Path, options: ReadOptions) -> RawData:
    """A sheet of an Excel file, with a header in its first row."""
    return from_table(read_excel_table(path, options), replace(options, key=None))


def _check_expanded(scan: Any, origin: str, options: ReadOptions) -> None:
    """Refuse a table whose cells would fill the memory; its metadata tell."""
    import polars

    rows = scan.select(polars.len()).collect().item()
    columns = len(scan.collect_schema())
    check_size(rows * columns * CELL_BYTES, origin, options.reading.allow_large)


def read_source_table(source: Any, options: ReadOptions | None = None) -> SourceTable:
    """A table with every row and every column, as read from a file or given as a data frame.

    Args:
        source: A path, or a data frame of pandas, polars or another library that narwhals reads;
            a table that was read is returned.
        options: What the reader of a file is asked for.

    Raises:
        DataError: There is no such file, its format holds no table, or its contents are damaged.
    """
    if isinstance(source, SourceTable):
        return source
    if not isinstance(source, str | Path):
        return SourceTable(to_narwhals(source), "frame", "the frame")
    path = Path(source)
    reader = find_reader(path)
    if reader.table is None:
        raise source_error(
            f'file "{path}" is no table with names of columns', "Give a table, such as .csv"
        )
    with convert_read_errors(path):
        return reader.table(path, options or ReadOptions())


def take_weights(source: Any, name: str, options: ReadOptions) -> tuple[SourceTable, np.ndarray]:
    """Take a column of weights out of a table.

    Args:
        source: A path or a data frame.
        name: The name of the column.
        options: What the reader of a file is asked for.

    Returns:
        The table without the column, and the weights ``[N]``.

    Raises:
        DataError: The source is no table, or has no such column.
        ArgumentError: The column holds something else than numbers of at least 0.
    """
    table = read_source_table(source, options)
    names = list(table.frame.columns)
    if name not in names:
        raise DataError(
            f"{table.origin} has no such column; it has {format_list(names)}",
            argument="weights",
            value=name,
            suggestions=suggest_nearest(name, names, "weights"),
        )
    column = read_column(name, table.frame[name], required=True, rules=table.cell_rules(options))
    wrong = np.flatnonzero(~(np.isfinite(column.cells) & (column.cells >= 0)))
    if len(wrong) or not column.cells.any():
        where = f"; row {wrong[0] + 1:,} is the first" if len(wrong) else ""
        raise ArgumentError(
            "this column holds something else than numbers of at least 0, some of them above 0"
            f"{where}",
            argument="weights",
            value=name,
            suggestions=("Give a column with one weight per row",),
        )
    rest = table.frame.select([other for other in names if other != name])
    return replace(table, frame=rest), column.cells


def from_frame(source: Any, options: ReadOptions) -> RawData:
    """A data frame of pandas, polars or another library that narwhals reads."""
    return from_table(read_source_table(source, options), options)


def frame_values(source: Any, name: str = "x") -> np.ndarray:
    """The numbers of all columns of a data frame, float64 ``[N, columns]``; empty cells are NaN.

    Raises:
        DataError: A column holds something else than numbers.
    """
    frame = to_narwhals(source, name)
    columns = [read_column(column, frame[column], required=True) for column in frame.columns]
    for column in columns:
        if not column.numeric or column.non_numeric:
            raise DataError(
                f"column {column.name!r} of the frame holds something else than numbers",
                argument=name,
                suggestions=(
                    "Leave the column out",
                    "Give the run in place of the model: it reads the columns that it was fitted "
                    "to by their names",
                ),
            )
    if not columns:
        raise DataError("the frame has no columns", argument=name)
    return np.stack([column.cells for column in columns], 1)


def from_table(table: SourceTable, options: ReadOptions) -> RawData:
    """The numbers of a table.

    Raises:
        DataError: A column is missing, a text is among numbers, or no complete row remains.
    """
    options = _resolve_label_column(table, options)
    _check_column_names(table, options)
    if len(table.frame) == 0:
        raise source_error(f"{table.origin} holds no rows", "Give at least one")
    names = [
        name
        for name in (None if options.mixed else options.columns) or table.frame.columns
        if name not in (options.labels, *options.condition)
    ]
    nested = [name for name in names if _is_nested(table.frame[name])]
    if options.key or (nested and not options.columns and _are_rows(table, names, nested)):
        return _from_nested(table, options, nested)
    if options.mixed:
        return _from_mixed(table, options, names)
    required, rules = bool(options.columns), table.cell_rules(options)
    columns = [read_column(name, table.frame[name], required, rules) for name in names]
    _check_cells(table, columns, required)
    if not required:
        columns = [set_aside_identifier(column) for column in columns]
    return _from_columns(table, options, columns)


def _are_rows(table: SourceTable, names: list[str], nested: list[str]) -> bool:
    """Whether the cells of nested columns are the rows, and not parts of a table of other columns.

    They are where they are images or bytes, or where at most one other column is beside the labels.
    """
    others = [name for name in names if name not in (*nested, *LABEL_COLUMN_NAMES)]
    if len(others) <= 1:
        return True
    series = (table.frame[name] for name in nested)
    return any(holds_images(each) or str(each.dtype) == "Binary" for each in series)


def _from_mixed(table: SourceTable, options: ReadOptions, names: list[str]) -> RawData:
    """All columns of a table as they are, and every row whose context is known."""
    rules, frame = table.cell_rules(options), table.frame.select(names)
    context = [_read_context_column(name, table.frame[name], rules) for name in options.condition]
    missing = (
        {}
        if options.allow_missing_labels
        else {column.name: column.missing_mask for column in context}
    )
    complete = ~np.any([np.zeros(len(frame), dtype=bool), *missing.values()], axis=0)
    dropped = _missing_cell_notes(table, options, missing, complete)
    raw = RawData(
        table.name,
        table.origin,
        np.zeros((int(complete.sum()), 0), np.float32),
        notes=(*table.notes, *dropped),
        context_columns=tuple(column.subset(complete) for column in context),
        table_settings=table.settings | {"missing"},
        table=MixedTable(
            replace(table, frame=frame if complete.all() else frame[np.flatnonzero(complete)]),
            rules,
            partial(from_table, table, replace(options, mixed=False)),
        ),
    )
    if options.labels is None:
        return raw
    return raw.with_labels(table.frame[options.labels].to_numpy()[complete])


def _from_columns(table: SourceTable, options: ReadOptions, columns: list[TableColumn]) -> RawData:
    """The complete rows of the columns of numbers."""
    numeric = [column for column in columns if column.numeric]
    if not numeric:
        raise source_error(
            f"{table.origin} has no column of numbers among {format_list(table.frame.columns)}",
            "Write text as numbers first",
        )
    rules = table.cell_rules(options)
    context = [_read_context_column(name, table.frame[name], rules) for name in options.condition]
    missing = {column.name: np.isnan(column.cells) for column in numeric}
    if options.labels is not None:
        missing[options.labels] = table.frame[options.labels].is_null().to_numpy()
    if not options.allow_missing_labels:
        missing |= {column.name: column.missing_mask for column in context}
    complete = ~np.any(list(missing.values()), axis=0)
    raw = RawData(
        table.name,
        table.origin,
        np.stack([column.cells for column in numeric], axis=1)[complete],
        columns=tuple(column.name for column in numeric),
        notes=(
            *table.notes,
            *text_number_notes(numeric),
            *_excluded_column_notes(columns),
            *_missing_cell_notes(table, options, missing, complete),
            *missing_code_notes(() if options.columns else numeric),
        ),
        context_columns=tuple(column.subset(complete) for column in context),
        table_settings=table.settings | {"missing"},
    )
    if options.labels is None:
        return raw
    return raw.with_labels(table.frame[options.labels].to_numpy()[complete])


def _excluded_column_notes(columns: list[TableColumn]) -> tuple[Note, ...]:
    """The columns that are not read, because they hold no numbers, or number the rows."""
    excluded = {column.name: column.kind for column in columns if not column.numeric}
    if not excluded:
        return ()
    names = format_list((f"{name or 'unnamed'} ({kind})" for name, kind in excluded.items()), 20)
    text = f"Excluded {format_count(len(excluded), 'column')}: {names}."
    return (Note("columns_excluded", text, data={"columns": excluded}),)


def text_number_notes(columns: list[TableColumn]) -> tuple[Note, ...]:
    """The columns whose numbers were read from text with separators or units."""
    formats = {column.name: column.format for column in columns if column.format is not None}
    if not formats:
        return ()
    names = format_list((f"{name} ({form})" for name, form in formats.items()), 20)
    text = f"Read the text of {format_count(len(formats), 'column')} as numbers: {names}."
    doubtful = next((form for form in formats.values() if form.ambiguous), None)
    if doubtful is not None:
        other = Argument("decimal", "," if doubtful.thousands == (",",) else ".")
        text = message(f"{text} If the marks mean something else, write {{other}}.", other=other)
    records = {
        name: {key: list(x) if isinstance(x, tuple) else x for key, x in asdict(form).items()}
        for name, form in formats.items()
    }
    data = {"columns": records}
    return (Note("text_read_as_numbers", text, data=data),)


def _resolve_label_column(table: SourceTable, options: ReadOptions) -> ReadOptions:
    """The options with ``"label"`` in the condition replaced by the name of the column."""
    if options.labels_optional and options.labels not in table.frame.columns:
        options = replace(options, labels=None)
    names = tuple(
        options.labels
        if name in LABEL_COLUMN_NAMES and name not in table.frame.columns and options.labels
        else name
        for name in options.condition
    )
    return replace(
        options, condition=names, labels=None if options.labels in names else options.labels
    )


def _read_context_column(name: str, series: Any, rules: CellRules) -> ContextColumn:
    """A column of context: numbers, or text."""
    column = read_column(name, series, False, rules)
    if column.numeric and column.non_numeric is None:
        return ContextColumn(name, column.cells)
    empty = rules.empty_texts(name)
    texts = [
        None if cell is None or str(cell).strip().lower() in empty else str(cell).strip()
        for cell in series.to_list()
    ]
    return ContextColumn(name, np.array(texts, dtype=object))


def _missing_cell_notes(
    table: SourceTable, options: ReadOptions, missing: dict[str, np.ndarray], complete: np.ndarray
) -> tuple[Note, ...]:
    """The warning about dropped rows; an error where no row is left."""
    counts = {name: int(mask.sum()) for name, mask in missing.items() if mask.any()}
    names = format_list(f"{name} ({number:,})" for name, number in counts.items())
    dropped = int((~complete).sum())
    if dropped == len(complete):
        raise source_error(
            f"{table.origin} has an empty cell in every row: {names}",
            "Remove the columns that are mostly empty",
        )
    if not dropped:
        return ()
    rows = f"{format_count(dropped)} of {format_count(len(complete), 'row')}"
    return (
        Note(
            "rows_dropped",
            f"Dropped {rows} with empty cells: {names}.",
            "warning",
            {"dropped": dropped, "rows": len(complete), "columns": counts},
        ),
    )


def _check_cells(table: SourceTable, columns: list[TableColumn], required: bool) -> None:
    """Refuse text in columns of numbers."""
    for column in columns:
        if required and not column.numeric:
            raise source_error(
                f'column "{column.name}" of {table.origin} holds {column.kind}, and the model '
                "takes numbers",
                "Convert the column",
            )
        cell = column.non_numeric
        if cell is not None:
            raise source_error(
                f'column "{column.name}" of {table.origin} holds numbers, but '
                f'{_describe_row(table, cell.row)} holds "{cell.text}"',
                "Correct or empty the cell, or remove the column",
            )


def _describe_row(table: SourceTable, row: int) -> str:
    """A row, counted from 1, and its line in the file."""
    line = "" if table.first_line is None else f" (line {row + table.first_line:,} of the file)"
    return f"row {row + 1:,}{line}"


def _check_column_names(table: SourceTable, options: ReadOptions) -> None:
    """Refuse names of columns that the table does not have."""
    names = list(table.frame.columns)
    has = f"it has {format_list(names)}"
    for argument, name in [
        ("key", options.key),
        ("labels", options.labels),
        *(("condition", name) for name in options.condition),
    ]:
        if name is not None and name not in names:
            raise DataError(
                f"{table.origin} has no such column; {has}",
                argument=argument,
                value=name,
                suggestions=suggest_nearest(name, names, argument),
            )
    absent = [name for name in options.columns or () if name not in names]
    if len(absent) == 1:
        raise source_error(
            f'{table.origin} has no column "{absent[0]}"; {has}', *suggest_nearest(absent[0], names)
        )
    if absent:
        raise source_error(f"{table.origin} has no columns {format_list(absent)}; {has}")


def _from_nested(table: SourceTable, options: ReadOptions, nested: list[str]) -> RawData:
    """The data of a column whose cells are rows."""
    if options.key is None and len(nested) > 1:
        raise DataError(
            f"{table.origin} has several columns of rows: {format_list(nested)}",
            argument="key",
            suggestions=(message("Choose one: {key}", key=Argument("key", nested[0])),),
        )
    name = options.key or nested[0]
    if name not in nested:
        raise DataError(
            f"the cells of this column of {table.origin} are single values",
            argument="key",
            value=name,
            suggestions=("Leave it out to read all columns of numbers",),
        )
    images = holds_images(table.frame[name]) and not _has_byte_format(table, name)
    if images and options.labels is None:
        labels = [label for label in LABEL_COLUMN_NAMES if label in table.frame.columns]
        options = replace(options, labels=next(iter(labels), None))
    excluded = [
        other
        for other in table.frame.columns
        if other not in (name, options.labels, *options.condition)
    ]
    count = format_count(len(excluded), "column")
    text = f"Excluded {count} other than {name}: {format_list(excluded)}."
    note = Note("columns_excluded", text, data={"columns": dict.fromkeys(excluded, "other")})
    rows, notes = np.arange(len(table.frame)), (note,) if excluded else ()
    if images:
        decoded, rows = decode_column(table.frame[name], name, table.origin, options.reading)
        values, notes = stack_images(decoded), (*notes, *image_notes(decoded, options.reading))
    else:
        values = _stack_nested_rows(table, name)
    rules = table.cell_rules(options)
    context = tuple(_read_context_column(c, table.frame[c], rules) for c in options.condition)
    raw = RawData(
        table.name,
        table.origin,
        values,
        notes=notes,
        context_columns=tuple(column.subset(rows) for column in context),
        from_image_files=images,
        layout={3: "NHW", 4: "NCHW"}.get(values.ndim) if images else None,
    )
    if options.labels is None:
        return raw
    labels = table.frame[options.labels].to_numpy()[rows]
    labels = name_classes(labels, recorded_class_names(table.metadata, options.labels))
    return raw if images and is_missing(labels).all() else raw.with_labels(labels)


def _has_byte_format(table: SourceTable, name: str) -> bool:
    """Whether the metadata say what the bytes of a column are."""
    return table.byte_format is not None and table.byte_format.column == name


def _stack_nested_rows(table: SourceTable, name: str) -> np.ndarray:
    """The rows of a column ``[N, *row]``; bytes without a format are whole numbers 0 to 255."""
    series = table.frame[name]
    empty = int(series.is_null().sum())
    if empty:
        raise source_error(
            f'column "{name}" of {table.origin} has {format_count(empty, "empty cell")}',
            "Drop the rows with empty cells",
        )
    try:
        rows = (
            _polars_rows(series.to_native())
            if series.implementation.is_polars()
            else _generic_rows(series.to_list())
        )
    except (ValueError, TypeError, ArithmeticError) as error:
        raise source_error(
            f'the cells of column "{name}" of {table.origin} are not rows of numbers of one length '
            f"({error})"
        ) from error
    return (
        table.byte_format.decode_bytes(rows, table.origin)
        if table.byte_format is not None and _has_byte_format(table, name)
        else rows
    )


def _generic_rows(cells: list[Any]) -> np.ndarray:
    """Cells of any frame as an array."""
    return np.stack(
        [
            np.frombuffer(cell, np.uint8)
            if isinstance(cell, bytes)
            else np.asarray(cell, dtype=np.float64)
            for cell in cells
        ]
    )


def _polars_rows(series: Any) -> np.ndarray:
    """Cells of a polars series, 30 times (bytes) to 100 times (lists) as fast as Python objects."""
    polars = import_extra("polars", "reading columns of rows")
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
    """Whether the cells of a column are rows."""
    import narwhals

    return series.dtype in (narwhals.Binary, narwhals.Array, narwhals.List) or holds_images(series)


def to_narwhals(frame: Any, name: str = "source") -> Any:
    """A data frame of any library as a narwhals frame, with text as names of columns.

    Raises:
        DataError: This is no data frame, or names of columns repeat or have several levels.
    """
    narwhals = import_extra("narwhals", "reading data frames")
    try:
        wrapped = narwhals.from_native(frame)
    except TypeError as error:
        raise source_error(
            f"`{name}` is a {type(frame).__name__}, which cannot be read",
            "Give an array, a tensor, a data frame, a path or the name of a data set",
            argument=name,
        ) from error
    except narwhals.exceptions.DuplicateError as error:
        names = getattr(frame, "column_names", None) or list(getattr(frame, "columns", ()))
        raise _repeated_names_error(names, name) from error
    frame = wrapped.collect() if isinstance(wrapped, narwhals.LazyFrame) else wrapped
    names = list(frame.columns)
    if any(isinstance(each, tuple) for each in names):
        raise source_error(
            f"the names of the columns of `{name}` have several levels",
            'Join them: frame.columns = ["_".join(map(str, name)) for name in frame.columns]',
            argument=name,
        )
    unnamed = {each: str(each) for each in names if not isinstance(each, str)}
    if len({str(each) for each in names}) < len(names):
        raise _repeated_names_error([str(each) for each in names], name)
    return frame.rename(unnamed) if unnamed else frame


def _repeated_names_error(names: list[Any], argument: str) -> DataError:
    """The error for several columns with one name."""
    repeated = [name for name, count in Counter(map(str, names)).items() if count > 1]
    return source_error(
        f"the frame has more than one column with the name {format_list(map(repr, repeated), 5)}",
        "Rename or drop columns, so that every name is there once",
        argument=argument,
    )


def import_extra(module: str, purpose: str, extra: str = "tables") -> Any:
    """A module of an extra."""
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise missing_extra(extra, purpose) from error
