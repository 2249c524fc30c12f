"""Settings that change with the step: annealed weights, warm-ups, cycles."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

from ..errors import ArgumentError


@dataclass(frozen=True)
class Schedule(ABC):
    """A number as a function of the step; ``settled`` is the step from which it no longer changes (``None``: it always does)."""

    @abstractmethod
    def __call__(self, step: int) -> float: ...

    @property
    @abstractmethod
    def settled(self) -> int | None: ...


@dataclass(frozen=True)
class Constant(Schedule):
    """Always ``value``."""

    value: float

    def __call__(self, step: int) -> float:
        return self.value

    @property
    def settled(self) -> int:
        return 0


@dataclass(frozen=True)
class Linear(Schedule):
    """From ``start`` to ``end`` in ``steps`` steps, then ``end``. Bowman et al. (2016) warm the KL up like this.

    >>> [Linear(steps=4)(step) for step in (0, 2, 9)]
    [0.0, 0.5, 1.0]
    """

    start: float = 0.0
    end: float = 1.0
    steps: int = 1000

    def __post_init__(self) -> None:
        _check_steps(self.steps)

    def __call__(self, step: int) -> float:
        return self.start + (self.end - self.start) * min(step / self.steps, 1.0)

    @property
    def settled(self) -> int:
        return self.steps


@dataclass(frozen=True)
class Sigmoid(Schedule):
    """From ``start`` to ``end`` along a logistic curve centred in the middle of ``steps``, then exactly ``end``.

    >>> Sigmoid(steps=10)(5), Sigmoid(steps=10)(10)
    (0.5, 1.0)
    """

    start: float = 0.0
    end: float = 1.0
    steps: int = 1000
    sharpness: float = 10.0

    def __post_init__(self) -> None:
        _check_steps(self.steps)

    def __call__(self, step: int) -> float:
        if step >= self.steps:
            return self.end
        return self.start + (self.end - self.start) / (1 + math.exp(-self.sharpness * (step / self.steps - 0.5)))

    @property
    def settled(self) -> int:
        return self.steps


@dataclass(frozen=True)
class Cyclical(Schedule):
    """``cycles`` times: rise from ``start`` to ``end`` over the first ``rising`` share of a cycle, stay there for the rest; then ``end``.

    Fu et al., Cyclical annealing schedule (2019).

    >>> [Cyclical(steps=100, cycles=2)(step) for step in (0, 25, 49, 50, 100)]
    [0.0, 1.0, 1.0, 0.0, 1.0]
    """

    start: float = 0.0
    end: float = 1.0
    steps: int = 10_000
    cycles: int = 4
    rising: float = 0.5

    def __post_init__(self) -> None:
        _check_steps(self.steps)
        if self.cycles < 1:
            raise ArgumentError(f"`cycles` of a schedule is {self.cycles}; give at least 1.")
        if not 0 < self.rising <= 1:
            raise ArgumentError(f"`rising` of a schedule is {self.rising}; give the share of a cycle, above 0 and at most 1.")

    def __call__(self, step: int) -> float:
        if step >= self.steps:
            return self.end
        position = (step * self.cycles / self.steps) % 1.0
        return self.start + (self.end - self.start) * min(position / self.rising, 1.0)

    @property
    def settled(self) -> int:
        return self.steps


def as_schedule(value: float | Schedule) -> Schedule:
    """A number as the schedule that never changes."""
    return value if isinstance(value, Schedule) else Constant(float(value))


def _check_steps(steps: int) -> None:
    if steps < 1:
        raise ArgumentError(f"`steps` of a schedule is {steps}; give at least 1.")
