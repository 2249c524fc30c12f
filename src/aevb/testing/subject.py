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

from ..errors import AevbError, ArgumentError, LawError
from ..persistence import NAMES
from ..random import seeded

Made = TypeVar("Made")


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

    def twin(self, dtype: torch.dtype = torch.float64) -> Subject:
        """A copy in evaluation mode and in this precision, with inputs of its own."""
        family = copy.deepcopy(self.family).to(dtype).eval() if isinstance(self.family, nn.Module) else self.family
        return replace(self, family=family, inputs=tuple(narrowed(value, dtype) for value in self.inputs))

    def asking(self) -> Subject:
        """The same with inputs that a gradient is asked of."""
        return replace(self, inputs=tuple(value.detach().requires_grad_(value.is_floating_point()) for value in self.inputs))

    def row(self, index: int) -> tuple[Tensor, ...]:
        """The inputs of one datum, as a batch of one."""
        return tuple(value[index : index + 1] for value in self.inputs)


def narrowed(value: Tensor, dtype: torch.dtype) -> Tensor:
    """In this precision, unless it holds whole numbers by nature, as row numbers do."""
    return value.detach().to(dtype) if value.is_floating_point() else value


Law = Callable[[Subject], str | None]  # why it could not be tried, or None where it holds


@dataclass(frozen=True)
class Checked:
    """The laws that hold, and those that could not be tried, each with the reason."""

    held: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...] = ()


class Broken(Exception):
    """What was measured and what was expected, where a law is broken."""


def expect(held: bool | Tensor, measured: str, expected: str) -> None:
    """Go on where this holds."""
    if not held:
        raise Broken(f"{measured}; expected {expected}")


def agree(mine: Tensor, theirs: Tensor, measured: str, tolerance: float, relative: float = 0.0) -> None:
    """Go on where two tensors are equal up to a tolerance; infinities are equal to themselves."""
    close = torch.isclose(mine, theirs, rtol=relative, atol=tolerance)
    away = (mine - theirs)[~close].abs()
    expect(close.all(), f"{measured} differ by {away.max().item() if away.numel() else 0:.3g}", f"at most {tolerance:.0e}")


def obey(subject: Subject, laws: Mapping[str, Law], only: Sequence[str] | None = None) -> Checked:
    """Try the laws of a family, each on a copy of its own."""
    return tried(subject.name, laws, subject.twin, only)


def tried(name: str, laws: Mapping[str, Callable[[Made], str | None]], build: Callable[[], Made], only: Sequence[str] | None) -> Checked:
    """Try the laws one by one, all or those named, on what ``build`` makes. Raises ``LawError`` for the first that is broken."""
    unknown = [law for law in only or () if law not in laws]
    if unknown:
        raise ArgumentError(f"`laws` holds {unknown[0]!r}; the laws are {', '.join(laws)}.")
    found = [(law, _one(name, law, laws[law], build)) for law in (laws if only is None else only)]
    return Checked(tuple(law for law, reason in found if reason is None), tuple((law, reason) for law, reason in found if reason))


def _one(name: str, law: str, test: Callable[[Made], str | None], build: Callable[[], Made]) -> str | None:
    says = (test.func if isinstance(test, partial) else test).__doc__ or ""
    heading = f"`{law}` ({says.partition(chr(10))[0].rstrip('.')})"
    try:
        with seeded(0):
            return test(build())
    except Broken as found:
        raise LawError(f"`{name}` breaks the law {heading}: {found}.") from None
    except AevbError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise LawError(f"`{name}` cannot keep the law {heading}: it ends with {type(error).__name__}: {reason}") from error


def named(part: object) -> str:
    """The name that it has in this library, or that of its class."""
    return NAMES.get(type(part)) or (part.__name__ if isinstance(part, type) else type(part).__name__)
