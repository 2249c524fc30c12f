"""Rows to files, in the formats that are read fastest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np

from .._files import open_atomically
from .._memory import default_block_size
from ..errors import ArgumentError, DataError, missing_extra
from ._byte_format import ByteFormat
from ._formatting import format_list, suggest_nearest
from ._rows import Rows

PARQUET_GROUP_ROWS = 4096  # rows of a Parquet file that are read at once
PARQUET_ROW_COLUMN, PARQUET_LABEL_COLUMN = "row", "label"
_DTYPE_NAMES: dict[int, Literal["uint8", "float32", "float64"]] = {
    1: "uint8",
    4: "float32",
    8: "float64",
}


def save(rows: Any, path: str | Path) -> None:
    """Write rows to a file that ``load`` reads.

    An ``.npy`` file holds one array; it is written in chunks, so that rows that stay in a file are
    never all in memory. A ``.parquet`` file holds a column of bytes, with shape and dtype in its
    metadata, and a column of labels. Values that are stored as bytes are written as bytes, all
    others as float32 (float64 where there is an offset); rows that are binarised at each reading
    are drawn once more.

    Args:
        rows: ``Rows`` or an array ``[N, *event]``.
        path: The file, which ends in ``.npy`` or ``.parquet``; an existing file is replaced.

    Raises:
        ArgumentError: The path has another ending, or the rows have labels and the format has not.
        DataError: There are no rows.
        MissingExtraError: The format is Parquet, and polars is not installed.

    Example:
        >>> import tempfile
        >>> from aevb.data import load
        >>> data = load("digits")
        >>> path = Path(tempfile.mkdtemp()) / "train.npy"
        >>> save(Rows(data.train.stored_values), path)
        >>> load(path).spec.event_shape
        (8, 8)
    """
    path, rows = Path(path), Rows.from_array(rows)
    suffix = path.suffix.lower()
    if suffix not in ROW_WRITERS:
        raise ArgumentError(
            f'rows are written as {format_list(ROW_WRITERS)}, not as "{path.suffix}"',
            argument="path",
            value=str(path),
            suggestions=suggest_nearest(suffix, ROW_WRITERS),
        )
    if len(rows) == 0:
        raise DataError("`rows` has no rows", argument="rows", suggestions=("Give at least one",))
    ROW_WRITERS[suffix](rows, path)


def _write_npy(rows: Rows, path: Path) -> None:
    """Write one array in chunks."""
    if rows.labels is not None:
        raise ArgumentError(
            "an .npy file has no place for labels",
            argument="path",
            value=str(path),
            suggestions=(
                "Write .parquet, or the rows alone: Rows(rows.stored_values, rows.transform)",
            ),
        )
    dtype = _stored_dtype(rows)
    header = {
        "descr": np.lib.format.dtype_to_descr(dtype),
        "fortran_order": False,
        "shape": (len(rows), *rows.event_shape),
    }
    with open_atomically(path) as file:
        np.lib.format.write_array_header_2_0(file, header)
        for chunk in _iter_row_chunks(rows, dtype):
            file.write(np.ascontiguousarray(chunk).data)


def _write_parquet(rows: Rows, path: Path) -> None:
    """Write a column of bytes, without statistics, which would repeat rows."""
    try:
        import polars
    except ImportError as error:
        raise missing_extra("tables", "writing Parquet files") from error
    dtype = _stored_dtype(rows)
    cells = [row.tobytes() for chunk in _iter_row_chunks(rows, dtype) for row in chunk]
    columns = {PARQUET_ROW_COLUMN: polars.Series(cells, dtype=polars.Binary)}
    if rows.labels is not None:
        columns[PARQUET_LABEL_COLUMN] = polars.Series(rows.labels.cpu().numpy())
    metadata = ByteFormat(
        PARQUET_ROW_COLUMN, rows.event_shape, _DTYPE_NAMES[dtype.itemsize]
    ).to_metadata()
    with open_atomically(path) as file:
        polars.DataFrame(columns).write_parquet(
            file, row_group_size=PARQUET_GROUP_ROWS, statistics=False, metadata=metadata
        )


def _stored_dtype(rows: Rows) -> np.dtype:
    """Bytes for bytes, float64 with an offset, otherwise float32, little-endian."""
    if rows.offset is not None:
        return np.dtype("<f8")
    return np.dtype(np.uint8 if rows.is_stored_as_bytes else "<f4")


def _iter_row_chunks(rows: Rows, dtype: np.dtype) -> Iterator[np.ndarray]:
    """Decoded rows in chunks of bounded size."""
    step = default_block_size(int(np.prod(rows.event_shape)))
    for start in range(0, len(rows), step):
        yield rows[start : start + step].cpu().numpy().astype(dtype, copy=False)


ROW_WRITERS: dict[str, Callable[[Rows, Path], None]] = {
    ".npy": _write_npy,
    ".parquet": _write_parquet,
}
