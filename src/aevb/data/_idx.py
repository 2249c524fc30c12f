"""IDX files, the format of MNIST."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from .._registry import register
from ._compression import open_file, uncompressed_name
from ._formatting import source_error
from ._raw import RawData, ReadOptions
from ._readers import ReaderRegistration

IDX_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def _is_idx(path: Path) -> bool:
    """Whether the name of a file is that of an IDX file, as ``train-images-idx3-ubyte.gz``."""
    name = Path(uncompressed_name(path))
    return "idx" in name.suffix or name.name.endswith("ubyte")


@register(
    ReaderRegistration(
        name="idx",
        title="IDX",
        suffixes=(".idx",),
        matches=_is_idx,
        reads="one array",
        use_when="files in the format of MNIST",
        cost="none",
        avoid_when="the format is yours to choose; use npy",
    )
)
def read_idx(path: Path, options: ReadOptions) -> RawData:
    """The array of an IDX file."""
    options.check_unsupported(f'file "{path}"', "key", "labels")
    with open_file(path, options.reading.allow_large) as handle:
        values = parse_idx(handle.read(), path)
    return RawData(path.name.split(".")[0], f'file "{path}"', values)


def parse_idx(content: bytes, path: Path) -> np.ndarray:
    """The array in the bytes of an IDX file.

    Raises:
        DataError: The magic number or the length is wrong.
    """
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in IDX_DTYPES or not content[3]:
        beginning = content[:4].hex(" ") or "nothing"
        raise source_error(
            f'file "{path}" is not an IDX file: it begins with {beginning} instead of 00 00 and a '
            "type"
        )
    dtype, axes = np.dtype(IDX_DTYPES[content[2]]), content[3]
    if len(content) < 4 + 4 * axes:
        raise source_error(
            f'file "{path}" is truncated: it ends after {len(content)} bytes, inside its header'
        )
    shape = tuple(int(side) for side in np.frombuffer(content[4 : 4 + 4 * axes], ">u4"))
    body = content[4 + 4 * axes :]
    expected = math.prod(shape) * dtype.itemsize
    if len(body) != expected:
        raise source_error(
            f'file "{path}" has the shape {shape}, {expected:,} bytes, but holds {len(body):,}: '
            "it is truncated or damaged"
        )
    return np.frombuffer(body, dtype).reshape(shape).astype(dtype.newbyteorder("="))
