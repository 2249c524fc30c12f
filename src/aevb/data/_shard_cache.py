"""Encoded rows of shards in a folder, from which training reads them."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .._files import finite_or_none, read_json, write_json
from .._memory import format_bytes
from ..errors import DataError, RunError
from ._memory_map import ArrayFile, MappedRows
from ._reading import Reading
from ._rows import Rows
from ._schema import Schema
from ._shards import Shards
from ._spec import Spec

WINDOW_BYTES = 1 << 25  # of rows that are shuffled in memory
MIN_WINDOW_ROWS = 1 << 12
ROWS_FILE, RECORD_FILE = "rows.bin", "cache.json"
CACHE_VERSION = 1  # of the encoding of rows


def cache_key(shards: Shards, settings: Mapping[str, Any]) -> str:
    """A text that changes with any file, setting or version that encoded rows depend on."""
    files = [
        (str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns) for file in shards.files
    ]
    content = json.dumps([CACHE_VERSION, files, finite_or_none(dict(settings))], default=_to_json)
    return hashlib.sha256(content.encode()).hexdigest()[:32]


def _to_json(value: Any) -> Any:
    """A setting in JSON types; data in memory are like no other data."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Schema | Reading):
        return value.to_dict() if isinstance(value, Schema) else value.settings
    return uuid.uuid4().hex


def stored_dtype(spec: Spec) -> str:
    """The type in which encoded rows are stored."""
    levels = spec.support == "levels" and (spec.levels or 256) <= 256
    return "uint8" if spec.support == "binary" or levels else "float32"


@dataclass(frozen=True)
class RowFile:
    """Encoded rows one after the other in a file.

    Args:
        folder: The folder of the file.
        dtype: The type of the numbers, ``"float32"`` or ``"uint8"``.
        row_shape: The shape of a row.
    """

    folder: Path
    dtype: str
    row_shape: tuple[int, ...]

    @property
    def row_bytes(self) -> int:
        """The size of a row."""
        return math.prod(self.row_shape) * np.dtype(self.dtype).itemsize

    def write(self, blocks: Iterable[Rows], expected: int) -> int:
        """Write rows of the model's type.

        Args:
            blocks: The rows, in model units.
            expected: About how many rows there are.

        Returns:
            The number of rows written.

        Raises:
            RunError: The disk is too small, or the file cannot be written.
        """
        path, count = self.folder / ROWS_FILE, 0
        self._check_space(expected * self.row_bytes)
        try:
            with path.open("wb") as file:
                for rows in blocks:
                    values = rows.model_input(slice(None)).numpy()
                    file.write(np.ascontiguousarray(values, self.dtype).data)
                    count += len(rows)
        except OSError as error:
            raise RunError(
                f'"{path}" cannot be written ({error.strerror or error})',
                suggestions=("Name another folder for the encoded rows: `cache`",),
            ) from error
        return count

    def _check_space(self, size: int) -> None:
        free = shutil.disk_usage(self.folder).free
        if size > free:
            raise RunError(
                f'the encoded rows need {format_bytes(size)}, and "{self.folder}" has '
                f"{format_bytes(free)}",
                suggestions=("Name another folder for them: `cache`",),
            )

    def is_whole(self, count: Any) -> bool:
        """Whether the file has the size of so many rows."""
        path = self.folder / ROWS_FILE
        whole = isinstance(count, int) and path.is_file()
        return whole and path.stat().st_size == count * self.row_bytes

    def rows(self, count: int) -> Rows:
        """The rows in the file.

        Raises:
            DataError: The file does not have so many.
        """
        path = self.folder / ROWS_FILE
        if not self.is_whole(count):
            raise DataError(f'"{path}" is not the file that was written')
        if not count:
            return Rows(torch.zeros(0, *self.row_shape, dtype=getattr(torch, self.dtype)))
        array = np.memmap(path, np.dtype(self.dtype), "r", 0, (count, *self.row_shape))
        window = max(MIN_WINDOW_ROWS, WINDOW_BYTES // (4 * math.prod(self.row_shape)))
        stored = MappedRows(ArrayFile(array), array.dtype, range(count), window_rows=window)
        return Rows(stored)


def save_part(folder: Path, name: str, rows: Rows) -> None:
    """Write the rows of a small part."""
    stored = rows.model_input(slice(None)).numpy()
    labels = np.zeros(0, np.int64) if rows.labels is None else rows.labels.numpy()
    np.savez(folder / f"{name}.npz", rows=stored, labels=labels)


def load_part(folder: Path, name: str) -> Rows:
    """The rows that ``save_part`` wrote, in model units."""
    with np.load(folder / f"{name}.npz", allow_pickle=False) as file:
        rows, labels = torch.from_numpy(file["rows"]), torch.from_numpy(file["labels"])
    return Rows(rows, labels=labels if len(labels) else None)


def read_record(folder: Path) -> dict[str, Any] | None:
    """The record of a finished cache; ``None`` where there is none, or a damaged one."""
    if not (folder / RECORD_FILE).is_file():
        return None
    try:
        return read_json(folder / RECORD_FILE)
    except RunError:
        return None


def write_record(folder: Path, record: dict[str, Any]) -> None:
    """Write the record of a finished cache, last of all its files."""
    write_json(folder / RECORD_FILE, record)
