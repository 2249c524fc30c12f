"""``--set KEY=VALUE``: any argument of a preset, an objective or a gradient."""

from __future__ import annotations

import ast
import difflib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import ArgumentError

LITERAL_WORDS = {"true": True, "false": False, "none": None}
RECIPE_PARTS = ("preset", "objective", "gradient")


@dataclass(frozen=True)
class SetOption:
    """What was typed: the argument, its value, and the part that it belongs to where that was said."""

    name: str
    value: Any
    part: str | None = None


def parse_set_option(text: str) -> SetOption:
    """One ``KEY=VALUE``, or ``PART.KEY=VALUE``; raises ``ArgumentError`` where it is neither.

    >>> read("gradient.temperature=Exponential(1, 0.5, steps=1000)")
    Setting(name='temperature', value=Exponential(start=1, end=0.5, steps=1000), part='gradient')
    >>> read("update=sleep").value, read("learned=false").value, read("alpha=0.5").value
    ('sleep', False, 0.5)
    """
    key, equals, value = text.partition("=")
    part, dot, name = key.strip().rpartition(".")
    if not equals or not name.isidentifier() or (dot and part not in RECIPE_PARTS):
        raise ArgumentError(
            f'--set "{text}": write --set KEY=VALUE, as in --set alpha=0.5, or --set gradient.temperature=0.5.'
        )
    return SetOption(name, _parse_value(value.strip(), text), part or None)


def _parse_value(text: str, option_text: str) -> Any:
    """A number, a word, several with commas between them, or a schedule; anything else is a word."""
    if text.lower() in LITERAL_WORDS:
        return LITERAL_WORDS[text.lower()]
    try:
        node = ast.parse(text, mode="eval").body
    except SyntaxError:
        return text
    if isinstance(node, ast.Call):
        return _parse_schedule(node, option_text)
    try:
        return ast.literal_eval(node)
    except ValueError:
        return text


def _parse_schedule(node: ast.Call, option_text: str) -> Any:
    from .. import objectives

    known = [
        name
        for name in objectives.__all__
        if inspect.isclass(kind := getattr(objectives, name)) and _is_schedule(kind)
    ]
    name = ast.unparse(node.func)
    if name not in known:
        raise ArgumentError(
            f'--set "{option_text}": `{name}` is no schedule; use one of {", ".join(known)}.'
        )
    try:
        given = {word.arg: ast.literal_eval(word.value) for word in node.keywords if word.arg}
        return getattr(objectives, name)(*map(ast.literal_eval, node.args), **given)
    except (TypeError, ValueError) as error:
        if isinstance(error, ArgumentError):
            raise
        raise ArgumentError(
            f'--set "{option_text}": {error}; write it as Linear(0, 1, steps=1000).'
        ) from error


def _is_schedule(cls: type) -> bool:
    from ..objectives import Schedule

    return issubclass(cls, Schedule) and not inspect.isabstract(cls)


class SetOptions:
    """What was asked for by ``--set``, handed out to the parts one after the other: the first that takes an argument gets it."""

    def __init__(self, texts: Sequence[str] | None) -> None:
        self.unused = [parse_set_option(text) for text in texts or ()]
        self.accepted_names: dict[str, tuple[str, ...]] = {}

    def take_for(self, part: str, title: str, build: Callable[..., Any]) -> dict[str, Any]:
        """The arguments for ``build``; each is refused where it has another type than is wanted."""
        names = self.accepted_names[title] = tuple(build_parameters(build))
        mine = [
            setting
            for setting in self.unused
            if setting.name in names and setting.part in (part, None)
        ]
        self.unused = [setting for setting in self.unused if setting not in mine]
        options = {setting.name: setting.value for setting in mine}
        _check_types(build, options)
        return options

    def take_label_count(self) -> int | None:
        """How many labels a model that infers the others is told; None where nobody says."""
        return self.take_for("labels", "the data", _label_count_signature).get("labels")

    def check_all_used(self) -> None:
        """Raise ``ArgumentError`` for what nobody has taken, with what there is."""
        for setting in self.unused:
            takes = {
                title: names
                for title, names in self.accepted_names.items()
                if title.startswith(setting.part or "")
            }
            near = difflib.get_close_matches(
                setting.name, [name for names in takes.values() for name in names], 1
            )
            hint = f'Did you mean "{near[0]}"? ' if near else ""
            listed = "; ".join(
                f"{title} takes {', '.join(names) or 'nothing'}" for title, names in takes.items()
            )
            raise ArgumentError(
                f"--set {setting.name}: there is no such argument. {hint}{listed[:1].upper()}{listed[1:]}."
            )


def _label_count_signature(labels: int = 100) -> None:
    """What such data can be asked for."""


def build_parameters(build: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """What a class or a preset takes, by name; the data of a preset are not asked for."""
    signature = inspect.signature(build.__init__ if inspect.isclass(build) else build)
    open_ended = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return {
        name: each
        for name, each in signature.parameters.items()
        if name not in ("self", "spec") and each.kind not in open_ended
    }


def _check_types(build: Callable[..., Any], options: Mapping[str, Any]) -> None:
    """Refuse a value of another type than the argument has: `alpha=x` is no number."""
    parameters = build_parameters(build)
    for name, value in options.items():
        kinds = [kind.strip() for kind in str(parameters[name].annotation).split("|")]
        if set(kinds) <= _TYPE_CHECKS.keys() and not any(
            _TYPE_CHECKS[kind](value) for kind in kinds
        ):
            wanted = " or ".join(_TYPE_NAMES[kind] for kind in kinds if kind in _TYPE_NAMES)
            raise ArgumentError(f"--set {name}: {value!r} is no {wanted}.")


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
