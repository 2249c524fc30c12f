"""Files that are either the old ones or the new ones, never half of each."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import safetensors.torch
from torch import Tensor

from .errors import AevbError, RunError


def write_atomically(path: Path, content: bytes) -> None:
    """Write to a temporary file beside it, flush it to the disk, and put it in place by one rename.

    Raises ``RunError`` where the disk refuses; the file that was there before is then untouched.
    """
    with open_atomically(path) as file:
        file.write(content)


@contextmanager
def open_atomically(path: Path) -> Iterator[BinaryIO]:
    """The same for what is written piece by piece: gives the temporary file, which takes its place where the block ends well."""
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
        if isinstance(error, AevbError) or not isinstance(
            error, OSError
        ):  # Ctrl-C leaves nothing behind either
            raise
        kept = "; the previous one is intact" if path.exists() else ""
        raise RunError(
            f"`{path}` could not be written ({error.strerror or error}){kept}. Free the disk or choose another --out."
        ) from error


def write_json(path: Path, value: dict[str, Any]) -> None:
    write_atomically(path, (json.dumps(value, indent=2) + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file, or a ``RunError`` that says what is wrong with it."""
    try:
        value = json.loads(path.read_text())
    except FileNotFoundError:
        raise RunError(f"`{path.parent}` is no run folder: it holds no {path.name}.") from None
    except (ValueError, OSError) as error:
        raise RunError(
            f"`{path}` cannot be read ({error}): it is truncated or not written by aevb."
        ) from error
    if not isinstance(value, dict):
        raise RunError(f"`{path}` holds no object: it was not written by aevb.")
    return value


def write_tensors(
    path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None
) -> None:
    """A safetensors file; tensors that share memory are stored apart."""
    write_atomically(
        path,
        safetensors.torch.save(
            {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()},
            metadata,
        ),
    )


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file, or a ``RunError``."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(
                file.metadata() or {}
            )
    except FileNotFoundError:
        raise RunError(f"`{path}` is missing.") from None
    except Exception as error:
        raise RunError(
            f"`{path}` cannot be read ({error}): it is truncated or not written by aevb."
        ) from error
