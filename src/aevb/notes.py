"""Messages as records: what the library tells a user, in parts that every door renders in its own words.

A sentence that names an argument or a part of the library does not spell it out: it holds an ``Argument`` or a ``Part``, which Python shows
as ``batch_size=64``, the command line as ``--batch-size 64`` and JSON as fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

Level = Literal["info", "warning"]


class _Unset:
    """The type of ``UNSET``."""

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = _Unset()
"""Stands for a value that is not known; ``None`` is a value."""

_LONGEST = 200  # characters of a value that a sentence shows


@dataclass(frozen=True)
class Argument:
    """An argument of a public function, with the value to give it.

    Args:
        name: The name in Python, as ``"batch_size"``.
        value: The value; ``UNSET`` names the argument alone.

    Example:
        >>> render(Argument("network", "mlp")), render(Argument("network"))
        ('network="mlp"', '`network`')
    """

    name: str
    value: Any = UNSET


@dataclass(frozen=True)
class Part:
    """A class of the library to use, with its arguments.

    Args:
        name: The public name, as ``"objectives.IWAE"`` or ``"Linear"``.
        arguments: Arguments by name.

    Example:
        >>> render(Part("objectives.IWAE", {"samples": 5}))
        '`objectives.IWAE(samples=5)`'
    """

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Message:
    """A sentence with references in it.

    Args:
        template: The text, with a field in braces for each reference.
        references: What stands there: an ``Argument``, a ``Part``, or any other value, which is shown as text.
    """

    template: str
    references: Mapping[str, Any]

    def __str__(self) -> str:
        return render(self)


Text = str | Message


class Style(Protocol):
    """How a door writes references."""

    def argument(self, argument: Argument) -> str:
        """An argument with its value, or its name alone."""
        ...

    def subject(self, name: str, value: Any) -> str:
        """The beginning of a sentence about the value that an argument has."""
        ...

    def part(self, part: Part) -> str:
        """A class of the library with its arguments."""
        ...


def message(template: str, **references: Any) -> Message:
    """Make a ``Message``.

    Example:
        >>> str(
        ...     message(
        ...         "Write {mlp} or {conv}.",
        ...         mlp=Argument("network", "mlp"),
        ...         conv=Argument("network", "conv"),
        ...     )
        ... )
        'Write network="mlp" or network="conv".'
    """
    return Message(template, references)


class PythonStyle:
    """References as Python code."""

    def argument(self, argument: Argument) -> str:
        """``network="mlp"``, or the name in backticks."""
        return (
            f"`{argument.name}`"
            if argument.value is UNSET
            else f"{argument.name}={self.value(argument.value)}"
        )

    def subject(self, name: str, value: Any) -> str:
        """The name and the value, as `` `batch_size` is 0``."""
        return f"`{name}` is {self.value(value)}"

    def part(self, part: Part) -> str:
        """The call in backticks."""
        return f"`{self._call(part)}`"

    def value(self, value: Any) -> str:
        """A literal, with double quotes around text; long ones are cut."""
        if isinstance(value, Part):
            return self._call(value)
        text = repr(value)
        if isinstance(value, str) and text.startswith("'") and '"' not in text:
            text = f'"{text[1:-1]}"'
        return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."

    def _call(self, part: Part) -> str:
        return f"{part.name}({', '.join(f'{name}={self.value(value)}' for name, value in part.arguments.items())})"


PYTHON: Final = PythonStyle()


def render(text: Text | Argument | Part, style: Style = PYTHON) -> str:
    """Write a text, an argument or a part in the words of a door.

    Args:
        text: What to write. A plain ``str`` is returned as it is: it is never read as a template.
        style: The door's way to write references.
    """
    if isinstance(text, str):
        return text
    if isinstance(text, Argument):
        return style.argument(text)
    if isinstance(text, Part):
        return style.part(text)
    written = {
        name: render(value, style) if isinstance(value, Argument | Part | Message) else str(value)
        for name, value in text.references.items()
    }
    return text.template.format_map(written)


@dataclass(frozen=True)
class Note:
    """Something that the user should know: a choice that was made, or a thing that was noticed.

    Args:
        code: A stable name for programs, in lower case with underscores: ``"rows_dropped"``.
        message: One or two sentences.
        level: ``"info"`` for a choice, ``"warning"`` for what may need action.
        data: The numbers and names in the message, as JSON can hold them.

    Example:
        >>> note = Note(
        ...     "rows_dropped", "Dropped 3 rows with missing cells.", "warning", {"rows": 3}
        ... )
        >>> str(note), Note.from_dict(note.to_dict()) == note
        ('Dropped 3 rows with missing cells.', True)
    """

    code: str
    message: Text
    level: Level = "info"
    data: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return render(self.message)

    def to_dict(self) -> dict[str, Any]:
        """The note as JSON can hold it; references in the message are written as Python code."""
        return {
            "code": self.code,
            "message": str(self),
            "level": self.level,
            "data": dict(self.data),
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Note:
        """The note that ``to_dict`` wrote."""
        return cls(record["code"], record["message"], record["level"], record["data"])
