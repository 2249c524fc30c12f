"""The errors of the library: each names the argument, the value received, the reason and what to write instead."""

from __future__ import annotations


class AevbError(Exception):
    """Base of every error that the library raises on purpose: one sentence that a user can act on."""


class ArgumentError(AevbError, ValueError):
    """An argument has a value that no run could use."""


class IncompatibleError(AevbError, TypeError):
    """Parts that are each legal but do not fit together; the message says which line to write instead."""


class DataError(AevbError, ValueError):
    """Data that cannot be read, or that the model cannot take."""


class RunError(AevbError, OSError):
    """A run folder that is missing, truncated, foreign, newer than this library, or in the way."""


class NumericalError(AevbError, ArithmeticError):
    """A computation that left the finite numbers and could not be continued."""


class LawError(AevbError, AssertionError):
    """A part that breaks a law which every part of its kind obeys; the message says which, what was measured and what was expected."""


class OutOfMemoryError(AevbError, MemoryError):
    """A batch or a block that the memory does not hold; the message says which size to lower, and to what."""


class MissingExtraError(AevbError, ImportError):
    """An optional dependency is not installed; the message holds the line that installs it."""


def extra(name: str, purpose: str) -> MissingExtraError:
    """The error for an optional dependency that is not installed.

    >>> print(extra("plot", "drawing pictures"))
    drawing pictures needs an optional dependency: pip install "aevb[plot]"
    """
    return MissingExtraError(f'{purpose} needs an optional dependency: pip install "aevb[{name}]"')


def check_counts(**counts: object) -> None:
    """Raise ``ArgumentError`` for what is no whole number of at least 1.

    >>> check_counts(samples=3)
    >>> check_counts(samples=2.5)
    Traceback (most recent call last):
        ...
    aevb.errors.ArgumentError: `samples` is 2.5; give a whole number, at least 1.
    """
    for argument, count in counts.items():
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise ArgumentError(f"`{argument}` is {count!r}; give a whole number, at least 1.")
