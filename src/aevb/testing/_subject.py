"""The part under test, and how a law is tried on it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from .._persistence import NAME_BY_CLASS
from .._random import seed_scope
from ..errors import AevbError, ArgumentError, LawError

SubjectT = TypeVar("SubjectT")


@dataclass(frozen=True)
class Subject:
    """A family as a function from inputs ``[B, *shape]`` to a distribution of batch shape ``[B]``.

    Args:
        name: The name in error messages.
        family: The function or module.
        inputs: The inputs.
        implicit: Whether draws are differentiated by their distribution function.
        circular: Whether the mean is a direction and the variance that of the circle.
        eager: Whether it cannot be traced.
    """

    name: str
    family: Callable[..., Distribution]
    inputs: tuple[Tensor, ...] = ()
    implicit: bool = False
    circular: bool = False
    eager: bool = False

    def __call__(self, *inputs: Tensor) -> Distribution:
        return self.family(*(inputs or self.inputs))

    @property
    def parameters(self) -> list[tuple[str, nn.Parameter]]:
        """The parameters of the module by name."""
        return list(self.family.named_parameters()) if isinstance(self.family, nn.Module) else []

    def clone(self, dtype: torch.dtype = torch.float64) -> Subject:
        """A copy in evaluation mode and in this precision, with inputs of its own."""
        family = (
            copy.deepcopy(self.family).to(dtype).eval()
            if isinstance(self.family, nn.Module)
            else self.family
        )
        return replace(
            self, family=family, inputs=tuple(cast_floating(value, dtype) for value in self.inputs)
        )

    def requiring_gradients(self) -> Subject:
        """The same with inputs that require a gradient."""
        return replace(
            self,
            inputs=tuple(
                value.detach().requires_grad_(value.is_floating_point()) for value in self.inputs
            ),
        )

    def row_inputs(self, index: int) -> tuple[Tensor, ...]:
        """The inputs of one datum, as a batch of one."""
        return tuple(value[index : index + 1] for value in self.inputs)


def cast_floating(value: Tensor, dtype: torch.dtype) -> Tensor:
    """Convert to this precision, unless the values are integers, as row numbers are."""
    return value.detach().to(dtype) if value.is_floating_point() else value


Law = Callable[[Subject], str | None]  # why it could not be tried, or None where it holds


@dataclass(frozen=True)
class LawReport:
    """The outcome of the laws.

    Args:
        passed_laws: Names of the laws that hold.
        skipped_laws: Pairs of a law that could not be tried, and the reason.
    """

    passed_laws: tuple[str, ...]
    skipped_laws: tuple[tuple[str, str], ...] = ()


class LawViolation(Exception):
    """A law that is broken: the observation and what was expected."""


def expect(holds: bool | Tensor, observation: str, requirement: str) -> None:
    """Raise ``LawViolation`` unless the condition holds."""
    if not holds:
        raise LawViolation(f"{observation}; expected {requirement}")


def expect_close(
    actual: Tensor, expected: Tensor, description: str, tolerance: float, relative: float = 0.0
) -> None:
    """Raise ``LawViolation`` unless two tensors are close; infinities equal themselves."""
    close = torch.isclose(actual, expected, rtol=relative, atol=tolerance)
    difference = (actual - expected)[~close].abs()
    expect(
        close.all(),
        f"{description} differ by {difference.max().item() if difference.numel() else 0:.3g}",
        f"at most {tolerance:.0e}",
    )


def check_laws(
    subject: Subject, laws: Mapping[str, Law], only: Sequence[str] | None = None
) -> LawReport:
    """Try the laws of a family, each on its own copy."""
    return run_laws(subject.name, laws, subject.clone, only)


def run_laws(
    name: str,
    laws: Mapping[str, Callable[[SubjectT], str | None]],
    build: Callable[[], SubjectT],
    only: Sequence[str] | None,
) -> LawReport:
    """Try the laws on what ``build`` returns; raise ``LawError`` for the first broken law."""
    unknown = [law for law in only or () if law not in laws]
    if unknown:
        raise ArgumentError(f"the laws are {', '.join(laws)}", argument="laws", value=unknown[0])
    results = [
        (law, _run_law(name, law, laws[law], build)) for law in (laws if only is None else only)
    ]
    return LawReport(
        tuple(law for law, reason in results if reason is None),
        tuple((law, reason) for law, reason in results if reason),
    )


def _run_law(
    name: str, law: str, test: Callable[[SubjectT], str | None], build: Callable[[], SubjectT]
) -> str | None:
    """Try one law; return why it could not be tried, or ``None`` if it holds."""
    statement = ((test.func if isinstance(test, partial) else test).__doc__ or "").partition("\n")
    heading = f"`{law}` ({statement[0][:1].lower()}{statement[0][1:].rstrip('.')})"
    try:
        with seed_scope(0):
            return test(build())
    except LawViolation as violation:
        raise LawError(f"`{name}` breaks the law {heading}: {violation}") from None
    except AevbError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise LawError(
            f"`{name}` cannot keep the law {heading}: it ends with {type(error).__name__}: {reason}"
        ) from error


def display_name(part: object) -> str:
    """The name of a part in this library, or the name of its class."""
    return NAME_BY_CLASS.get(type(part)) or (
        part.__name__ if isinstance(part, type) else type(part).__name__
    )
