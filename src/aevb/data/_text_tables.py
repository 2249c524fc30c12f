"""Tables in text files: CSV and its relatives, JSON lines, ARFF."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from .._registry import register
from ._compression import check_size, data_name, open_file
from ._formatting import format_count, source_error
from ._number_texts import DecimalMark, decimal_of_column
from ._raw import RawData, ReadOptions
from ._readers import ReaderRegistration
from ._reading import TEXT_SETTINGS
from ._tables import SourceTable, from_table, import_extra, to_narwhals
from ._text_cells import TextCells
from ._text_format import TextTable, decode_text, parse_text_table, split_cells, unique_names

BYTES_PER_COLUMN = 2048  # of memory that a column of any length needs
TRIED_ROWS, TRIED_COLUMNS = 1000, 50  # with commas, which decide the decimal mark of a file
_ARFF_ATTRIBUTE = re.compile(r"@attribute\s+('(?:[^'\\]|\\.)*'|\"[^\"]*\"|\S+)\s+", re.IGNORECASE)


def read_csv_table(path: Path, options: ReadOptions) -> SourceTable:
    """All columns of a table in a text file."""
    origin, reading = f'file "{path}"', options.reading
    options.check_unsupported(origin, "key")
    polars = import_extra("polars", "reading CSV files")
    with open_file(path, reading.allow_large) as handle:
        table = parse_text_table(handle.read(), reading, origin, options.columns)
    check_size(len(table.names) * BYTES_PER_COLUMN, origin, reading.allow_large)
    texts = read_texts(polars, table, origin)
    decimal = reading.decimal or usual_decimal_of(texts)
    frame = _to_plain_numbers(texts, decimal)
    return SourceTable(
        to_narwhals(frame),
        data_name(path),
        origin,
        table.first_line,
        table.notes,
        usual_decimal=decimal,
        settings=TEXT_SETTINGS,
        texts=TextCells(texts, table.delimiter),
    )


@register(
    ReaderRegistration(
        name="csv",
        title="CSV",
        suffixes=(".csv", ".tsv", ".txt", ".data", ".dat", ".tab"),
        reads="columns of numbers, with labels and context in other columns; encoding, delimiter, "
        "decimal mark and header are detected",
        use_when="tables",
        cost='the extra "tables"',
        avoid_when="the table is large; parquet is faster",
        table=read_csv_table,
    )
)
def read_csv(path: Path, options: ReadOptions) -> RawData:
    """A table in a text file, with any delimiter, in any encoding."""
    return from_table(read_csv_table(path, options), options)


def read_json_lines_table(path: Path, options: ReadOptions) -> SourceTable:
    """All columns of a file with one JSON object per line."""
    polars = import_extra("polars", "reading JSON lines")
    origin = f'file "{path}"'
    with open_file(path, options.reading.allow_large) as handle:
        content, notes = decode_text(handle.read(), options.reading.encoding, origin)
    if not content.lstrip().startswith(b"{"):
        raise source_error(f"{origin} does not begin with a JSON object", "Write one per line")
    frame = polars.read_ndjson(content, infer_schema_length=None)
    return SourceTable(
        to_narwhals(frame), data_name(path), origin, 1, notes, settings=frozenset({"encoding"})
    )


@register(
    ReaderRegistration(
        name="jsonl",
        title="JSON lines",
        suffixes=(".jsonl", ".ndjson"),
        reads="columns of numbers, or the column `key` of rows (lists)",
        use_when="records that a program wrote",
        cost='the extra "tables"',
        avoid_when="the table is large; parquet is faster",
        table=read_json_lines_table,
    )
)
def read_json_lines(path: Path, options: ReadOptions) -> RawData:
    """A file with one JSON object per line."""
    return from_table(read_json_lines_table(path, options), options)


def read_arff_table(path: Path, options: ReadOptions) -> SourceTable:
    """All columns of an ARFF file with dense data."""
    origin = f'file "{path}"'
    options.check_unsupported(origin, "key")
    polars = import_extra("polars", "reading ARFF files")
    with open_file(path, options.reading.allow_large) as handle:
        content, notes = decode_text(handle.read(), options.reading.encoding, origin)
    mark = re.search(rb"(?im)^[ \t]*@data[^\n]*(\n|$)", content)
    if mark is None:
        raise source_error(f"{origin} has no line @data, so it is not ARFF")
    head, rows = content[: mark.start()], content[mark.end() :]
    rows = re.sub(rb"(?m)^[ \t]*%[^\n]*\n?|\r", b"", rows).strip(b"\n ")
    if rows.startswith(b"{"):
        raise source_error(f"{origin} holds sparse data", "Convert it to dense ARFF or to CSV")
    names = [match.strip("'\"") for match in _ARFF_ATTRIBUTE.findall(head.decode())]
    delimiter = "\t" if b"," not in rows.split(b"\n", 1)[0] and b"\t" in rows else ","
    table = TextTable(rows, delimiter, unique_names(names), content.count(b"\n", 0, mark.end()) + 1)
    texts = read_texts(polars, table, origin, quote="'" if b'"' not in rows else '"')
    frame = _to_plain_numbers(texts, ".")
    return SourceTable(
        to_narwhals(frame),
        data_name(path),
        origin,
        table.first_line,
        notes,
        settings=frozenset({"encoding"}),
    )


@register(
    ReaderRegistration(
        name="arff",
        title="ARFF",
        suffixes=(".arff",),
        reads="columns of numbers, with labels and context in other columns",
        use_when="data sets of OpenML and Weka",
        cost='the extra "tables"',
        avoid_when="the format is yours to choose; use parquet",
        table=read_arff_table,
    )
)
def read_arff(path: Path, options: ReadOptions) -> RawData:
    """An ARFF file with dense data."""
    return from_table(read_arff_table(path, options), options)


def read_texts(polars: Any, table: TextTable, origin: str, quote: str = '"') -> Any:
    """All cells as text."""
    names = [f"column_{i + 1}" for i in range(len(table.names))]
    header = table.delimiter.join(names).encode()
    if not names:
        raise source_error(f"{origin} is empty", "Give at least one row")
    try:
        frame = polars.read_csv(
            header + b"\n" + table.rows + b"\n" if table.rows else header,
            separator=table.delimiter,
            quote_char=quote,
            comment_prefix="#" if table.comments else None,
            infer_schema=False,
        )
    except polars.exceptions.PolarsError as error:
        raise _row_error(table, origin, quote, error) from error
    return frame.rename(dict(zip(names, table.names, strict=True)))


def _row_error(table: TextTable, origin: str, quote: str, error: Exception) -> Exception:
    """The error for the first line with more cells than names, or with an open quotation."""
    lines = table.rows.decode(errors="replace").split("\n")
    if sum(line.count(quote) for line in lines) % 2:
        place = next(i for i, line in enumerate(lines) if line.count(quote) % 2)
        return source_error(
            f"{origin} opens a quotation ({quote}) that does not end, in line "
            f"{table.first_line + place:,} or later",
            "Close it, or remove the mark",
        )
    for place, cells in enumerate(split_cells(lines, table.delimiter)):
        if len(cells) > len(table.names):
            return source_error(
                f"{origin} has {format_count(len(cells), 'cell')} in line "
                f"{table.first_line + place:,}, and {format_count(len(table.names), 'column')}",
                "Correct the line",
            )
    return error


def _to_plain_numbers(texts: Any, decimal: DecimalMark) -> Any:
    """The frame with columns of whole numbers, numbers or booleans where all cells are; else text.

    Where the decimal mark is a comma, columns with points stay text: the points may be thousands
    separators.
    """
    import polars

    frame = texts.select(polars.all().str.strip_chars().replace("", None))
    names = frame.columns
    if decimal == ",":
        names = [name for name in names if not frame[name].str.contains(".", literal=True).any()]
    for dtype in (polars.Int64, polars.Float64):
        likely, _ = _cast_columns(frame.head(TRIED_ROWS), names, dtype)  # most columns fail soon
        plain, numbers = _cast_columns(frame, likely, dtype)
        frame = frame.with_columns(numbers)
        done = set(plain)
        names = [name for name in names if name not in done]
    words = ["true", "false"]
    truths = {name: frame[name].str.to_lowercase() for name in names}
    return frame.with_columns(
        (lower == "true").alias(name)
        for name, lower in truths.items()
        if lower.head(TRIED_ROWS).drop_nulls().is_in(words).all()
        and lower.drop_nulls().is_in(words).all()
    )


def _cast_columns(frame: Any, names: list[str], dtype: Any) -> tuple[list[str], list[Any]]:
    """The columns among ``names`` of which every cell has this type, by name and converted."""
    import polars

    if not names:
        return [], []
    numbers = frame.select(polars.col(names).cast(dtype, strict=False))
    missing = zip(numbers.null_count().row(0), frame[names].null_count().row(0), strict=True)
    plain = [name for name, (new, old) in zip(names, missing, strict=True) if new == old]
    return plain, numbers[plain].get_columns() if plain else []


def usual_decimal_of(texts: Any) -> DecimalMark:
    """The comma where a column of numbers agrees with it alone, and none with the point alone."""
    import polars

    head = texts.head(TRIED_ROWS)
    has_comma = head.select(polars.all().str.contains(",", literal=True).any()).row(0)
    names = [name for name, has in zip(head.columns, has_comma, strict=True) if has]
    marks = {
        decimal_of_column({text.strip() for text in head[name].drop_nulls()})
        for name in names[:TRIED_COLUMNS]
    } - {None}
    return "," if marks == {","} else "."
