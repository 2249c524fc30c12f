"""Rows to files, in the forms that are read fastest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import ArgumentError, DataError, extra
from ..files import replacing
from ..memory import rows_at_once
from .form import Form
from .rows import Rows
from .words import listing, nearest

GROUP = 4096  # rows that a reader of a Parquet file gets at once
COLUMN, LABELS = "row", "label"


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
    path, rows = Path(path), Rows.of(rows)
    if path.suffix.lower() not in WRITERS:
        near = nearest(path.suffix.lower(), WRITERS)
        raise ArgumentError(f'path="{path}": rows are written as {listing(WRITERS)}, not as "{path.suffix}".{near}')
    if len(rows) == 0:
        raise DataError("`rows` has no rows: give at least one.")
    WRITERS[path.suffix.lower()](rows, path)


def _write_npy(rows: Rows, path: Path) -> None:
    if rows.labels is not None:
        raise ArgumentError(
            f'path="{path}": an .npy file has no place for labels: write .parquet, or rows alone, Rows(rows.stored, rows.decode).'
        )
    kind = _kind(rows)
    header = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": (len(rows), *rows.event_shape)}
    with replacing(path) as file:
        np.lib.format.write_array_header_2_0(file, header)
        for piece in _pieces(rows, kind):
            file.write(np.ascontiguousarray(piece).data)


def _write_parquet(rows: Rows, path: Path) -> None:
    """Plain pages: polars leaves the dictionary out where rows differ, and range statistics of rows would only repeat them."""
    try:
        import polars
    except ImportError as error:
        raise extra("tables", "writing Parquet files") from error
    kind = _kind(rows)
    cells = [row.tobytes() for piece in _pieces(rows, kind) for row in piece]
    columns = {COLUMN: polars.Series(cells, dtype=polars.Binary)}
    if rows.labels is not None:
        columns[LABELS] = polars.Series(rows.labels.cpu().numpy())
    metadata = Form(COLUMN, rows.event_shape, "uint8" if kind == np.uint8 else "float32").to_metadata()
    with replacing(path) as file:
        polars.DataFrame(columns).write_parquet(file, row_group_size=GROUP, statistics=False, metadata=metadata)


def _kind(rows: Rows) -> np.dtype:
    """Little-endian float32, or bytes where the rows are stored as such; then all that is read from them are whole numbers 0 to 255."""
    return np.dtype(np.uint8 if rows.bytes else "<f4")


def _pieces(rows: Rows, kind: np.dtype) -> Iterator[np.ndarray]:
    step = rows_at_once(int(np.prod(rows.event_shape)))
    for start in range(0, len(rows), step):
        yield rows[start : start + step].to("cpu", torch.float32).numpy().astype(kind, copy=False)


WRITERS: dict[str, Callable[[Rows, Path], None]] = {".npy": _write_npy, ".parquet": _write_parquet}
