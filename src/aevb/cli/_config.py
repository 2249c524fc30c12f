"""``--config`` and ``--resume``: defaults of options from a file."""

from __future__ import annotations

from pathlib import Path

from cyclopts import App, ArgumentCollection, Token
from cyclopts.config import Dict

from ..errors import ArgumentError, RunError
from ..notes import Argument, message
from ..runs._config_file import CONFIG_FILE_NAME, read_config
from ..runs._settings import current_names


def load_config_defaults(
    app: App, commands: tuple[str, ...], arguments: ArgumentCollection
) -> None:
    """Take options that are not typed from ``--config``, or from the folder that is resumed."""
    path = _resolve_config_path(commands, arguments)
    if path is None:
        return
    settings = current_names(read_config(path))
    source = settings.pop("source", None)
    for argument in arguments:
        if argument.name == "SOURCE" and source is not None and not argument.tokens:
            argument.append(Token(value=str(source), source=str(path)))
    Dict(settings, source=str(path), use_commands_as_keys=False)(app, commands, arguments)


def _resolve_config_path(commands: tuple[str, ...], arguments: ArgumentCollection) -> Path | None:
    typed = {argument.name: argument.tokens[0].value for argument in arguments if argument.tokens}
    if "--config" in typed:
        return Path(typed["--config"])
    if "--resume" not in typed:
        return None
    if "--out" not in typed:
        raise ArgumentError(
            message("{resume} needs {out}", resume=Argument("resume"), out=Argument("out")),
            suggestions=(f"Write aevb {' '.join(commands)} --resume --out runs/digits-1",),
        )
    path = Path(typed["--out"]) / CONFIG_FILE_NAME
    if not path.exists():
        raise RunError(
            "it holds no run to resume",
            argument="out",
            value=typed["--out"],
            suggestions=(message("Start it without {resume}", resume=Argument("resume")),),
        )
    return path
