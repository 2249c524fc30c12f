"""The library's sentences as a person at a command line would write them."""

from __future__ import annotations

import re
from dataclasses import fields

from ._options import CommonOptions, DataOptions, ModelOptions, TrainingOptions

OPTION_NAMES = frozenset(
    field.name
    for record in (CommonOptions, DataOptions, ModelOptions, TrainingOptions)
    for field in fields(record)
) | {
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
_CALL_PATTERN = r"[A-Z]\w*\([^()]*\)"  # a schedule, as Linear(steps=5000)
PRESET_ARGUMENT_NAMES = frozenset(
    {"capacity", "scale", "size"}
)  # arguments of presets that a sentence may name
_VALUE_PATTERN = rf'({_CALL_PATTERN}|"[^"]*"|\'[^\']*\'|\([^)]*\)|\[[^\]]*\]|[\w.+-]*\w)'
_ASSIGNMENT_PATTERN = re.compile(rf"\b([a-z_]+)={_VALUE_PATTERN}")
_BACKTICK_PATTERN = re.compile(r"`([a-z_]+)`(?= is )")
_COMPONENT_PATTERN = re.compile(r"`(objective|gradient)s\.(\w+)\(([^`]*)\)`")


def to_command_line(message: str) -> str:
    """``name=value`` and parts of the library as they are written on the command line; all on one line.

    >>> to_command_line('network="mpl" is not known: write network="mlp" or network="conv".')
    '--network mpl is not known: write --network mlp or --network conv.'
    >>> to_command_line("`batch_size` is 0; give at least 1.")
    '--batch-size is 0; give at least 1.'
    >>> to_command_line("Use `objectives.ELBO(samples=4)`, or `gradients.ScoreFunction()`.")
    'Use --objective elbo --samples 4, or --gradient score-function.'
    >>> to_command_line('Begin with beta=Linear(steps=5000), or scale="shared".')
    'Begin with --set beta=Linear(steps=5000), or --set scale=shared.'
    >>> to_command_line('Use `gradients.ReweightedWakeSleep(update="sleep")`.')
    'Use --gradient reweighted-wake-sleep --set update=sleep.'
    """
    line = " ".join(message.split())
    return "".join(
        piece if piece.startswith("`") else _ASSIGNMENT_PATTERN.sub(_assignment_to_option, piece)
        for piece in _split_at_code(
            _COMPONENT_PATTERN.sub(
                _component_to_options, _BACKTICK_PATTERN.sub(_backtick_to_option, line)
            )
        )
    )


def option_name(name: str) -> str:
    """The option of this name.

    >>> option("batch_size")
    '--batch-size'
    """
    return "--" + to_kebab_case(name)


def to_kebab_case(name: str) -> str:
    """A name of the library, of an argument or a class, as the command line has it.

    >>> dashed("free_bits"), dashed("LeaveOneOut"), dashed("ELBO")
    ('free-bits', 'leave-one-out', 'elbo')
    """
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).lower().replace("_", "-")


def _split_at_code(line: str) -> list[str]:
    """The line in pieces, code between backticks apart."""
    return re.split(r"(`[^`]*`)", line)


def _component_to_options(match: re.Match[str]) -> str:
    role, name, arguments = match.groups()
    return f"{option_name(role)} {to_kebab_case(name)} {_ASSIGNMENT_PATTERN.sub(_component_argument_to_option, arguments)}".rstrip(
        " ."
    ).replace(",", "")


def _component_argument_to_option(match: re.Match[str]) -> str:
    """An argument of a part: an option where there is one for it, else by ``--set``."""
    name, value = match.groups()
    return (
        _assignment_to_option(match)
        if name in OPTION_NAMES
        else f"--set {name}={_strip_quotes(value)}"
    )


def _assignment_to_option(match: re.Match[str]) -> str:
    name, value = match.groups()
    if re.fullmatch(_CALL_PATTERN, value) or name in PRESET_ARGUMENT_NAMES:
        return f"--set {name}={_strip_quotes(value) if name in PRESET_ARGUMENT_NAMES else value}"
    if name not in OPTION_NAMES:
        return match.group()
    bare = _strip_quotes(value)
    return f"{option_name(name)} {value if ' ' in bare else bare}"


def _strip_quotes(value: str) -> str:
    return value.strip("\"'()[]").replace(", ", ",")


def _backtick_to_option(match: re.Match[str]) -> str:
    return option_name(match.group(1)) if match.group(1) in OPTION_NAMES else match.group()
