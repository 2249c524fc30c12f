"""Messages as records, which every door renders in its own words.

A sentence about an argument or a part of the library contains an ``Argument`` or a ``Part``, which
Python shows as ``batch_size=64``, the command line as ``--batch-size 64`` and JSON as fields.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

Level = Literal["info", "warning"]


class _Unset:
    """Type of ``UNSET``."""

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = _Unset()
"""Stands for no value; ``None`` is a value."""

_LONGEST = 200  # characters of a value that a sentence shows


@dataclass(frozen=True)
class Argument:
    """An argument of a public function, with a value.

    Args:
        name: The name in Python, such as ``"batch_size"``.
        value: The value; ``UNSET`` for the name alone.

    Example:
        >>> render(Argument("network", "mlp")), render(Argument("network"))
        ('network="mlp"', '`network`')
    """

    name: str
    value: Any = UNSET


@dataclass(frozen=True)
class Part:
    """A class of the library, with arguments.

    Args:
        name: The public name, such as ``"objectives.IWAE"`` or ``"Linear"``.
        arguments: Arguments by name.

    Example:
        >>> render(Part("objectives.IWAE", {"samples": 5}))
        '`objectives.IWAE(samples=5)`'
    """

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Message:
    """A sentence with references.

    Args:
        template: The text, with a field in braces for each reference.
        references: An ``Argument``, a ``Part`` or any other value, which is shown as text, by
            field.
    """

    template: str
    references: Mapping[str, Any]

    def __str__(self) -> str:
        return render(self)


Text = str | Message


class Style(Protocol):
    """How an interface (Python or the command line) writes references."""

    def argument(self, argument: Argument) -> str:
        """Write an argument with its value, or its name alone."""
        ...

    def subject(self, name: str, value: Any) -> str:
        """Write the beginning of a sentence about the value of an argument."""
        ...

    def part(self, part: Part) -> str:
        """Write a class with its arguments."""
        ...


def message(template: str, **references: Any) -> Message:
    """Make a ``Message``.

    Args:
        template: The text, with a field in braces for each reference.
        **references: References by field.

    Returns:
        The message.

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
        """Write ``network="mlp"``, or the name in backticks."""
        return (
            f"`{argument.name}`"
            if argument.value is UNSET
            else f"{argument.name}={self.value(argument.value)}"
        )

    def subject(self, name: str, value: Any) -> str:
        """Write the name and the value, such as `` `batch_size` is 0``."""
        return f"`{name}` is {self.value(value)}"

    def part(self, part: Part) -> str:
        """Write the call in backticks."""
        return f"`{self._call(part)}`"

    def value(self, value: Any) -> str:
        """Write a literal, with double quotes around text; long ones are cut."""
        if isinstance(value, Part):
            return self._call(value)
        text = repr(value)
        if isinstance(value, str) and text.startswith("'") and '"' not in text:
            text = f'"{text[1:-1]}"'
        return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."

    def _call(self, part: Part) -> str:
        arguments = (f"{name}={self.value(value)}" for name, value in part.arguments.items())
        return f"{part.name}({', '.join(arguments)})"


PYTHON: Final = PythonStyle()


def render(text: Text | Argument | Part, style: Style = PYTHON) -> str:
    """Write a text, an argument or a part in the words of an interface.

    Args:
        text: What to write. A ``str`` is returned unchanged and never read as a template.
        style: The interface's way to write references.

    Returns:
        The text.
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
    """A message for the user: a choice that the library made, or an observation.

    Args:
        code: A stable name for programs, in lower case with underscores: ``"rows_dropped"``.
        message: One or two sentences, which say what the other fields hold; equal notes may have
            different messages.
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
    message: Text = field(compare=False)
    level: Level = "info"
    data: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return render(self.message)

    def to_dict(self) -> dict[str, Any]:
        """Convert the note to values that JSON can hold; references become Python code."""
        return {
            "code": self.code,
            "message": str(self),
            "level": self.level,
            "data": dict(self.data),
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Note:
        """Read a note that ``to_dict`` wrote."""
        return cls(record["code"], record["message"], record["level"], record["data"])


_BIDIRECTIONAL = frozenset(
    "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)
_INVISIBLE_CATEGORIES = ("Cc", "Cs", "Zl", "Zp")


def visible_text(value: object) -> str:
    """Write text from data on one line, with every control character visible and harmless.

    Line breaks, terminal codes and marks of writing direction in a column name or a file name could
    hide or rearrange what stands around them.

    Args:
        value: What to write.

    Returns:
        The text, with escapes in place of control characters and directional marks.

    Example:
        >>> print(visible_text("two\\nlines, \\u202eback\\x1b[31m"))
        two\\nlines, \\u202eback\\x1b[31m
    """
    return "".join(
        character.encode("unicode_escape").decode()
        if character in _BIDIRECTIONAL or unicodedata.category(character) in _INVISIBLE_CATEGORIES
        else character
        for character in str(value)
    )
