"""Files and folders as raw data: one registered reader for each format."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from .._registry import Registration
from ..errors import AevbError, DataError
from ._compression import COMPRESSED_SUFFIXES, uncompressed_name
from ._formatting import format_list, source_error, suggest_nearest
from ._magic_numbers import describe_content
from ._raw import RawData, ReadOptions


@dataclass(frozen=True, kw_only=True)
class ReaderRegistration(Registration):
    """A reader ``(path, options) -> RawData`` of one format of files, or of folders.

    Args:
        suffixes: The endings of file names, in lower case with their dot; that of a compression may
            follow.
        matches: A further test on the path, where the ending does not decide.
        reads: What the reader takes from the file, for the documentation.
        table: Reads the file as a table with all its columns, where the format holds one.
    """

    role: ClassVar[str] = "reader"
    argument: ClassVar[str] = "source"
    package: ClassVar[str] = "data"
    suffixes: tuple[str, ...] = ()
    matches: Callable[[Path], bool] | None = None
    reads: str = ""
    table: Callable[[Path, ReadOptions], Any] | None = None

    def accepts(self, path: Path) -> bool:
        """Whether this reader reads the file or folder."""
        is_known = not path.is_dir() and Path(uncompressed_name(path)).suffix in self.suffixes
        return is_known or (self.matches is not None and self.matches(path))


def read_path(path: Path, options: ReadOptions) -> RawData:
    """Read a file or folder with the reader that accepts it.

    Raises:
        DataError: There is no such file, no reader accepts it, or its contents are damaged.
    """
    with convert_read_errors(path):
        return find_reader(path).target(path, options)


@contextmanager
def convert_read_errors(path: Path) -> Iterator[None]:
    """Turn the errors of format libraries into a ``DataError`` that names the file."""
    try:
        yield
    except AevbError:
        raise
    except MemoryError as error:
        raise source_error(f'file "{path}" needs more memory than there is') from error
    except Exception as error:  # libraries of formats raise errors of every class
        raise _unreadable_error(path, error) from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # of polars, which has no base class
            raise
        raise _unreadable_error(path, error) from error


def _unreadable_error(path: Path, error: BaseException) -> DataError:
    """The error for a file whose contents cannot be read."""
    reason = str(error).split("\n")[0].rstrip(".") or type(error).__name__
    if "allow_pickle" in reason or "Object arrays" in reason or "Python objects" in reason:
        return source_error(
            f'file "{path}" holds pickled Python objects, which can run code when read',
            "Save numbers: np.save(path, x.astype(float))",
        )
    found = describe_content(_first_bytes(path), "; it holds ")
    if path.suffix.lower() in found:
        found = ""
    return source_error(
        f'file "{path}" cannot be read as {_format_title(path)} ({reason}){found}',
        *(("Give it the ending of its format",) if found else ()),
    )


def _first_bytes(path: Path) -> bytes:
    """The beginning of a file; nothing of a folder."""
    try:
        with open(path, "rb") as handle:
            return handle.read(64)
    except OSError:
        return b""


def _format_title(path: Path) -> str:
    """The format that a reader expects."""
    found = [each for each in ReaderRegistration.all().values() if each.accepts(path)]
    return found[0].title if found else "data"


def find_reader(path: Path) -> ReaderRegistration:
    """The reader that accepts a path.

    Raises:
        DataError: There is no such file, or no reader accepts it.
    """
    if not path.exists():
        siblings = path.parent.iterdir() if path.parent.is_dir() else ()
        raise DataError(
            "there is no such file or folder",
            argument="source",
            value=str(path),
            suggestions=suggest_nearest(path.name, (other.name for other in siblings)),
        )
    readers = ReaderRegistration.all().values()
    for reader in readers:
        if reader.accepts(path):
            return reader
    suffixes = [suffix for reader in readers for suffix in reader.suffixes]
    raise DataError(
        f'the ending "{Path(uncompressed_name(path)).suffix}" is not known; known are '
        f"{format_list(suffixes, 30)}, {format_list(COMPRESSED_SUFFIXES)} after these, and a "
        "folder of images",
        argument="source",
        value=str(path),
    )
