"""The register of parts: likelihoods, objectives, presets and others, registered where defined.

Documentation tables, ``--help``, ``aevb presets``, defaults and refusals read this register.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self, TypeVar

from .errors import ArgumentError, IncompatibleError, one_of
from .notes import Text

Target = TypeVar("Target", bound=Callable[..., Any])
_MOST_SUGGESTIONS = 12  # longer lists are names without the argument


@dataclass(frozen=True, kw_only=True)
class Registration:
    """Description of a part; each role adds fields in a subclass.

    Args:
        title: Name in a sentence; the class name by default.
        paper: Author and year of the publication, if any.
        use_when: When to use the part: one line without a full stop.
        cost: Cost compared with the default.
        avoid_when: When another part is better.
        name: Name on the command line; the class name in snake case by default.
        target: The class or function; set by ``register``.
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
    def buildable(cls) -> Mapping[str, Self]:
        """The parts that can be built by name, by name."""
        return cls.all()

    @classmethod
    def find(cls, name: str) -> Self:
        """The part with this name.

        Args:
            name: The registered name; case does not matter and hyphens equal underscores.

        Raises:
            ArgumentError: No part has this name; the error suggests the nearest name, or lists
                those that can be built by name.
        """
        known, key = cls.all(), str(name).lower().replace("-", "_")
        if key not in known:
            names = list(cls.buildable())
            near = difflib.get_close_matches(key, names, 1)
            listed = near or (names if len(names) <= _MOST_SUGGESTIONS else [])
            raise ArgumentError(
                "this is not known" if listed else f"this is not one of {', '.join(names)}",
                argument=cls.argument,
                value=name,
                suggestions=(one_of(cls.argument, listed),) if listed else (),
            )
        return known[key]

    @classmethod
    def of(cls, target: Any) -> Self | None:
        """The registration of a class or function, ``None`` if it is not registered."""
        return next((entry for entry in cls.all().values() if entry.target is target), None)

    @property
    def parameters(self) -> Mapping[str, inspect.Parameter]:
        """The arguments of the class or function, by name."""
        open_ended = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        build = self.target.__init__ if inspect.isclass(self.target) else self.target
        return {
            name: parameter
            for name, parameter in inspect.signature(build).parameters.items()
            if name not in ("self", "spec") and parameter.kind not in open_ended
        }

    @property
    def needs_arguments(self) -> bool:
        """Whether an argument has no default, so that the name alone does not build the part."""
        return any(
            parameter.default is inspect.Parameter.empty for parameter in self.parameters.values()
        )


@dataclass(frozen=True, kw_only=True)
class FamilyRegistration(Registration):
    """Description of a family of distributions that can be built by name.

    Args:
        fixed: Arguments that the name implies, such as ``{"kind": "iaf"}``.
        defaults: Arguments that replace the defaults of the class where the caller sets none.
        needs: What the family needs beyond the arguments of ``build``; families that need
            something are not built by name.
        instead: What to use instead of a family that is not built by name.
    """

    supplied: ClassVar[tuple[str, ...]]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    needs: str = ""
    instead: Text = ""

    @classmethod
    def buildable(cls) -> dict[str, Self]:
        """The families that need nothing but a name and options."""
        return {name: entry for name, entry in cls.all().items() if not entry.needs}

    @property
    def options(self) -> tuple[str, ...]:
        """Names of the keyword options of the family."""
        return tuple(
            name for name in self.parameters if name not in self.supplied and name not in self.fixed
        )

    def check(self, **options: Any) -> None:
        """Check that the family can be built by name with these options.

        Raises:
            IncompatibleError: The family needs more than a name and options.
            ArgumentError: The family has no option of one of these names.
        """
        if self.needs:
            raise IncompatibleError(
                f"this family needs {self.needs}",
                argument=self.argument,
                value=self.name,
                suggestions=(self.instead,) if self.instead else (),
            )
        for name, value in options.items():
            if name not in self.options:
                listed = ", ".join(self.options) or "none"
                raise ArgumentError(
                    f"the {self.role} {self.name!r} has no such option; its options: {listed}",
                    argument=name,
                    value=value,
                )

    def build(self, supplied: Mapping[str, Any], options: Mapping[str, Any]) -> Any:
        """Build the family.

        Args:
            supplied: Arguments from the model; those that the family does not take are left out.
            options: Arguments from the caller.

        Raises:
            IncompatibleError: The family needs more than a name and options.
            ArgumentError: The family has no such option, or an option has a wrong value.
        """
        self.check(**options)
        taken = {name: value for name, value in supplied.items() if name in self.parameters}
        return self.target(**{**taken, **self.defaults, **self.fixed, **options})


_REGISTER: dict[str, dict[str, Any]] = {}


def register(entry: Registration) -> Callable[[Target], Target]:
    """Register the decorated class or function.

    Args:
        entry: Its description; ``target`` is set here.
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
    """Convert the name of a class to the form that arguments use.

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
