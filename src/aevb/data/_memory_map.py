"""Rows of an array in a file, read batch by batch."""

from __future__ import annotations

import os
import sys
import weakref
from dataclasses import dataclass, replace
from functools import cache
from threading import Lock
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._memory import format_bytes, physical_memory
from .._offset import Offset
from ..errors import DataError
from ._row_index import resolve_index
from ._sparse_rows import SparseRows

MAP_MIN_BYTES = 1 << 30  # smaller files are read into memory, where rows are faster
GATHER_MEMORY_DIVISOR = 4  # a file of at most 1/4 of the memory is gathered through its map
MAX_READ_AMPLIFICATION = 4  # rows that are read at most for each row of a batch
CPU = torch.device("cpu")
_SEEK_LOCK = Lock()


class ArrayFile:
    """A memory-mapped array ``[N, *row]`` and its file.

    Neighbouring rows are read from the file. Scattered rows are gathered through the map, ten times
    as fast as row by row, where the file is at most a quarter of the memory: pages that are read
    through a map count as memory of the process, although the system can take them back. From
    larger files, scattered rows are read one by one, so that the process does not grow.

    Args:
        array: The memory-mapped array.
    """

    def __init__(self, array: np.memmap) -> None:
        self.array = array
        self.name = str(array.filename)
        self.handle = os.open(self.name, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        weakref.finalize(self, os.close, self.handle)
        self.offset = _file_offset(array)
        self.row_bytes = array.nbytes // len(array)

    def read(self, start: int, stop: int) -> np.ndarray:
        """The rows from ``start`` to before ``stop``."""
        rows = np.empty((stop - start, *self.array.shape[1:]), self.array.dtype)
        self._fill(rows, [start])
        return rows

    def take(self, index: np.ndarray) -> np.ndarray:
        """The rows ``index`` (int64 ``[B]``)."""
        if self.array.nbytes <= _gather_limit():
            return np.asarray(np.take(self.array, index, axis=0))
        rows = np.empty((len(index), *self.array.shape[1:]), self.array.dtype)
        self._fill(rows, index.tolist())
        return rows

    def _fill(self, rows: np.ndarray, starts: list[int]) -> None:
        """Fill ``rows`` with runs of equal length that begin at the rows ``starts``."""
        content, size = rows.reshape(-1).view(np.uint8).data, rows.nbytes // max(len(starts), 1)
        for number, start in enumerate(starts):
            self._read_run(
                content[number * size : (number + 1) * size], self.offset + start * self.row_bytes
            )

    def _read_run(self, buffer: memoryview, offset: int) -> None:
        """Fill the buffer from an offset in the file."""
        while buffer:  # repeated, because systems read at most 2 GiB at a time
            n_bytes = _read_at(self.handle, buffer, offset)
            if not n_bytes:
                raise DataError(
                    f'file "{self.name}" has become shorter since it was opened',
                    suggestions=("Load it again",),
                )
            buffer, offset = buffer[n_bytes:], offset + n_bytes

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy opens the file again, also in another process."""
        return _reopen, (self.name, self.array.dtype, self.array.shape, self.offset)


def _reopen(name: str, dtype: np.dtype, shape: tuple[int, ...], offset: int) -> ArrayFile:
    """Open the same array again."""
    return ArrayFile(np.memmap(name, dtype, "r", offset, shape))


def _read_at(handle: int, buffer: memoryview, offset: int) -> int:
    """Read bytes at an offset, independent of other readers; returns the number of bytes read."""
    if sys.platform != "win32":
        return os.preadv(handle, [buffer], offset)
    with _SEEK_LOCK:  # on Windows, the offset belongs to the file and not to the call
        os.lseek(handle, offset, os.SEEK_SET)
        content = os.read(handle, len(buffer))
    buffer[: len(content)] = content
    return len(content)


@dataclass(frozen=True, eq=False)
class MappedRows:
    """Rows of an array in a file, with the part of a tensor's interface that ``Rows`` uses.

    Indexing reads nothing; ``np.asarray``, ``tensor`` and ``index_select`` read the rows.

    Args:
        file: The array and its file.
        dtype: The dtype that the rows are converted to when they are read.
        row_index: The numbers of the rows in the file.
        axes: The order of the axes of the file ``[N, *row]``; ``None``: as they are.
        device: The device that the rows are copied to.
        offset: What is subtracted in float64 before the values are converted to ``dtype``.
        window_rows: Training reads so many rows at a time and shuffles them in memory; ``None``
            shuffles all rows.
    """

    file: ArrayFile
    dtype: np.dtype
    row_index: range | np.ndarray
    axes: tuple[int, ...] | None = None
    device: torch.device = CPU
    offset: Offset | None = None
    window_rows: int | None = None

    @classmethod
    def from_memmap(cls, array: np.memmap) -> MappedRows:
        """All rows of an array, as they are."""
        return cls(ArrayFile(array), array.dtype, range(len(array)))

    @property
    def shape(self) -> tuple[int, ...]:
        """``[N, *row]``."""
        shape = (len(self.row_index), *self.file.array.shape[1:])
        return shape if self.axes is None else tuple(shape[axis] for axis in self.axes)

    @property
    def size_text(self) -> str:
        """The size of the array in the file, as text."""
        return format_bytes(self.file.array.nbytes)

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.row_index)

    def __getitem__(self, index: slice | np.ndarray | Tensor) -> MappedRows:
        """The rows ``index``, without reading them."""
        return replace(self, row_index=resolve_index(self.row_index, index))

    def reshape(self, *shape: int) -> MappedRows:
        """The same rows in another shape ``[N, *row]``."""
        array = self.file.array.reshape(*shape)
        assert isinstance(array, np.memmap)  # a view, because rows are contiguous
        return replace(self, file=ArrayFile(array))

    def transpose(self, axes: tuple[int, ...]) -> MappedRows:
        """The same rows with their axes in another order, the rows first."""
        return replace(self, axes=axes)

    def astype(self, dtype: np.dtype, copy: bool = True) -> MappedRows:
        """The same rows, read as another dtype."""
        return replace(self, dtype=dtype)

    def with_offset(self, offset: Offset | None) -> MappedRows:
        """The same rows, read as float32 after another offset is subtracted."""
        return replace(self, dtype=np.dtype(np.float32), offset=offset)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Read the rows."""
        rows = self._read()
        rows = rows if self.axes is None else rows.transpose(self.axes)
        rows = rows if self.offset is None else rows - np.array(self.offset, np.float64)
        return np.ascontiguousarray(rows, dtype or self.dtype)

    def index_select(self, dim: int, index: Tensor) -> Tensor:
        """Read the rows ``index`` (int64 ``[B]``) onto the device."""
        return self[index].tensor()

    def tensor(self) -> Tensor:
        """Read all rows onto the device."""
        rows = torch.from_numpy(np.asarray(self))
        if self.device.type != "cuda":
            return rows.to(self.device)
        # a copy from memory that is not pinned waits for all work on the device
        return rows.pin_memory().to(self.device, non_blocking=True)

    def to(self, device: torch.device | str) -> MappedRows:
        """The same rows for another device, without reading them."""
        return (
            self
            if self.device == torch.device(device)
            else replace(self, device=torch.device(device))
        )

    def in_storage_order(self) -> MappedRows:
        """The same rows in the order of the file, which is read fastest."""
        return (
            self
            if isinstance(self.row_index, range)
            else replace(self, row_index=np.sort(self.row_index))
        )

    def _read(self) -> np.ndarray:
        """Read close rows in one run with the rows between them, and scattered rows one by one."""
        places = np.asarray(self.row_index, np.int64)
        if (
            len(places)
            and 0 <= places[-1] - places[0] < MAX_READ_AMPLIFICATION * len(places)
            and (np.diff(places) > 0).all()
        ):
            return self.file.read(int(places[0]), int(places[-1]) + 1)[_offsets_in_run(places)]
        return self.file.take(places)


RowValues = np.ndarray | MappedRows | SparseRows


def should_map(requested: bool | None, size: int) -> bool:
    """Whether an array of ``size`` bytes stays in its file: as requested, or by its size."""
    return size > MAP_MIN_BYTES if requested is None else requested


def unmappable_reason(array: np.ndarray) -> str | None:
    """Why an array cannot be read row by row from its file; ``None`` where it can."""
    if not isinstance(array, np.memmap) or array.filename is None or array.mode == "c":
        return "it is not memory-mapped from a file, as by np.load(path, mmap_mode='r')"
    if not (array.flags.c_contiguous and array.flags.aligned):
        return (
            "its rows do not lie one after the other in the file; write "
            "np.save(path, np.ascontiguousarray(x))"
        )
    return None if array.ndim > 1 and array.size else "it has no rows of values"


def _offsets_in_run(places: np.ndarray) -> np.ndarray | slice:
    """Ascending row numbers as offsets from the first; a slice, without a copy, for a full run."""
    return slice(None) if places[-1] - places[0] == len(places) - 1 else places - places[0]


def _file_offset(array: np.memmap) -> int:
    """The offset of the array in its file: a view keeps the offset of the mapped array."""
    mapped: Any = array
    while isinstance(mapped.base, np.ndarray):
        mapped = mapped.base
    addresses = [view.__array_interface__["data"][0] for view in (array, mapped)]
    return array.offset + addresses[0] - addresses[1]


@cache
def _gather_limit() -> int:
    """The largest file, in bytes, whose rows are gathered through its map."""
    return (physical_memory() or 4 * MAP_MIN_BYTES) // GATHER_MEMORY_DIVISOR
