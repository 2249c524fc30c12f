"""``--config`` and ``--resume``: defaults of options from a file."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from dataclasses import fields
from pathlib import Path

from cyclopts import App, ArgumentCollection, Token
from cyclopts.config import Dict

from .._config_file import CONFIG_FILE_NAME, read_config
from ..errors import ArgumentError, RunError
from ..notes import Argument, message
from ..runs import DataSettings, ModelSettings, TrainingSettings
from ..runs._confirmation import SIGNATURE, SOURCES, is_confirmed
from ..runs._settings import current_names
from ..runs._sweep import Grid

# What a file may set. It never says where something is written, or that it is replaced.
FILE_SETTINGS = {"source", "seed", "device", "report", SIGNATURE} | {
    field.name
    for settings in (DataSettings, ModelSettings, TrainingSettings, Grid)
    for field in fields(settings)
}


def load_config_defaults(
    app: App, commands: tuple[str, ...], arguments: ArgumentCollection
) -> None:
    """Take options that are not typed from ``--config``, or from the folder that is resumed."""
    typed = {argument.name: argument.tokens[0].value for argument in arguments if argument.tokens}
    if "--train" in typed:
        typed["SOURCE"] = typed["--train"]
    path = _resolve_config_path(commands, typed)
    if path is None:
        return
    settings = current_names(read_config(path))
    _check_names(path, settings)
    if "--config" not in typed:
        _check_sources(path, settings, typed)
    source, _ = settings.pop("source", None), settings.pop(SIGNATURE, None)
    for argument in arguments:
        if argument.name == "SOURCE" and source is not None and "SOURCE" not in typed:
            argument.append(Token(value=str(source), source=str(path)))
    Dict(settings, source=str(path), use_commands_as_keys=False)(app, commands, arguments)


def _check_names(path: Path, names: Collection[str]) -> None:
    """Refuse what is no setting; a file of somebody else must not choose what is overwritten."""
    for name in names:
        if name not in FILE_SETTINGS:
            near = difflib.get_close_matches(name, FILE_SETTINGS, 1)
            raise ArgumentError(
                f"`{name}` is not read from a file",
                argument="config",
                value=str(path),
                suggestions=tuple(f"Did you mean `{each}`?" for each in near)
                or ("Delete the line, and type the option if you want it",),
            )


def _check_sources(path: Path, settings: dict[str, object], typed: Collection[str]) -> None:
    """Refuse the sources in a run folder of somebody else unless they are typed."""
    options = {name: "SOURCE" if name == "source" else f"--{name}" for name in SOURCES}
    names = [name for name in SOURCES if name in settings and options[name] not in typed]
    if names and not is_confirmed(settings, settings.get(SIGNATURE)):
        raise ArgumentError(
            f"{path} names it as its data, and you did not train this run on this machine: the "
            "file is not read unasked",
            argument=names[0],
            value=settings.get(names[0]),
            suggestions=(message("Type {source}", source=Argument(names[0])),),
        )


def _resolve_config_path(commands: tuple[str, ...], typed: dict[str, str]) -> Path | None:
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
