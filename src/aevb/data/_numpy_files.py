"""NumPy files: one array (.npy), or an archive of arrays (.npz)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from .._registry import register
from ..errors import DataError
from ..notes import Argument, message
from ._arrays import from_memmap
from ._context import ContextColumn
from ._formatting import format_count, format_list, suggest_nearest
from ._memory_map import should_map
from ._raw import RawData, ReadOptions
from ._readers import ReaderRegistration, open_file


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
    origin = f'file "{path}"'
    options.check_unsupported(origin, "key", "labels")
    if path.suffix.lower() == ".npy" and should_map(options.memory_map, path.stat().st_size):
        return from_memmap(path.stem, origin, np.lib.format.open_memmap(path, mode="r"), options)
    with open_file(path) as handle:
        return RawData(path.stem, origin, np.lib.format.read_array(handle, allow_pickle=False))


@register(
    ReaderRegistration(
        name="npz",
        title="NumPy archive",
        suffixes=(".npz",),
        reads="the array `key`, or the only one, with labels and context in other arrays",
        use_when="arrays with labels or context",
        cost="the array is read into memory",
        avoid_when="the array is larger than the memory; use npy",
    )
)
def read_npz(path: Path, options: ReadOptions) -> RawData:
    """The array ``key`` of an archive, or its only array; ``labels`` names another array."""
    with open_file(path) as handle:
        arrays = np.lib.npyio.NpzFile(handle, allow_pickle=False)
        context = [name for name in options.condition if name in arrays.files]
        others = [name for name in arrays.files if name not in (options.labels, *context)]
        key = options.key or (others[0] if len(others) == 1 else None)
        if key is None:
            raise DataError(
                f'file "{path}" holds {format_count(len(others), "array")}: {format_list(others)}',
                argument="key",
                suggestions=(message("Choose one with {key}", key=Argument("key", "...")),),
            )
        raw = RawData(
            path.stem,
            f'file "{path}"',
            _get_array(arrays, "key", key, path),
            context_columns=tuple(ContextColumn(name, arrays[name]) for name in context),
        )
        if options.labels is None:
            return raw
        return raw.with_labels(_get_array(arrays, "labels", options.labels, path))


def _get_array(
    arrays: Mapping[str, np.ndarray], argument: str, name: str, path: Path
) -> np.ndarray:
    """An array of an archive."""
    if name not in arrays:
        raise DataError(
            f'file "{path}" holds {format_list(arrays)}',
            argument=argument,
            value=name,
            suggestions=suggest_nearest(name, arrays, argument),
        )
    return arrays[name]
