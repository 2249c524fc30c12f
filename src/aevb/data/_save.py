"""Rows to files, in the forms that are read fastest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .._files import open_atomically
from .._memory import default_block_size
from ..errors import ArgumentError, DataError, missing_extra
from ._byte_format import ByteFormat
from ._formatting import did_you_mean, format_list
from ._rows import Rows

PARQUET_GROUP_ROWS = 4096  # rows that a reader of a Parquet file gets at once
PARQUET_ROW_COLUMN, PARQUET_LABEL_COLUMN = "row", "label"


def save(rows: Any, path: str | Path) -> None:
    """Write rows for ``load``: ``.npy``, one array, or ``.parquet``, a column of bytes with shape and kind in the metadata, and labels.

    ``rows`` are ``Rows`` or an array ``[N, *event]``; whole numbers 0 to 255 that are stored as bytes are written as bytes, all others as
    float32. Rows that are binarised afresh at each reading are written as they are read this time. An ``.npy`` file is written a piece at
    a time, so that rows that stay in a file of their own are never all in memory; a large one is not read whole by ``load`` either.

    Raises ``ArgumentError`` for another ending, and for labels where the form has no place for them.

    >>> import tempfile
    >>> from aevb.data import load
    >>> data = load("digits")
    >>> path = Path(tempfile.mkdtemp()) / "train.npy"
    >>> save(Rows(data.train.stored), path)
    >>> load(path).spec.event_shape
    (8, 8)
    """
    path, rows = Path(path), Rows.from_array(rows)
    if path.suffix.lower() not in ROW_WRITERS:
        near = did_you_mean(path.suffix.lower(), ROW_WRITERS)
        raise ArgumentError(
            f'path="{path}": rows are written as {format_list(ROW_WRITERS)}, not as "{path.suffix}".{near}'
        )
    if len(rows) == 0:
        raise DataError("`rows` has no rows: give at least one.")
    ROW_WRITERS[path.suffix.lower()](rows, path)


def _write_npy(rows: Rows, path: Path) -> None:
    if rows.labels is not None:
        raise ArgumentError(
            f'path="{path}": an .npy file has no place for labels: write .parquet, or rows alone, Rows(rows.stored, rows.decode).'
        )
    kind = _stored_dtype(rows)
    header = {
        "descr": np.lib.format.dtype_to_descr(kind),
        "fortran_order": False,
        "shape": (len(rows), *rows.event_shape),
    }
    with open_atomically(path) as file:
        np.lib.format.write_array_header_2_0(file, header)
        for piece in _iter_row_chunks(rows, kind):
            file.write(np.ascontiguousarray(piece).data)


def _write_parquet(rows: Rows, path: Path) -> None:
    """Plain pages: polars leaves the dictionary out where rows differ, and range statistics of rows would only repeat them."""
    try:
        import polars
    except ImportError as error:
        raise missing_extra("tables", "writing Parquet files") from error
    kind = _stored_dtype(rows)
    cells = [row.tobytes() for piece in _iter_row_chunks(rows, kind) for row in piece]
    columns = {PARQUET_ROW_COLUMN: polars.Series(cells, dtype=polars.Binary)}
    if rows.labels is not None:
        columns[PARQUET_LABEL_COLUMN] = polars.Series(rows.labels.cpu().numpy())
    metadata = ByteFormat(
        PARQUET_ROW_COLUMN, rows.event_shape, "uint8" if kind == np.uint8 else "float32"
    ).to_metadata()
    with open_atomically(path) as file:
        polars.DataFrame(columns).write_parquet(
            file, row_group_size=PARQUET_GROUP_ROWS, statistics=False, metadata=metadata
        )


def _stored_dtype(rows: Rows) -> np.dtype:
    """Little-endian float32, or bytes where the rows are stored as such; then all that is read from them are whole numbers 0 to 255."""
    return np.dtype(np.uint8 if rows.is_stored_as_bytes else "<f4")


def _iter_row_chunks(rows: Rows, dtype: np.dtype) -> Iterator[np.ndarray]:
    step = default_block_size(int(np.prod(rows.event_shape)))
    for start in range(0, len(rows), step):
        yield rows[start : start + step].to("cpu", torch.float32).numpy().astype(dtype, copy=False)


ROW_WRITERS: dict[str, Callable[[Rows, Path], None]] = {
    ".npy": _write_npy,
    ".parquet": _write_parquet,
}
