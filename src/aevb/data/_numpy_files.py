"""NumPy files: one array (.npy), or an archive of arrays (.npz)."""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from .._registry import register
from ._arrays import from_memmap
from ._compression import check_size, data_name, open_file
from ._context import ContextColumn
from ._formatting import source_error
from ._matrices import from_sparse, get_array, read_sparse, several_arrays_error
from ._memory_map import should_map
from ._raw import RawData, ReadOptions
from ._readers import ReaderRegistration


@register(
    ReaderRegistration(
        name="npy",
        title="NumPy array",
        suffixes=(".npy",),
        reads="one array [N, *event]",
        use_when="arrays, also larger than the memory: above 1 GiB, rows stay in the file",
        cost="none",
        avoid_when="rows have labels; use npz or parquet",
    )
)
def read_npy(path: Path, options: ReadOptions) -> RawData:
    """One NumPy array, which stays in the file where it is large; pickled objects are refused."""
    origin, allow_large = f'file "{path}"', options.reading.allow_large
    options.check_unsupported(origin, "key", "labels")
    if path.suffix.lower() == ".npy" and should_map(options.memory_map, path.stat().st_size):
        return from_memmap(path.stem, origin, np.lib.format.open_memmap(path, mode="r"), options)
    with open_file(path, allow_large) as handle:
        size = handle.seek(0, os.SEEK_END)
        handle.seek(0)
        return RawData(data_name(path), origin, _read_array(handle, size, origin, allow_large))


@register(
    ReaderRegistration(
        name="npz",
        title="NumPy archive",
        suffixes=(".npz",),
        reads="the array `key`, or the only one, with labels and context in other arrays; a sparse "
        "matrix of SciPy",
        use_when="arrays with labels or context",
        cost="the array is read into memory",
        avoid_when="the array is larger than the memory; use npy",
    )
)
def read_npz(path: Path, options: ReadOptions) -> RawData:
    """The array ``key`` of an archive, or its only array; ``labels`` names another array."""
    origin = f'file "{path}"'
    with open_file(path, options.reading.allow_large) as handle, zipfile.ZipFile(handle) as archive:
        arrays = _Arrays(archive, origin, options.reading.allow_large)
        if arrays.is_sparse:
            options.check_unsupported(origin, "key", "labels")
            matrix = read_sparse(arrays, origin)
            return from_sparse(matrix, data_name(path), origin, options.reading.allow_large)
        context = [name for name in options.condition if name in arrays]
        lengths = options.reading.lengths if options.reading.lengths in arrays else None
        others = [name for name in arrays if name not in (options.labels, lengths, *context)]
        key = options.key or (others[0] if len(others) == 1 else None)
        if key is None:
            raise several_arrays_error(origin, others)
        raw = RawData(
            data_name(path),
            origin,
            get_array(arrays, "key", key, origin),
            context_columns=tuple(ContextColumn(name, arrays[name]) for name in context),
            lengths=None if lengths is None else arrays[lengths],
        )
        if options.labels is None:
            return raw
        return raw.with_labels(get_array(arrays, "labels", options.labels, origin))


class _Arrays(Mapping[str, np.ndarray]):
    """The arrays of an archive, each read when it is asked for.

    Args:
        archive: The archive.
        origin: The archive as the subject of a sentence.
        allow_large: Whether an array may fill the memory.
    """

    def __init__(self, archive: zipfile.ZipFile, origin: str, allow_large: bool | None) -> None:
        self._archive, self._origin, self._allow_large = archive, origin, allow_large
        self._members = {
            member.filename.removesuffix(".npy"): member for member in archive.infolist()
        }

    @property
    def is_sparse(self) -> bool:
        """Whether the arrays are the parts of a sparse matrix that SciPy wrote."""
        return {"format", "shape", "data"} <= self._members.keys()

    def __getitem__(self, name: str) -> np.ndarray:
        member = self._members[name]
        with self._archive.open(member) as handle:
            return _read_array(
                cast(BinaryIO, handle), member.file_size, self._origin, self._allow_large
            )

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __contains__(self, name: object) -> bool:
        return name in self._members

    def __len__(self) -> int:
        return len(self._members)


def _read_array(handle: BinaryIO, size: int, origin: str, allow_large: bool | None) -> np.ndarray:
    """One array; its header must agree with the size of its content before memory is taken."""
    version = np.lib.format.read_magic(handle)
    v1, v2 = np.lib.format.read_array_header_1_0, np.lib.format.read_array_header_2_0
    shape, _, dtype = (v1 if version == (1, 0) else v2)(handle)
    n_bytes = math.prod(shape) * dtype.itemsize
    if n_bytes > size and not dtype.hasobject:
        raise source_error(
            f"{origin} is truncated: its header says {dtype} {shape}, {n_bytes:,} bytes, and it "
            f"has {size:,}"
        )
    check_size(n_bytes, origin, allow_large)
    handle.seek(0)
    return np.lib.format.read_array(handle, allow_pickle=False)
