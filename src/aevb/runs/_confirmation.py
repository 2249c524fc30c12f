"""Which sources of data the user has named: a run folder of somebody else may name any file.

A run that this user trains gets a signature of its source and of how the source is read. The key
of the signature lies outside the run folder, so that nobody else can write a valid one.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ._settings import DataSettings

SIGNATURE = "source_signature"  # in the record of the training, and in config.toml
SOURCES = ("source", "validation", "test")  # settings that name data
KEY_BYTES = 32


def state_folder() -> Path:
    """The folder of the key: ``aevb`` in ``$XDG_STATE_HOME`` or ``~/.local/state``."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "aevb"


def source_record(config: Mapping[str, Any]) -> dict[str, str]:
    """The signature of the source in the settings of a run that the user trains.

    Args:
        config: The settings by name.

    Returns:
        An entry for the record of the run; none where no key can be kept.
    """
    key = _read_key() or _create_key()
    return {} if key is None else {SIGNATURE: _sign(key, config)}


def is_confirmed(config: Mapping[str, Any], signature: Any) -> bool:
    """Whether the user has named the source in the settings of a run.

    Named data sets are public, and need no signature. Every source counts.

    Args:
        config: The settings by name.
        signature: The signature in the record of the run, if there is one.
    """
    from ..data._named_datasets import find_named_dataset  # imports torch

    sources = [config[name] for name in SOURCES if config.get(name) is not None]
    if all(isinstance(each, str) and find_named_dataset(each) for each in sources):
        return True
    key = _read_key()
    if key is None or not isinstance(signature, str) or not signature.isascii():
        return False
    return hmac.compare_digest(signature, _sign(key, config))


def _sign(key: bytes, config: Mapping[str, Any]) -> str:
    names = {"source"} | {field.name for field in dataclasses.fields(DataSettings)}
    signed = {name: value for name, value in config.items() if name in names and value is not None}
    return hmac.new(key, json.dumps(signed, sort_keys=True).encode(), hashlib.sha256).hexdigest()


def _read_key() -> bytes | None:
    try:
        key = (state_folder() / "key").read_bytes()
    except (OSError, RuntimeError):  # there is no home folder
        return None
    return key if len(key) == KEY_BYTES else None


def _create_key() -> bytes | None:
    """Write the key, which only its user can read; the first of several processes wins."""
    with suppress(OSError, RuntimeError):
        folder = state_folder()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = folder / f".key.{os.getpid()}.tmp"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(descriptor, secrets.token_bytes(KEY_BYTES))
        finally:
            os.close(descriptor)
        with suppress(FileExistsError):
            os.link(temporary, folder / "key")
        temporary.unlink()
    return _read_key()
