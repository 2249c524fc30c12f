"""The errors of the library: each carries the argument, the value received, the reason and what to write instead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .notes import PYTHON, UNSET, Argument, Style, Text, message, render


class AevbError(Exception):
    """Base of every error that the library raises on purpose.

    Args:
        reason: What is wrong and why. Where ``value`` is given, the sentence goes on after it ("`samples` is 0; it must be at least 1");
            otherwise a sentence of its own. No full stop.
        argument: The name of the Python argument that is to be changed, where there is one.
        value: The value that it has.
        suggestions: What to do instead, an imperative each, without a full stop.

    Example:
        >>> error = AevbError(
        ...     "it must be at least 1", argument="samples", value=0, suggestions=("Leave it out",)
        ... )
        >>> str(error), error.argument, error.value
        ('`samples` is 0; it must be at least 1. Leave it out.', 'samples', 0)
    """

    def __init__(
        self,
        reason: Text,
        *,
        argument: str | None = None,
        value: Any = UNSET,
        suggestions: Sequence[Text] = (),
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.argument = argument
        self.value = value
        self.suggestions = tuple(suggestions)

    def render(self, style: Style = PYTHON) -> str:
        """Write the error in the words of a door: Python, the command line, a page."""
        subject = (
            ""
            if self.argument is None or self.value is UNSET
            else f"{style.subject(self.argument, self.value)}; "
        )
        return " ".join(
            _sentence(text)
            for text in (
                subject + render(self.reason, style),
                *(render(each, style) for each in self.suggestions),
            )
        )

    def __str__(self) -> str:
        return self.render()

    def to_dict(self) -> dict[str, Any]:
        """The error as JSON can hold it."""
        return {
            "error": type(self).__name__,
            "argument": self.argument,
            "value": None if self.value is UNSET else _jsonable(self.value),
            "reason": render(self.reason),
            "suggestions": [render(each) for each in self.suggestions],
        }


class ArgumentError(AevbError, ValueError):
    """An argument has a value that no run could use."""


class IncompatibleError(AevbError, TypeError):
    """Parts that are each legal but do not fit together; the suggestions say which line to write instead."""


class DataError(AevbError, ValueError):
    """Data that cannot be read, or that the model cannot take."""


class RunError(AevbError, OSError):
    """A run folder that is missing, truncated, foreign, newer than this library, or that may not be overwritten."""


class NumericalError(AevbError, ArithmeticError):
    """A computation that left the finite numbers and could not be continued."""


class LawError(AevbError, AssertionError):
    """A part that breaks a law which every part of its kind obeys; the reason says which, what was measured and what was expected."""


class OutOfMemoryError(AevbError, MemoryError):
    """A batch or a block that the memory does not hold; the suggestions say which size to lower, and to what."""


class MissingExtraError(AevbError, ImportError):
    """An optional dependency that is not installed; the suggestion is the line that installs it."""


def missing_extra(name: str, purpose: str) -> MissingExtraError:
    """The error for an optional dependency that is not installed.

    Args:
        name: The extra, as in ``pip install "aevb[plot]"``.
        purpose: What needs it, as "drawing pictures".

    Example:
        >>> print(missing_extra("plot", "drawing pictures"))
        drawing pictures needs an optional dependency. Install it: pip install "aevb[plot]".
    """
    return MissingExtraError(
        f"{purpose} needs an optional dependency",
        suggestions=(f'Install it: pip install "aevb[{name}]"',),
    )


def check_counts(**counts: object) -> None:
    """Check that every argument is a whole number of at least 1.

    Args:
        **counts: Values by the name of the argument.

    Raises:
        ArgumentError: One is not.

    Example:
        >>> check_counts(samples=3)
        >>> check_counts(samples=2.5)
        Traceback (most recent call last):
            ...
        aevb.errors.ArgumentError: `samples` is 2.5; give a whole number, at least 1.
    """
    for argument, count in counts.items():
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise ArgumentError("give a whole number, at least 1", argument=argument, value=count)


def check_choice(argument: str, value: object, choices: Sequence[str]) -> None:
    """Check that an argument is one of a few words.

    Raises:
        ArgumentError: It is not; the suggestion lists the words.

    Example:
        >>> check_choice("method", "nuts", ("importance", "ais"))
        Traceback (most recent call last):
            ...
        aevb.errors.ArgumentError: `method` is "nuts"; this is not known. Write method="importance" or method="ais".
    """
    if value not in choices:
        raise ArgumentError(
            "this is not known",
            argument=argument,
            value=value,
            suggestions=(one_of(argument, choices),),
        )


def one_of(argument: str, choices: Sequence[str]) -> Text:
    """The suggestion to give an argument one of a few values.

    Example:
        >>> str(one_of("method", ["importance", "ais"]))
        'Write method="importance" or method="ais"'
    """
    fields = [f"{{choice_{place}}}" for place in range(len(choices))]
    listed = " or ".join([", ".join(fields[:-1]), fields[-1]] if len(fields) > 1 else fields)
    return message(
        f"Write {listed}",
        **{f"choice_{place}": Argument(argument, choice) for place, choice in enumerate(choices)},
    )


def _sentence(text: str) -> str:
    """The text with an end."""
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _jsonable(value: Any) -> Any:
    """The value where JSON can hold it, else what Python shows."""
    return value if value is None or isinstance(value, str | bool | int | float) else repr(value)
