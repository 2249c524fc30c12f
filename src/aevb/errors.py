"""Errors of the library as records: argument, value, reason and suggestions."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any

from .notes import PYTHON, UNSET, Argument, Style, Text, message, render


class AevbError(Exception):
    """Base of every error that the library raises on purpose.

    Args:
        reason: What is wrong and why, without a full stop. With ``value`` the reason continues the
            sentence after it ("`samples` is 0; it must be at least 1"), otherwise it is a sentence
            of its own.
        argument: Name of the Python argument to change, if any.
        value: The value of the argument.
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
        """Write the error in the words of a door: Python, the command line, a page.

        Args:
            style: The door's way to write references.
        """
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
        """Convert the error to values that JSON can hold."""
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
    """Valid parts do not fit together; the suggestions name alternatives."""


class DataError(AevbError, ValueError):
    """Data cannot be read, or the model cannot take them."""


class RunError(AevbError, OSError):
    """A run folder is missing, truncated, foreign, too new or protected."""


class NumericalError(AevbError, ArithmeticError):
    """A computation left the finite numbers and could not continue."""


class LawError(AevbError, AssertionError):
    """A part breaks a law that all parts of its kind obey."""


class OutOfMemoryError(AevbError, MemoryError):
    """A batch or a block does not fit into memory; the suggestions name a smaller size."""


class MissingExtraError(AevbError, ImportError):
    """An optional dependency is not installed; the suggestion installs it."""


def missing_extra(name: str, purpose: str) -> MissingExtraError:
    """Return the error for an optional dependency that is not installed.

    Args:
        name: The extra, as in ``pip install "aevb[plot]"``.
        purpose: What needs the extra, such as "drawing pictures".

    Returns:
        The error; its suggestion is the command that installs the extra.

    Example:
        >>> print(missing_extra("plot", "drawing pictures"))
        drawing pictures needs an optional dependency. Install it: pip install "aevb[plot]".
    """
    return MissingExtraError(
        f"{purpose} needs an optional dependency",
        suggestions=(f'Install it: pip install "aevb[{name}]"',),
    )


MAX_COUNT = 10**9
"""The largest size of a part, and the largest count that a command takes."""

MAX_INTEGER = 2**63 - 1
"""The largest whole number that tensors and generators take."""


def check_counts(minimum: int = 1, /, **counts: object) -> None:
    """Check that every argument is a whole number of at least ``minimum``, in 63 bits.

    Args:
        minimum: The smallest legal value.
        **counts: Values by the name of the argument.

    Raises:
        ArgumentError: An argument is something else.

    Example:
        >>> check_counts(samples=3)
        >>> check_counts(samples=2.5)
        Traceback (most recent call last):
            ...
        aevb.errors.ArgumentError: `samples` is 2.5; give a whole number, at least 1.
    """
    for argument, count in counts.items():
        if isinstance(count, bool) or not isinstance(count, Integral) or count < minimum:
            raise ArgumentError(
                f"give a whole number, at least {minimum}", argument=argument, value=count
            )
        if int(count) > MAX_INTEGER:
            raise ArgumentError(f"give at most {MAX_INTEGER}", argument=argument, value=count)


def check_choice(argument: str, value: object, choices: Sequence[str]) -> None:
    """Check that an argument is one of a few words.

    Args:
        argument: Name of the argument.
        value: Its value.
        choices: The legal words.

    Raises:
        ArgumentError: The value is something else; the suggestion lists the words.

    Example:
        >>> check_choice("method", "nuts", ("importance", "annealing"))  # doctest: +ELLIPSIS
        Traceback (most recent call last):
            ...
        aevb.errors.ArgumentError: `method` is "nuts"; ... Write method="importance" or ...
    """
    if value not in choices:
        raise ArgumentError(
            "this is not known",
            argument=argument,
            value=value,
            suggestions=(one_of(argument, choices),),
        )


def one_of(argument: str, choices: Sequence[Any]) -> Text:
    """Suggest a few values of an argument.

    Args:
        argument: Name of the argument.
        choices: The values.

    Returns:
        The suggestion, a sentence without a full stop.

    Example:
        >>> str(one_of("method", ["importance", "annealing"]))
        'Write method="importance" or method="annealing"'
    """
    fields = [f"{{choice_{i}}}" for i in range(len(choices))]
    listed = " or ".join([", ".join(fields[:-1]), fields[-1]] if len(fields) > 1 else fields)
    arguments = {f"choice_{i}": Argument(argument, choice) for i, choice in enumerate(choices)}
    return message(f"Write {listed}", **arguments)


def _sentence(text: str) -> str:
    """The text with a full stop."""
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _jsonable(value: Any) -> Any:
    """The value if JSON can hold it, otherwise its ``repr``."""
    return value if value is None or isinstance(value, str | bool | int | float) else repr(value)
