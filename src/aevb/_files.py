"""Atomic files: a reader sees the old file or the new file, never a part of either."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import safetensors.torch
from torch import Tensor

from .errors import AevbError, RunError
from .notes import Argument, message

MAX_JSON_DEPTH = 200  # of nested lists and objects; a model has about 20
TEMPORARY_NAME = re.compile(r"\..+\.(\d+)\.tmp")  # as ``open_atomically`` writes it


def path_inside(folder: Path, name: str | Path) -> Path:
    """The path of a file in a folder, which no symbolic link leads out of.

    Raises:
        RunError: The file, or a folder on the way to it, is a symbolic link.
    """
    path = folder
    for part in Path(name).parts:
        path /= part
        if path.is_symlink():
            raise RunError(
                f"`{path}` is a symbolic link, and a run is written only inside its own folder",
                suggestions=("Remove the link",),
            )
    return path


def write_atomically(path: Path, content: bytes, within: Path | None = None) -> None:
    """Write a temporary file, flush it to the disk, and rename it.

    Args:
        path: The file.
        content: Its new content.
        within: As for ``open_atomically``.

    Raises:
        RunError: The file cannot be written; an earlier file is then unchanged.
    """
    with open_atomically(path, within) as file:
        file.write(content)


@contextmanager
def open_atomically(path: Path, within: Path | None = None) -> Iterator[BinaryIO]:
    """Open a temporary file that replaces ``path`` when the block ends without an error.

    Args:
        path: The file.
        within: A folder that must exist, for instance because another disk may have vanished, and
            that no symbolic link may lead out of. By default missing folders are created.

    Raises:
        RunError: The file cannot be written; an earlier file is then unchanged.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        if within is None:
            path.parent.mkdir(parents=True, exist_ok=True)
        elif path_inside(within, path.relative_to(within)).parent != within:
            path.parent.mkdir(exist_ok=True)
        temporary.unlink(missing_ok=True)
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        flush_folder(path.parent)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, AevbError) or not isinstance(error, OSError):
            raise
        kept = "; the previous one is intact" if os.path.lexists(path) else ""
        raise _unwritable(path, error, kept) from error


def _unwritable(path: Path, error: OSError, kept: str = "") -> RunError:
    return RunError(
        f"`{path}` could not be written ({error.strerror or error}){kept}",
        suggestions=(message("Free the disk or choose another {out}", out=Argument("out")),),
    )


def create_folder(path: Path) -> None:
    """Create a folder with its parents, unless it exists.

    Raises:
        RunError: It cannot be created.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(path, error) from error


def append_line(path: Path, line: str) -> None:
    """Append a line to a file, which is created in an existing folder.

    Raises:
        RunError: The file cannot be written.
    """
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
    except OSError as error:
        raise _unwritable(path, error) from error


def flush_to_disk(path: Path) -> None:
    """Wait until the content of a file is on the disk; nothing for a missing file.

    Raises:
        RunError: The disk does not take it.
    """
    try:
        with path.open("rb") as file:
            os.fsync(file.fileno())
    except FileNotFoundError:
        return
    except OSError as error:
        raise _unwritable(path, error) from error


def flush_folder(path: Path) -> None:
    """Wait until the names in a folder are on the disk, where the system can do that."""
    with suppress(OSError):  # Windows opens no folders
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def keep_copy(path: Path, name: str, within: Path) -> None:
    """Give a file a second name, which stays when the first is replaced.

    Args:
        path: The file; nothing happens where there is none.
        name: The second name in the same folder, whose earlier file is removed.
        within: As for ``open_atomically``.

    Raises:
        RunError: The disk does not take it, or a symbolic link leads out of the folder.
    """
    second = path_inside(within, path.with_name(name).relative_to(within))
    try:
        if path.exists():
            second.unlink(missing_ok=True)
            try:
                os.link(path, second)
            except OSError:  # a file system without links
                shutil.copyfile(path, second)
    except OSError as error:
        raise _unwritable(second, error) from error


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file in hexadecimal digits; empty for what is no regular file."""
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remove_stale_files(folder: Path) -> None:
    """Remove temporary files of processes that ended before they could rename them."""
    for path in folder.iterdir() if folder.is_dir() and not folder.is_symlink() else ():
        found = TEMPORARY_NAME.fullmatch(path.name)
        if found and not _is_other_process(int(found[1])):
            with suppress(OSError):
                path.unlink()


def _is_other_process(number: int) -> bool:
    """Whether another process of this machine has the number, as far as the system says."""
    return number != os.getpid() and Path(f"/proc/{number}").exists()


def finite_or_none(value: Any) -> Any:
    """The value with None for every number that JSON cannot hold.

    Example:
        >>> finite_or_none({"mean": float("nan"), "n": (1, float("inf"))})
        {'mean': None, 'n': [1, None]}
    """
    if isinstance(value, dict):
        return {name: finite_or_none(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite_or_none(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_json(path: Path, value: dict[str, Any], within: Path | None = None) -> None:
    """Write an object as JSON, atomically."""
    write_atomically(path, (json.dumps(value, indent=2) + "\n").encode(), within)


def read_json(path: Path) -> dict[str, Any]:
    """Read an object from a JSON file.

    Raises:
        RunError: The file is missing, damaged, too deep, or has no object.
    """
    if not path.exists():
        raise RunError(f"`{path.parent}` is no run folder: it has no {path.name}")
    try:
        value = parse_json(read_regular_file(path))
    except (ValueError, OSError) as error:
        raise unreadable(path, error) from error
    if not isinstance(value, dict):
        raise RunError(f"`{path}` has no object: aevb did not write it")
    return value


def unreadable(path: Path, reason: object) -> RunError:
    """The error for a file of a run that cannot be read."""
    return RunError(
        f"`{path}` cannot be read ({reason}): it is truncated, damaged, or aevb did not write it"
    )


def read_regular_file(path: Path) -> bytes:
    """The content of a file; ``OSError`` for pipes and devices, which may never end."""
    if not path.is_file():
        raise OSError("it is no regular file")
    return path.read_bytes()


def parse_json(content: bytes | str) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: The text is no JSON, or deeper than ``MAX_JSON_DEPTH``.

    Example:
        >>> parse_json("[1, {}]")
        [1, {}]
        >>> parse_json("[" * 1000 + "]" * 1000)
        Traceback (most recent call last):
            ...
        ValueError: it is nested deeper than 200 levels
    """
    try:
        value = json.loads(content)
    except RecursionError:
        raise _too_deep() from None
    level = [value]
    for _ in range(MAX_JSON_DEPTH):
        level = [item for each in level for item in _items(each) if isinstance(item, dict | list)]
        if not level:
            return value
    raise _too_deep()


def _items(value: Any) -> Iterable[Any]:
    """The items of a list or an object; none of anything else."""
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _too_deep() -> ValueError:
    return ValueError(f"it is nested deeper than {MAX_JSON_DEPTH} levels")


def write_tensors(
    path: Path,
    tensors: dict[str, Tensor],
    metadata: dict[str, str] | None = None,
    within: Path | None = None,
) -> None:
    """Write a safetensors file; tensors that share memory are stored separately."""
    write_atomically(path, pack_tensors(tensors, metadata), within)


def pack_tensors(tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> bytes:
    """The content of a safetensors file; tensors that share memory are stored separately."""
    own = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    return safetensors.torch.save(own, metadata)


def tensors_from_bytes(content: bytes, origin: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and the metadata of ``pack_tensors``.

    Raises:
        RunError: The bytes are damaged; the error names ``origin``.

    Example:
        >>> import torch
        >>> tensors_from_bytes(pack_tensors({"a": torch.ones(1)}, {"b": "c"}), "x")
        ({'a': tensor([1.])}, {'b': 'c'})
    """
    try:
        tensors = safetensors.torch.load(content)
        size = int.from_bytes(content[:8], "little")
        metadata = parse_json(content[8 : 8 + size]).get("__metadata__") or {}
        return tensors, {str(name): str(value) for name, value in metadata.items()}
    except Exception as error:  # the reader's errors share no base class
        raise unreadable(Path(origin), error) from error


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read tensors and metadata from a safetensors file.

    Raises:
        RunError: The file is missing or damaged.
    """
    with open_tensors(path) as file:
        return {name: file.get_tensor(name) for name in list(file.keys())}, dict(
            file.metadata() or {}
        )


def read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The shapes of the tensors in a safetensors file, by name.

    Raises:
        RunError: The file is missing or damaged.
    """
    with open_tensors(path) as file:
        return {name: tuple(file.get_slice(name).get_shape()) for name in list(file.keys())}


@contextmanager
def open_tensors(path: Path) -> Iterator[Any]:
    """Open a safetensors file, of which the tensors are read one by one.

    Raises:
        RunError: The file is missing or damaged.
    """
    if not path.exists():
        raise RunError(f"`{path}` is missing")
    if not path.is_file():
        raise unreadable(path, "it is no regular file")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            yield file
    except AevbError:
        raise
    except Exception as error:  # the reader's errors share no base class
        raise unreadable(path, error) from error
