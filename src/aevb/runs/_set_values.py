"""``KEY=VALUE``: any argument of a preset, an objective or a gradient estimator."""

from __future__ import annotations

import ast
import difflib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import ArgumentError
from ..notes import Argument, message

LITERAL_WORDS = {"true": True, "false": False, "none": None}
RECIPE_PARTS = ("preset", "prior", "posterior", "objective", "gradient")


@dataclass(frozen=True)
class SetValue:
    """A value for an argument, and the part that takes it where that was written."""

    name: str
    value: Any
    part: str | None = None


def parse_set_value(text: str) -> SetValue:
    """Parse ``KEY=VALUE`` or ``PART.KEY=VALUE``.

    Raises:
        ArgumentError: The text is neither.

    Example:
        >>> parse_set_value("gradient.temperature=Exponential(1, 0.5, steps=1000)").value
        Exponential(start=1, end=0.5, steps=1000, fraction=None)
        >>> [parse_set_value(text).value for text in ("update=sleep", "learned=false", "alpha=0.5")]
        ['sleep', False, 0.5]
    """
    key, equals, value = text.partition("=")
    part, dot, name = key.strip().rpartition(".")
    if not equals or not name.isidentifier() or (dot and part not in RECIPE_PARTS):
        raise ArgumentError(
            "it is not KEY=VALUE",
            argument="set",
            value=text,
            suggestions=(
                message(
                    "Write {value}, or {part}",
                    value=Argument("set", "alpha=0.5"),
                    part=Argument("set", "gradient.temperature=0.5"),
                ),
            ),
        )
    return SetValue(name, _parse_value(value.strip(), text), part or None)


def _parse_value(text: str, whole: str) -> Any:
    """A number, a word, several separated by commas, or a schedule; anything else is a word."""
    if text.lower() in LITERAL_WORDS:
        return LITERAL_WORDS[text.lower()]
    try:
        node = ast.parse(text, mode="eval").body
    except SyntaxError:
        return text
    if isinstance(node, ast.Call):
        return _parse_schedule(node, whole)
    try:
        return ast.literal_eval(node)
    except ValueError:
        return text


def _parse_schedule(node: ast.Call, whole: str) -> Any:
    from .. import objectives

    known = [
        name
        for name in objectives.__all__
        if inspect.isclass(cls := getattr(objectives, name)) and _is_schedule(cls)
    ]
    name = ast.unparse(node.func)
    if name not in known:
        raise ArgumentError(
            f"`{name}` is not a schedule; use one of {', '.join(known)}",
            argument="set",
            value=whole,
        )
    try:
        keywords = {word.arg: ast.literal_eval(word.value) for word in node.keywords if word.arg}
        return getattr(objectives, name)(*map(ast.literal_eval, node.args), **keywords)
    except (TypeError, ValueError) as error:
        if isinstance(error, ArgumentError):
            raise
        raise ArgumentError(
            str(error),
            argument="set",
            value=whole,
            suggestions=(
                "Write it as Linear(0, 1, steps=1000), or as Linear(0, 1, fraction=0.2) of the run",
            ),
        ) from error


def _is_schedule(cls: type) -> bool:
    from ..objectives import Schedule

    return issubclass(cls, Schedule) and not inspect.isabstract(cls)


class SetValues:
    """Values for the parts of a recipe: the first part with an argument of the name takes it."""

    def __init__(self, texts: Sequence[str] | None) -> None:
        self.unused = [parse_set_value(text) for text in texts or ()]
        self.accepted_names: dict[str, tuple[str, ...]] = {}

    def take_for(
        self, part: str, title: str, build: Callable[..., Any], names: Sequence[str] | None = None
    ) -> dict[str, Any]:
        """The arguments for ``build``; a value of another type than its argument is refused."""
        names = tuple(build_parameters(build) if names is None else names)
        self.accepted_names[title] = names
        taken = [
            entry for entry in self.unused if entry.name in names and entry.part in (part, None)
        ]
        self.unused = [entry for entry in self.unused if entry not in taken]
        options = {entry.name: entry.value for entry in taken}
        _check_types(build, options)
        return options

    def take_label_count(self) -> int | None:
        """The number of labels for a model that infers the others; None where it is not set."""
        return self.take_for("labels", "the data", _label_count_signature).get("labels")

    def check_all_used(self) -> None:
        """Raise ``ArgumentError`` for a value that no part has taken, with what they take."""
        for entry in self.unused:
            own = [title for title in self.accepted_names if title.startswith(entry.part or "")]
            takes = {title: self.accepted_names[title] for title in own or self.accepted_names}
            near = difflib.get_close_matches(
                entry.name, [name for names in takes.values() for name in names], 1
            )
            listed = "; ".join(
                f"{title} takes {', '.join(names) or 'nothing'}" for title, names in takes.items()
            )
            raise ArgumentError(
                f"there is no such argument; {listed}",
                argument="set",
                value=entry.name,
                suggestions=tuple(f'Did you mean "{name}"?' for name in near),
            )


def _label_count_signature(labels: int = 100) -> None:
    """The values that data with few labels take."""


def build_parameters(build: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The arguments of a class or a preset by name, without the data of a preset."""
    signature = inspect.signature(build.__init__ if inspect.isclass(build) else build)
    open_ended = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return {
        name: parameter
        for name, parameter in signature.parameters.items()
        if name not in ("self", "spec") and parameter.kind not in open_ended
    }


def _check_types(build: Callable[..., Any], options: Mapping[str, Any]) -> None:
    """Refuse a value of another type than the argument has: ``alpha=x`` is not a number."""
    parameters = build_parameters(build)
    for name, value in options.items():
        types = [part.strip() for part in str(parameters[name].annotation).split("|")]
        if set(types) <= _TYPE_CHECKS.keys() and not any(_TYPE_CHECKS[t](value) for t in types):
            expected = " or ".join(_TYPE_NAMES[t] for t in types if t in _TYPE_NAMES)
            raise ArgumentError(
                f"{value!r} is not a {expected}", argument="set", value=f"{name}={value}"
            )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_TYPE_CHECKS: dict[str, Callable[[Any], bool]] = {
    "int": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "float": _is_number,
    "bool": lambda value: isinstance(value, bool),
    "str": lambda value: isinstance(value, str),
    "None": lambda value: value is None,
    "Schedule": lambda value: _is_schedule(type(value)),
}
_TYPE_NAMES = {
    "int": "whole number",
    "float": "number",
    "bool": "true or false",
    "str": "word",
    "Schedule": "schedule",
}
