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
from .arrays import from_memmap
from .images import read_folder
from .mapped import wanted
from .raw import Ask, Raw
from .tables import read_csv, read_parquet
from .told import Given
from .words import count, listing, nearest

IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_path(path: Path, ask: Ask) -> Raw:
    """Read a file by its ending (``.gz`` behind it allowed) or a folder of images.

    Raises ``DataError`` for a missing file, an unknown ending and contents that are damaged.
    """
    if path.is_dir():
        return read_folder(path, ask)
    if not path.exists():
        near = nearest(path.name, (other.name for other in path.parent.iterdir())) if path.parent.is_dir() else ""
        raise DataError(f'source="{path}": there is no such file or folder.{near}')
    reader = _reader(path)
    with guarded(path), _opened(path) as handle:
        return reader(handle, path, ask)


def read_npy(handle: BinaryIO, path: Path, ask: Ask) -> Raw:
    """One NumPy array, left in the file where it is large; pickled objects are refused."""
    origin = f'file "{path}"'
    ask.refuse(origin, "key", "labels")
    if path.suffix.lower() == ".npy" and wanted(ask.mapped, path.stat().st_size):
        return from_memmap(path.stem, origin, np.lib.format.open_memmap(path, mode="r"), ask)
    return Raw(path.stem, origin, np.lib.format.read_array(handle, allow_pickle=False))


def read_npz(handle: BinaryIO, path: Path, ask: Ask) -> Raw:
    """The array ``key`` of an archive, or its only one; ``labels`` names another array."""
    arrays = np.lib.npyio.NpzFile(handle, allow_pickle=False)
    told = [name for name in ask.condition if name in arrays.files]
    rest = [name for name in arrays.files if name not in (ask.labels, *told)]
    key = ask.key or (rest[0] if len(rest) == 1 else None)
    if key is None:
        raise DataError(f'file "{path}" holds {count(len(rest), "array")}: {listing(rest)}. Choose one with key="...".')
    given = tuple(Given(name, arrays[name]) for name in told)
    raw = Raw(path.stem, f'file "{path}"', _member(arrays, "key", key, path), given=given)
    return raw if ask.labels is None else raw.labelled(_member(arrays, "labels", ask.labels, path))


def read_idx(handle: BinaryIO, path: Path, ask: Ask) -> Raw:
    """The format of the MNIST files."""
    ask.refuse(f'file "{path}"', "key", "labels")
    return Raw(path.name.split(".")[0], f'file "{path}"', idx_array(handle.read(), path))


def idx_array(content: bytes, path: Path) -> np.ndarray:
    """The array in the bytes of an IDX file. Raises ``DataError`` for a bad magic number or a wrong length."""
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in IDX_TYPES or not content[3]:
        raise DataError(f'file "{path}" is no IDX file: it begins with {content[:4].hex(" ") or "nothing"}, not with 00 00 and a type.')
    dtype, axes = np.dtype(IDX_TYPES[content[2]]), content[3]
    if len(content) < 4 + 4 * axes:
        raise DataError(f'file "{path}" is truncated: it ends after {len(content)} bytes, inside its header.')
    shape = tuple(int(side) for side in np.frombuffer(content[4 : 4 + 4 * axes], ">u4"))
    body = content[4 + 4 * axes :]
    if len(body) != math.prod(shape) * dtype.itemsize:
        wanted = math.prod(shape) * dtype.itemsize
        raise DataError(f'file "{path}" says shape {shape}, {wanted:,} bytes, but holds {len(body):,}: it is truncated or damaged.')
    return np.frombuffer(body, dtype).reshape(shape).astype(dtype.newbyteorder("="))


@contextmanager
def guarded(path: Path) -> Iterator[None]:
    """Turn what the format libraries raise into a ``DataError`` that names the file."""
    try:
        yield
    except AevbError:
        raise
    except (OSError, EOFError, ValueError, KeyError, zlib.error, zipfile.BadZipFile) as error:
        raise _unreadable(path, error) from error
    except Exception as error:
        if type(error).__module__.split(".")[0] != "polars":  # polars errors share no base with Python's; anything else is our own fault
            raise
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> DataError:
    reason = str(error).split("\n")[0].rstrip(".") or type(error).__name__
    if "allow_pickle" in reason or "Object arrays" in reason or "Python objects" in reason:
        cure = "save numbers, np.save(path, x.astype(float))"
        return DataError(f'file "{path}" holds pickled Python objects, which can run code when read: {cure}.')
    return DataError(f'file "{path}" cannot be read ({reason}): it is damaged, or its ending does not fit its contents.')


def _member(arrays: Mapping[str, np.ndarray], argument: str, name: str, path: Path) -> np.ndarray:
    if name not in arrays:
        raise DataError(f'{argument}="{name}": file "{path}" holds {listing(arrays)}.{nearest(name, arrays)}')
    return arrays[name]


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    opener = gzip.open if path.suffix.lower() == ".gz" else open
    with opener(path, "rb") as handle:
        yield cast(BinaryIO, handle)


def _reader(path: Path) -> Callable[[BinaryIO, Path, Ask], Raw]:
    bare = path.name.lower().removesuffix(".gz")
    if "idx" in Path(bare).suffix or bare.endswith("ubyte"):
        return read_idx
    ending = Path(bare).suffix
    if ending not in READERS:
        raise DataError(f'source="{path}": the ending "{ending}" is not known. Known: {listing(READERS)}, .idx, .gz, a folder of images.')
    return READERS[ending]


READERS: dict[str, Callable[[BinaryIO, Path, Ask], Raw]] = {
    ".npy": read_npy,
    ".npz": read_npz,
    ".csv": read_csv,
    ".tsv": read_csv,
    ".parquet": read_parquet,
}
