"""Data frames as files."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from .._files import open_atomically
from ..errors import ArgumentError
from ._column_statistics import is_missing_cell
from ._formatting import format_list
from ._tables import to_narwhals


def write_frame(frame: Any, path: str | Path) -> None:
    """Write a data frame to a file, whole or not at all.

    Missing cells are empty in CSV, and null in the other formats. An index of pandas is left out.

    Args:
        frame: A data frame of pandas, polars or pyarrow.
        path: The file; its ending is one of ``FRAME_WRITERS``.

    Raises:
        ArgumentError: The ending is another one.
        RunError: The file cannot be written.
    """
    path = Path(path)
    write = FRAME_WRITERS.get(path.suffix.lower())
    if write is None:
        raise ArgumentError(
            f"the ending {path.suffix or '(none)'} does not fit",
            argument="path",
            value=str(path),
            suggestions=(f"Write one of {format_list(FRAME_WRITERS)}",),
        )
    table = to_narwhals(frame, "frame")
    with open_atomically(path) as file:
        write(table, file)


def _write_csv(table: Any, file: BinaryIO) -> None:
    file.write(table.write_csv().encode())


def _write_parquet(table: Any, file: BinaryIO) -> None:
    buffer = BytesIO()
    table.write_parquet(buffer)
    file.write(buffer.getvalue())


def _write_lines(table: Any, file: BinaryIO) -> None:
    """One JSON object per line."""
    for record in table.iter_rows(named=True):
        cells = {name: None if is_missing_cell(cell) else cell for name, cell in record.items()}
        file.write(f"{json.dumps(cells, default=to_json_value, ensure_ascii=False)}\n".encode())


def _write_json(table: Any, file: BinaryIO) -> None:
    """A list of JSON objects."""
    buffer = BytesIO()
    _write_lines(table, buffer)
    file.write(b"[" + b",\n".join(buffer.getvalue().splitlines()) + b"]\n")


def to_json_value(cell: Any) -> Any:
    """A number of another class, or a text."""
    if isinstance(cell, dt.date | dt.time):
        return cell.isoformat()
    if isinstance(cell, dt.timedelta):
        return cell.total_seconds()
    return cell.item() if type(cell).__module__ == "numpy" else _number_or_text(cell)


def _number_or_text(cell: Any) -> float | str:
    try:
        return float(cell)
    except (TypeError, ValueError):
        return str(cell)


FRAME_WRITERS: dict[str, Callable[[Any, BinaryIO], None]] = {
    ".csv": _write_csv,
    ".parquet": _write_parquet,
    ".json": _write_json,
    ".jsonl": _write_lines,
}
