"""The settings of a run as a file: written beside the model, given back with ``--config``."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cyclopts import App, ArgumentCollection, Token
from cyclopts.config import Dict

from .. import __version__
from ..errors import ArgumentError, RunError

CONFIG_FILE_NAME = "config.toml"


def load_config_defaults(
    app: App, commands: tuple[str, ...], arguments: ArgumentCollection
) -> None:
    """Take what was not typed from the file of ``--config``, or, for ``--resume``, from the run folder of ``--out``."""
    path = _resolve_config_path(commands, arguments)
    if path is None:
        return
    settings = read_config(path)
    if "source" in settings:
        _fill_argument(arguments, "SOURCE", str(settings.pop("source")), path)
    Dict(
        {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in settings.items()
        },
        source=str(path),
        use_commands_as_keys=False,
    )(app, commands, arguments)


def read_config(path: Path) -> dict[str, Any]:
    """The settings in a file. Raises ``ArgumentError`` for a file that is missing or no TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ArgumentError(f"there is no configuration file `{path}`.") from None
    except (OSError, ValueError) as error:
        raise ArgumentError(
            f"`{path}` cannot be read as TOML ({error}): correct it, or leave --config out."
        ) from error


def render_config(
    settings: Mapping[str, Any], inferred: Mapping[str, Any], command: str = "fit"
) -> str:
    """Settings of a command as TOML; what was chosen by the library stands there as comments.

    >>> print(render({"latent": 2, "hidden": (4, 4), "beta": None}, {"network": "mlp"}), end="")
    # aevb 0.1.0: train this again with `aevb fit --config config.toml`.
    latent = 2
    hidden = [4, 4]
    <BLANKLINE>
    # chosen from the data
    # network = "mlp"
    """
    lines = [
        f"# aevb {__version__}: train this again with `aevb {command} --config {CONFIG_FILE_NAME}`."
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


def _resolve_config_path(commands: tuple[str, ...], arguments: ArgumentCollection) -> Path | None:
    """The file to read, from what was typed."""
    typed = {argument.name: argument.tokens[0].value for argument in arguments if argument.tokens}
    if "--config" in typed:
        return Path(typed["--config"])
    if "--resume" not in typed:
        return None
    if "--out" not in typed:
        raise ArgumentError(
            f"--resume needs --out, the run folder to go on with: aevb {' '.join(commands)} --resume --out runs/digits-1."
        )
    if not (Path(typed["--out"]) / CONFIG_FILE_NAME).exists():
        raise RunError(f"`{typed['--out']}` holds no run to resume: start it without --resume.")
    return Path(typed["--out"]) / CONFIG_FILE_NAME


def _fill_argument(arguments: ArgumentCollection, name: str, value: str, path: Path) -> None:
    for argument in arguments:
        if argument.name == name and not argument.tokens:
            argument.append(Token(value=value, source=str(path)))
