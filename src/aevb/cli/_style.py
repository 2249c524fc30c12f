"""The library's messages in the words of the command line, and text that is safe to print."""

from __future__ import annotations

import functools
import shlex
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TextIO

from ..notes import PYTHON, UNSET, Argument, Note, Part, Text, render, visible_text
from ..runs import DataSettings, ModelSettings, TrainingSettings
from ._options import CommonOptions, GridOptions, OutputOptions

POSITIONALS = {"name": "NAME", "source": "SOURCE", "runs": "RUN", "run": "RUN"}
OPTION_OF_ARGUMENT = {
    "clip": "clip-norm",
    "context": "label",
    "data": "source",
    "from_row": "from",
    "overwrite": "force",
    "to_row": "to",
}
OTHER_OPTIONS = {
    "annealing", "bracket", "candidates", "components", "config", "defensive", "draws", "factors",
    "family", "features", "from", "intervals", "label", "level", "max-rows", "mean", "method",
    "quantile", "resume", "source", "start", "steps", "temperatures", "to", "train", "trust-source",
    "path", "tune", "where",
}  # fmt: skip
OPTIONS = OTHER_OPTIONS | {
    each.name.replace("_", "-")
    for record in (
        CommonOptions,
        DataSettings,
        GridOptions,
        ModelSettings,
        OutputOptions,
        TrainingSettings,
    )
    for each in fields(record)
}
ROLES = {
    "gradients": "gradient",
    "likelihoods": "likelihood",
    "objectives": "objective",
    "posteriors": "posterior",
    "presets": "preset",
    "priors": "prior",
}
COMMANDS = {
    "data.download_dataset": "aevb data get",
    "evaluate": "aevb evaluate",
    "fit_prior": "aevb fit-prior",
    "metrics.encoder_features": "--features encoder",
    "metrics.log_likelihood": "aevb evaluate --method importance",
    "metrics.rate_distortion": "aevb evaluate",
}
ASCII = str.maketrans({"±": "+-", "–": "-", "−": "-", "×": "x", "…": "...", "’": "'"})


class CommandStyle:
    """References as options: ``--batch-size 64``, ``--set alpha=0.5``, ``--objective iwae``.

    Example:
        >>> STYLE.argument(Argument("batch_size", 64)), STYLE.argument(Argument("alpha", 0.5))
        ('--batch-size 64', '--set alpha=0.5')
        >>> STYLE.part(Part("objectives.IWAE", {"samples": 5}))
        '--objective iwae --samples 5'
        >>> STYLE.part(Part("priors.Product"))  # no option builds it
        '`priors.Product()`'
        >>> STYLE.part(Part("data.download_dataset", {"name": "mnist"}))
        '`aevb data get mnist`'
        >>> STYLE.argument(Argument("beta", Part("Linear", {"steps": 5000})))
        '--set beta=Linear(steps=5000)'
        >>> STYLE.subject("network", "mpl")
        '--network is "mpl"'
    """

    def argument(self, argument: Argument) -> str:
        """An option with its value, or its name alone."""
        name, value = argument.name, argument.value
        if name in POSITIONALS:
            return POSITIONALS[name] if value is UNSET else str(value)
        option = option_name(name)
        if option is None:
            if name in settable_names():
                return f"--set {name}" if value is UNSET else f"--set {name}={_typed(value)}"
            return PYTHON.argument(argument)
        if value is UNSET or value is True:
            return option
        if isinstance(value, Part):
            return f"--set {name}={_typed(value)}"
        return f"{option} {shlex.quote(_typed(value)) if ' ' in _typed(value) else _typed(value)}"

    def subject(self, name: str, value: Any) -> str:
        """The option and its value."""
        shown = PYTHON.value(value)
        if isinstance(value, tuple | list):
            shown = _typed(value) or '""'
        return f"{self.argument(Argument(name))} is {shown}"

    def part(self, part: Part) -> str:
        """A class as the option that chooses it, with its arguments; a function as its command."""
        if part.name in COMMANDS:
            return " ".join(["`" + COMMANDS[part.name], *map(str, part.arguments.values())]) + "`"
        role, _, name = part.name.rpartition(".")
        if role not in ROLES:
            return PYTHON.part(part)
        from .._registry import snake_case

        family = snake_case(name)
        if family not in choosable_names().get(ROLES[role], {family}):
            return PYTHON.part(part)
        chosen = f"--{ROLES[role]} {family.replace('_', '-')}"
        return " ".join(
            [chosen, *(self.argument(Argument(*each)) for each in part.arguments.items())]
        )


STYLE = CommandStyle()


def text_of(value: Text | Note) -> str:
    """A message or a note in the words of the command line, as one safe line."""
    return visible_text(render(value.message if isinstance(value, Note) else value, STYLE))


def option_name(argument: str) -> str | None:
    """The option of an argument; None where there is none.

    Example:
        >>> option_name("batch_size"), option_name("overwrite"), option_name("network_depth")
        ('--batch-size', '--force', None)
    """
    name = OPTION_OF_ARGUMENT.get(argument, argument.replace("_", "-"))
    return f"--{name}" if name in OPTIONS else "-n" if name == "n" else None


@functools.cache
def choosable_names() -> dict[str, frozenset[str]]:
    """The names of parts that an option takes, by option."""
    from ..likelihoods import LikelihoodRegistration
    from ..posteriors import PosteriorRegistration
    from ..priors import PriorRegistration
    from ..runs._recipe import buildable_parts

    families = (LikelihoodRegistration, PriorRegistration, PosteriorRegistration)
    names = {entry.argument: frozenset(entry.buildable()) for entry in families}
    return names | {role: frozenset(buildable_parts(role)) for role in ("objective", "gradient")}


@functools.cache
def settable_names() -> frozenset[str]:
    """The arguments that ``--set`` takes."""
    from ..presets._registration import PresetRegistration
    from ..runs._recipe import buildable_parts

    entries = [*PresetRegistration.all().values()]
    entries += [
        entry for role in ("objective", "gradient") for entry in buildable_parts(role).values()
    ]
    return frozenset(name for entry in entries for name in entry.parameters)


def encodable(text: str, stream: TextIO) -> str:
    """The text in characters that the stream can write."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = text.translate(ASCII).encode(encoding, "backslashreplace").decode(encoding)
    return text


def _typed(value: Any) -> str:
    """A value as it is typed."""
    if isinstance(value, Mapping):
        return ",".join(f"{key}={_typed(each)}" for key, each in value.items())
    if isinstance(value, tuple | list):
        return ",".join(map(_typed, value))
    if isinstance(value, Part):
        return PYTHON.value(value)
    return str(value)
