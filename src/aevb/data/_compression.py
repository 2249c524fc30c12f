"""Compressed files, expanded in memory up to a limit that the memory at hand sets."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from .._memory import available_memory, format_bytes
from ..errors import DataError, missing_extra
from ..notes import Argument, message
from ._formatting import format_list, source_error

MAX_MEMORY_SHARE = 0.5  # of the available memory, that the contents of a file may fill
CHUNK_BYTES = 1 << 20


def _open_zstandard(path: Path) -> BinaryIO:
    """A Zstandard file, read by the standard library from Python 3.14 on."""
    try:
        from compression import zstd  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        try:
            from backports import zstd
        except ImportError as error:
            raise missing_extra("formats", "reading .zst files") from error
    return cast(BinaryIO, zstd.open(path, "rb"))


def _open_xz(path: Path) -> BinaryIO:
    """An xz file."""
    return cast(BinaryIO, lzma.LZMAFile(path))


_OPENERS: dict[str, Callable[[Path], BinaryIO]] = {
    ".gz": lambda path: cast(BinaryIO, gzip.GzipFile(path)),
    ".bz2": lambda path: cast(BinaryIO, bz2.BZ2File(path)),
    ".xz": _open_xz,
    ".zst": _open_zstandard,
}
COMPRESSED_SUFFIXES = (*_OPENERS, ".zip")


@contextmanager
def open_file(path: Path, allow_large: bool | None = False) -> Iterator[BinaryIO]:
    """Open a file for reading, expanded by its ending; a .zip archive must hold one file.

    Raises:
        DataError: The contents would fill more than ``MAX_MEMORY_SHARE`` of the available memory,
            unless ``allow_large``.
    """
    suffix = path.suffix.lower()
    if suffix not in COMPRESSED_SUFFIXES:
        check_size(path.stat().st_size, f'file "{path}"', allow_large)
        with open(path, "rb") as handle:
            yield handle
        return
    with _open_zip_member(path) if suffix == ".zip" else _OPENERS[suffix](path) as packed:
        yield _expand(packed, f'file "{path}"', allow_large)


def uncompressed_name(path: Path) -> str:
    """The name of a file in lower case without the ending of a compression.

    The name of a .zip archive is that of the file in it.
    """
    name = path.name.lower()
    if path.suffix.lower() == ".zip" and path.is_file():
        return Path(_zip_member(path)).name.lower()
    suffix = next((each for each in COMPRESSED_SUFFIXES if name.endswith(each)), "")
    return name.removesuffix(suffix)


def data_name(path: Path) -> str:
    """The name of a file without its endings.

    >>> data_name(Path("runs/Prices.csv.gz"))
    'Prices'
    """
    stem = path.stem
    return Path(stem).stem if path.suffix.lower() in COMPRESSED_SUFFIXES else stem


def check_size(size: int, origin: str, allow_large: bool | None, memory: int | None = None) -> None:
    """Refuse contents that are larger than the memory at hand allows.

    Args:
        size: The number of bytes so far, or of all contents.
        origin: The contents as the subject of a sentence.
        allow_large: Whether to accept them.
        memory: The memory that was available before a part of the contents was read; by default
            what is available now.

    Raises:
        DataError: The contents are larger, and ``allow_large`` is not set.
    """
    memory = available_memory() if memory is None else memory
    if allow_large or memory is None or size <= MAX_MEMORY_SHARE * memory:
        return
    raise source_error(
        f"{origin} expands to {format_bytes(size)} or more, and {format_bytes(memory)} of memory "
        "are available",
        message(
            "Write {allow} to read it nevertheless, or give a part of it",
            allow=Argument("allow_large", True),
        ),
    )


def _expand(packed: BinaryIO, origin: str, allow_large: bool | None) -> io.BytesIO:
    """The expanded contents; their size is checked while they are expanded."""
    content, memory = io.BytesIO(), available_memory()
    while chunk := packed.read(CHUNK_BYTES):
        content.write(chunk)
        check_size(content.tell(), origin, allow_large, memory)
    content.seek(0)
    return content


@contextmanager
def _open_zip_member(path: Path) -> Iterator[BinaryIO]:
    """The one file of an archive."""
    name = _zip_member(path)
    with zipfile.ZipFile(path) as archive, archive.open(name) as handle:
        yield cast(BinaryIO, handle)


def _zip_member(path: Path) -> str:
    """The name of the one file of an archive.

    Raises:
        DataError: There is none, there are several, or it is encrypted.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = [each for each in archive.infolist() if _is_data_member(each)]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error) as error:
        raise source_error(f'file "{path}" is not a ZIP archive ({error})') from error
    if len(members) != 1:
        names = f": {format_list(each.filename for each in members)}" if members else ""
        raise source_error(
            f'file "{path}" holds {len(members)} files{names}, and one is read',
            "Extract it, and give one of its files",
        )
    if members[0].flag_bits & 1:
        raise DataError(
            f'file "{path}" is encrypted', argument="source", suggestions=("Extract it",)
        )
    return members[0].filename


def _is_data_member(member: zipfile.ZipInfo) -> bool:
    """Whether a member of an archive is a file, and none that a system added."""
    path = Path(member.filename)
    return not (member.is_dir() or path.name.startswith(".") or "__MACOSX" in path.parts)
