"""What is under test, and how a law is tried on it."""

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
    """A family as a function from ``inputs`` ``[B, *shape]`` to a distribution with batch shape ``[B]``."""

    name: str
    family: Callable[..., Distribution]
    inputs: tuple[Tensor, ...] = ()
    implicit: bool = False  # its draws are differentiated by their distribution function, not as a function of noise
    circular: bool = False  # its mean is a direction and its variance that of the circle
    eager: bool = False  # it cannot be traced, and says so

    def __call__(self, *inputs: Tensor) -> Distribution:
        return self.family(*(inputs or self.inputs))

    @property
    def parameters(self) -> list[tuple[str, nn.Parameter]]:
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
        """The same with inputs that a gradient is asked of."""
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
    """In this precision, unless it holds whole numbers by nature, as row numbers do."""
    return value.detach().to(dtype) if value.is_floating_point() else value


Law = Callable[[Subject], str | None]  # why it could not be tried, or None where it holds


@dataclass(frozen=True)
class LawReport:
    """The laws that hold, and those that could not be tried, each with the reason."""

    passed_laws: tuple[str, ...]
    skipped_laws: tuple[tuple[str, str], ...] = ()


class LawViolation(Exception):
    """What was measured and what was expected, where a law is broken."""


def expect(holds: bool | Tensor, observation: str, requirement: str) -> None:
    """Go on where this holds."""
    if not holds:
        raise LawViolation(f"{observation}; expected {requirement}")


def expect_close(
    actual: Tensor, expected: Tensor, description: str, tolerance: float, relative: float = 0.0
) -> None:
    """Go on where two tensors are equal up to a tolerance; infinities are equal to themselves."""
    close = torch.isclose(actual, expected, rtol=relative, atol=tolerance)
    away = (actual - expected)[~close].abs()
    expect(
        close.all(),
        f"{description} differ by {away.max().item() if away.numel() else 0:.3g}",
        f"at most {tolerance:.0e}",
    )


def check_laws(
    subject: Subject, laws: Mapping[str, Law], only: Sequence[str] | None = None
) -> LawReport:
    """Try the laws of a family, each on a copy of its own."""
    return run_laws(subject.name, laws, subject.clone, only)


def run_laws(
    name: str,
    laws: Mapping[str, Callable[[SubjectT], str | None]],
    build: Callable[[], SubjectT],
    only: Sequence[str] | None,
) -> LawReport:
    """Try the laws one by one, all or those named, on what ``build`` makes. Raises ``LawError`` for the first that is broken."""
    unknown = [law for law in only or () if law not in laws]
    if unknown:
        raise ArgumentError(f"`laws` holds {unknown[0]!r}; the laws are {', '.join(laws)}.")
    found = [
        (law, _run_law(name, law, laws[law], build)) for law in (laws if only is None else only)
    ]
    return LawReport(
        tuple(law for law, reason in found if reason is None),
        tuple((law, reason) for law, reason in found if reason),
    )


def _run_law(
    name: str, law: str, test: Callable[[SubjectT], str | None], build: Callable[[], SubjectT]
) -> str | None:
    says = (test.func if isinstance(test, partial) else test).__doc__ or ""
    heading = f"`{law}` ({says.partition(chr(10))[0].rstrip('.')})"
    try:
        with seed_scope(0):
            return test(build())
    except LawViolation as found:
        raise LawError(f"`{name}` breaks the law {heading}: {found}.") from None
    except AevbError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise LawError(
            f"`{name}` cannot keep the law {heading}: it ends with {type(error).__name__}: {reason}"
        ) from error


def display_name(part: object) -> str:
    """The name that it has in this library, or that of its class."""
    return NAME_BY_CLASS.get(type(part)) or (
        part.__name__ if isinstance(part, type) else type(part).__name__
    )
