"""Settings as a TOML file."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import __version__
from .errors import ArgumentError
from .notes import Argument, message

CONFIG_FILE_NAME = "config.toml"
HEADER = "# aevb "


def read_config(path: Path) -> dict[str, Any]:
    """The settings in a file.

    Raises:
        ArgumentError: The file is missing or is not TOML.
    """
    from ._files import read_regular_file  # imports torch, which --help does without

    try:
        if path.exists():
            return tomllib.loads(read_regular_file(path).decode())
        raise ArgumentError("there is no such file", argument="config", value=str(path))
    except ArgumentError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise ArgumentError(
            f"it cannot be read as TOML ({error})",
            argument="config",
            value=str(path),
            suggestions=(message("Correct it, or leave {config} out", config=Argument("config")),),
        ) from error


def is_own_config(path: Path) -> bool:
    """Whether ``render_config`` has written a file."""
    from ._files import read_regular_file  # imports torch

    try:
        return read_regular_file(path).startswith(HEADER.encode())
    except OSError:
        return False


def render_config(
    settings: Mapping[str, Any], inferred: Mapping[str, Any], command: str = "fit"
) -> str:
    """Settings of a command as TOML; what the library chose is added as comments.

    Example:
        >>> print(
        ...     render_config({"latent": 2, "hidden": (4, 4), "beta": None}, {"network": "mlp"}),
        ...     end="",
        ... )
        # aevb 0.1.0: train this again with `aevb fit --config config.toml`.
        latent = 2
        hidden = [4, 4]
        <BLANKLINE>
        # chosen from the data
        # network = "mlp"
    """
    lines = [
        f"{HEADER}{__version__}: train this again with "
        f"`aevb {command} --config {CONFIG_FILE_NAME}`."
    ]
    lines += [f"{name} = {_toml(value)}" for name, value in settings.items() if value is not None]
    if inferred:
        lines += [
            "",
            "# chosen from the data",
            *(f"# {name} = {_toml(value)}" for name, value in inferred.items()),
        ]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, tuple | list):
        return f"[{', '.join(_toml(item) for item in value)}]"
    return json.dumps(value, ensure_ascii=False)
