"""Files to data as read: one reader for each ending."""

from __future__ import annotations

import gzip
import math
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from ..errors import AevbError, DataError
from ._arrays import from_memmap
from ._context import ContextColumn
from ._formatting import did_you_mean, format_count, format_list
from ._image_folder import read_folder
from ._memory_map import should_map
from ._raw import RawData, ReadOptions
from ._tables import read_csv, read_parquet

IDX_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_path(path: Path, options: ReadOptions) -> RawData:
    """Read a file by its ending (``.gz`` behind it allowed) or a folder of images.

    Raises ``DataError`` for a missing file, an unknown ending and contents that are damaged.
    """
    if path.is_dir():
        return read_folder(path, options)
    if not path.exists():
        near = (
            did_you_mean(path.name, (other.name for other in path.parent.iterdir()))
            if path.parent.is_dir()
            else ""
        )
        raise DataError(f'source="{path}": there is no such file or folder.{near}')
    reader = _find_reader(path)
    with convert_read_errors(path), _open_file(path) as handle:
        return reader(handle, path, options)


def read_npy(handle: BinaryIO, path: Path, options: ReadOptions) -> RawData:
    """One NumPy array, left in the file where it is large; pickled objects are refused."""
    origin = f'file "{path}"'
    options.check_unsupported(origin, "key", "labels")
    if path.suffix.lower() == ".npy" and should_map(options.memory_map, path.stat().st_size):
        return from_memmap(path.stem, origin, np.lib.format.open_memmap(path, mode="r"), options)
    return RawData(path.stem, origin, np.lib.format.read_array(handle, allow_pickle=False))


def read_npz(handle: BinaryIO, path: Path, options: ReadOptions) -> RawData:
    """The array ``key`` of an archive, or its only one; ``labels`` names another array."""
    arrays = np.lib.npyio.NpzFile(handle, allow_pickle=False)
    told = [name for name in options.condition if name in arrays.files]
    rest = [name for name in arrays.files if name not in (options.labels, *told)]
    key = options.key or (rest[0] if len(rest) == 1 else None)
    if key is None:
        raise DataError(
            f'file "{path}" holds {format_count(len(rest), "array")}: {format_list(rest)}. Choose one with key="...".'
        )
    given = tuple(ContextColumn(name, arrays[name]) for name in told)
    raw = RawData(
        path.stem, f'file "{path}"', _get_array(arrays, "key", key, path), context_columns=given
    )
    return (
        raw
        if options.labels is None
        else raw.with_labels(_get_array(arrays, "labels", options.labels, path))
    )


def read_idx(handle: BinaryIO, path: Path, options: ReadOptions) -> RawData:
    """The format of the MNIST files."""
    options.check_unsupported(f'file "{path}"', "key", "labels")
    return RawData(path.name.split(".")[0], f'file "{path}"', parse_idx(handle.read(), path))


def parse_idx(content: bytes, path: Path) -> np.ndarray:
    """The array in the bytes of an IDX file. Raises ``DataError`` for a bad magic number or a wrong length."""
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in IDX_DTYPES or not content[3]:
        raise DataError(
            f'file "{path}" is no IDX file: it begins with {content[:4].hex(" ") or "nothing"}, not with 00 00 and a type.'
        )
    dtype, axes = np.dtype(IDX_DTYPES[content[2]]), content[3]
    if len(content) < 4 + 4 * axes:
        raise DataError(
            f'file "{path}" is truncated: it ends after {len(content)} bytes, inside its header.'
        )
    shape = tuple(int(side) for side in np.frombuffer(content[4 : 4 + 4 * axes], ">u4"))
    body = content[4 + 4 * axes :]
    if len(body) != math.prod(shape) * dtype.itemsize:
        wanted = math.prod(shape) * dtype.itemsize
        raise DataError(
            f'file "{path}" says shape {shape}, {wanted:,} bytes, but holds {len(body):,}: it is truncated or damaged.'
        )
    return np.frombuffer(body, dtype).reshape(shape).astype(dtype.newbyteorder("="))


@contextmanager
def convert_read_errors(path: Path) -> Iterator[None]:
    """Turn what the format libraries raise into a ``DataError`` that names the file."""
    try:
        yield
    except AevbError:
        raise
    except (OSError, EOFError, ValueError, KeyError, zlib.error, zipfile.BadZipFile) as error:
        raise _unreadable_error(path, error) from error
    except Exception as error:
        if (
            type(error).__module__.split(".")[0] != "polars"
        ):  # polars errors share no base with Python's; anything else is our own fault
            raise
        raise _unreadable_error(path, error) from error


def _unreadable_error(path: Path, error: Exception) -> DataError:
    reason = str(error).split("\n")[0].rstrip(".") or type(error).__name__
    if "allow_pickle" in reason or "Object arrays" in reason or "Python objects" in reason:
        cure = "save numbers, np.save(path, x.astype(float))"
        return DataError(
            f'file "{path}" holds pickled Python objects, which can run code when read: {cure}.'
        )
    return DataError(
        f'file "{path}" cannot be read ({reason}): it is damaged, or its ending does not fit its contents.'
    )


def _get_array(
    arrays: Mapping[str, np.ndarray], argument: str, name: str, path: Path
) -> np.ndarray:
    if name not in arrays:
        raise DataError(
            f'{argument}="{name}": file "{path}" holds {format_list(arrays)}.{did_you_mean(name, arrays)}'
        )
    return arrays[name]


@contextmanager
def _open_file(path: Path) -> Iterator[BinaryIO]:
    opener = gzip.open if path.suffix.lower() == ".gz" else open
    with opener(path, "rb") as handle:
        yield cast(BinaryIO, handle)


def _find_reader(path: Path) -> Callable[[BinaryIO, Path, ReadOptions], RawData]:
    bare = path.name.lower().removesuffix(".gz")
    if "idx" in Path(bare).suffix or bare.endswith("ubyte"):
        return read_idx
    ending = Path(bare).suffix
    if ending not in FILE_READERS:
        raise DataError(
            f'source="{path}": the ending "{ending}" is not known. Known: {format_list(FILE_READERS)}, .idx, .gz, a folder of images.'
        )
    return FILE_READERS[ending]


FILE_READERS: dict[str, Callable[[BinaryIO, Path, ReadOptions], RawData]] = {
    ".npy": read_npy,
    ".npz": read_npz,
    ".csv": read_csv,
    ".tsv": read_csv,
    ".parquet": read_parquet,
}
