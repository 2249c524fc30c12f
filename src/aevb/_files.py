"""Atomic files: a reader sees the old file or the new file, never a part of either."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import safetensors.torch
from torch import Tensor

from .errors import AevbError, RunError
from .notes import Argument, message


def write_atomically(path: Path, content: bytes) -> None:
    """Write a temporary file, flush it to the disk, and rename it.

    Raises:
        RunError: The file cannot be written; an earlier file is then unchanged.
    """
    with open_atomically(path) as file:
        file.write(content)


@contextmanager
def open_atomically(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file that replaces ``path`` when the block ends without an error.

    Raises:
        RunError: The file cannot be written; an earlier file is then unchanged.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, AevbError) or not isinstance(error, OSError):
            raise
        kept = "; the previous one is intact" if path.exists() else ""
        raise RunError(
            f"`{path}` could not be written ({error.strerror or error}){kept}",
            suggestions=(message("Free the disk or choose another {out}", out=Argument("out")),),
        ) from error


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


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write an object as JSON, atomically."""
    write_atomically(path, (json.dumps(value, indent=2) + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    """Read an object from a JSON file.

    Raises:
        RunError: The file is missing, damaged, or has no object.
    """
    try:
        value = json.loads(path.read_text())
    except FileNotFoundError:
        raise RunError(f"`{path.parent}` is no run folder: it has no {path.name}") from None
    except (ValueError, OSError) as error:
        raise RunError(
            f"`{path}` cannot be read ({error}): it is truncated or aevb did not write it"
        ) from error
    if not isinstance(value, dict):
        raise RunError(f"`{path}` has no object: aevb did not write it")
    return value


def write_tensors(
    path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None
) -> None:
    """Write a safetensors file; tensors that share memory are stored separately."""
    write_atomically(
        path,
        safetensors.torch.save(
            {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()},
            metadata,
        ),
    )


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read tensors and metadata from a safetensors file.

    Raises:
        RunError: The file is missing or damaged.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            names = file.keys()
            return {name: file.get_tensor(name) for name in names}, dict(file.metadata() or {})
    except FileNotFoundError:
        raise RunError(f"`{path}` is missing") from None
    except Exception as error:
        raise RunError(
            f"`{path}` cannot be read ({error}): it is truncated or aevb did not write it"
        ) from error
