"""The library's sentences as a person at a command line would write them."""

from __future__ import annotations

import re
from dataclasses import fields

from .options import Common, Data, Model, Training

OPTIONS = frozenset(field.name for record in (Common, Data, Model, Training) for field in fields(record)) | {
    "bracket",
    "defensive",
    "family",
    "label",
    "method",
    "path",
    "samples",
    "start",
    "steps",
    "temperatures",
}
_CALL = r"[A-Z]\w*\([^()]*\)"  # a schedule, as Linear(steps=5000)
SETTINGS = frozenset({"capacity", "scale", "size"})  # arguments of presets that a sentence may name
_VALUE = rf'({_CALL}|"[^"]*"|\'[^\']*\'|\([^)]*\)|\[[^\]]*\]|[\w.+-]*\w)'
_NAMED = re.compile(rf"\b([a-z_]+)={_VALUE}")
_TICKED = re.compile(r"`([a-z_]+)`(?= is )")
_PART = re.compile(r"`(objective|gradient)s\.(\w+)\(([^`]*)\)`")


def as_typed(message: str) -> str:
    """``name=value`` and parts of the library as they are written on the command line; all on one line.

    >>> as_typed('network="mpl" is not known: write network="mlp" or network="conv".')
    '--network mpl is not known: write --network mlp or --network conv.'
    >>> as_typed("`batch_size` is 0; give at least 1.")
    '--batch-size is 0; give at least 1.'
    >>> as_typed("Use `objectives.ELBO(samples=4)`, or `gradients.ScoreFunction()`.")
    'Use --objective elbo --samples 4, or --gradient score-function.'
    >>> as_typed('Begin with beta=Linear(steps=5000), or scale="shared".')
    'Begin with --set beta=Linear(steps=5000), or --set scale=shared.'
    >>> as_typed('Use `gradients.ReweightedWakeSleep(update="sleep")`.')
    'Use --gradient reweighted-wake-sleep --set update=sleep.'
    """
    line = " ".join(message.split())
    return "".join(
        piece if piece.startswith("`") else _NAMED.sub(_named, piece) for piece in _pieces(_PART.sub(_part, _TICKED.sub(_ticked, line)))
    )


def option(name: str) -> str:
    """The option of this name.

    >>> option("batch_size")
    '--batch-size'
    """
    return "--" + dashed(name)


def dashed(name: str) -> str:
    """A name of the library, of an argument or a class, as the command line has it.

    >>> dashed("free_bits"), dashed("LeaveOneOut"), dashed("ELBO")
    ('free-bits', 'leave-one-out', 'elbo')
    """
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).lower().replace("_", "-")


def _pieces(line: str) -> list[str]:
    """The line in pieces, code between backticks apart."""
    return re.split(r"(`[^`]*`)", line)


def _part(match: re.Match[str]) -> str:
    role, name, arguments = match.groups()
    return f"{option(role)} {dashed(name)} {_NAMED.sub(_argument, arguments)}".rstrip(" .").replace(",", "")


def _argument(match: re.Match[str]) -> str:
    """An argument of a part: an option where there is one for it, else by ``--set``."""
    name, value = match.groups()
    return _named(match) if name in OPTIONS else f"--set {name}={_bare(value)}"


def _named(match: re.Match[str]) -> str:
    name, value = match.groups()
    if re.fullmatch(_CALL, value) or name in SETTINGS:
        return f"--set {name}={_bare(value) if name in SETTINGS else value}"
    if name not in OPTIONS:
        return match.group()
    bare = _bare(value)
    return f"{option(name)} {value if ' ' in bare else bare}"


def _bare(value: str) -> str:
    return value.strip("\"'()[]").replace(", ", ",")


def _ticked(match: re.Match[str]) -> str:
    return option(match.group(1)) if match.group(1) in OPTIONS else match.group()
