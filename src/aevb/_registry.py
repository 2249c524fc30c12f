"""The one register of parts: every likelihood, prior, objective, preset ... is registered where it is defined.

The tables of the documentation, ``--help``, ``aevb presets``, defaults and refusals are made from it.
"""

from __future__ import annotations

import difflib
import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self, TypeVar

from .errors import ArgumentError, one_of

Target = TypeVar("Target", bound=Callable[..., Any])


@dataclass(frozen=True, kw_only=True)
class Registration:
    """What is known of a part; a role adds fields of its own in a subclass.

    Args:
        title: The name in a sentence; that of the class by default.
        paper: Author and year, where it is published.
        use_when: When to use it: one line, no full stop.
        cost: What it costs beside the default.
        avoid_when: When another one is better.
        name: The name on the command line; the class's in lower case with underscores by default.
        target: The class or function; filled in by ``register``.
    """

    role: ClassVar[str]
    argument: ClassVar[str]
    package: ClassVar[str]
    title: str = ""
    paper: str = ""
    use_when: str = ""
    cost: str = ""
    avoid_when: str = ""
    name: str = ""
    target: Any = None

    @classmethod
    def all(cls) -> dict[str, Self]:
        """All parts of this role by name, in the order of their definition."""
        importlib.import_module(f"aevb.{cls.package}")
        return dict(_REGISTER.get(cls.role, {}))

    @classmethod
    def find(cls, name: str) -> Self:
        """The part with this name.

        Raises:
            ArgumentError: There is none; the suggestion is the nearest name, or all of them.
        """
        known, key = cls.all(), str(name).lower().replace("-", "_")
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            raise ArgumentError(
                "this is not known",
                argument=cls.argument,
                value=name,
                suggestions=(one_of(cls.argument, near or list(known)),),
            )
        return known[key]

    @classmethod
    def of(cls, target: Any) -> Self | None:
        """The registration of a class or function, ``None`` where it has none."""
        return next((entry for entry in cls.all().values() if entry.target is target), None)


_REGISTER: dict[str, dict[str, Any]] = {}


def register(entry: Registration) -> Callable[[Target], Target]:
    """Register the class or function that is decorated.

    Args:
        entry: What is known of it, without name and target.
    """

    def decorate(target: Target) -> Target:
        name = entry.name or snake_case(target.__name__)
        title = entry.title or target.__name__
        _REGISTER.setdefault(entry.role, {})[name] = replace(
            entry, name=name, title=title, target=target
        )
        return target

    return decorate


def snake_case(name: str) -> str:
    """The name of a class as an argument has it.

    Example:
        >>> (
        ...     snake_case("LeaveOneOut"),
        ...     snake_case("ELBO"),
        ...     snake_case("StudentT"),
        ...     snake_case("MSSSIM"),
        ... )
        ('leave_one_out', 'elbo', 'student_t', 'msssim')
    """
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
