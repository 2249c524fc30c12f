"""Settings that change with the step: annealed weights, warm-ups, cycles."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import nn

from ..errors import ArgumentError


@dataclass(frozen=True)
class Schedule(ABC):
    """A number as a function of the step; ``settled`` is the step from which it no longer changes (``None``: it always does)."""

    @abstractmethod
    def __call__(self, step: int) -> float: ...

    @property
    @abstractmethod
    def final_schedule_step(self) -> int | None: ...


@dataclass(frozen=True)
class Constant(Schedule):
    """Always ``value``."""

    value: float

    def __call__(self, step: int) -> float:
        return self.value

    @property
    def final_schedule_step(self) -> int:
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
    def final_schedule_step(self) -> int:
        return self.steps


@dataclass(frozen=True)
class Sigmoid(Schedule):
    """From exactly ``start`` to exactly ``end`` along a logistic curve centred in the middle of ``steps``, then ``end``.

    The curve is stretched to its ends: a logistic function alone would begin a little above ``start`` and jump at the last step.

    >>> [round(Sigmoid(steps=10)(step), 4) for step in (0, 5, 10)]
    [0.0, 0.5, 1.0]
    """

    start: float = 0.0
    end: float = 1.0
    steps: int = 1000
    sharpness: float = 10.0

    def __post_init__(self) -> None:
        _check_steps(self.steps)
        if not 0 < self.sharpness <= 100:
            raise ArgumentError(
                f"`sharpness` of a schedule is {self.sharpness}; give a number above 0 and at most 100."
            )

    def __call__(self, step: int) -> float:
        if step >= self.steps:
            return self.end
        # 2 sigmoid(t) - 1 = tanh(t / 2), which is odd about the middle
        risen = math.tanh(self.sharpness / 2 * (step / self.steps - 0.5)) / math.tanh(
            self.sharpness / 4
        )
        return self.start + (self.end - self.start) * (1 + risen) / 2

    @property
    def final_schedule_step(self) -> int:
        return self.steps


@dataclass(frozen=True)
class Exponential(Schedule):
    """From ``start`` to ``end`` by the same factor at every step, then ``end``: how Jang et al. (2017) cool a temperature.

    >>> [round(Exponential(1.0, 0.25, steps=4)(step), 2) for step in (0, 2, 4, 9)]
    [1.0, 0.5, 0.25, 0.25]
    """

    start: float = 1.0
    end: float = 0.5
    steps: int = 10_000

    def __post_init__(self) -> None:
        _check_steps(self.steps)
        if not (self.start > 0 and self.end > 0):
            raise ArgumentError(
                f"`start` and `end` of an exponential schedule are {self.start} and {self.end}; give numbers above 0."
            )

    def __call__(self, step: int) -> float:
        return (
            self.end
            if step >= self.steps
            else self.start * (self.end / self.start) ** (step / self.steps)
        )

    @property
    def final_schedule_step(self) -> int:
        return self.steps


@dataclass(frozen=True)
class Cyclical(Schedule):
    """``cycles`` times: rise from ``start`` to ``end`` over the first ``rise_fraction`` share of a cycle, stay there for the rest; then ``end``.

    Fu et al., Cyclical annealing schedule (2019).

    >>> [Cyclical(steps=100, cycles=2)(step) for step in (0, 25, 49, 50, 100)]
    [0.0, 1.0, 1.0, 0.0, 1.0]
    """

    start: float = 0.0
    end: float = 1.0
    steps: int = 10_000
    cycles: int = 4
    rise_fraction: float = 0.5

    def __post_init__(self) -> None:
        _check_steps(self.steps)
        if self.cycles < 1:
            raise ArgumentError(f"`cycles` of a schedule is {self.cycles}; give at least 1.")
        if not 0 < self.rise_fraction <= 1:
            raise ArgumentError(
                f"`rise_fraction` of a schedule is {self.rise_fraction}; give the share of a cycle, above 0 and at most 1."
            )

    def __call__(self, step: int) -> float:
        if step >= self.steps:
            return self.end
        position = (step * self.cycles / self.steps) % 1.0
        return self.start + (self.end - self.start) * min(position / self.rise_fraction, 1.0)

    @property
    def final_schedule_step(self) -> int:
        return self.steps


def as_schedule(value: float | Schedule) -> Schedule:
    """A number as the schedule that never changes."""
    return value if isinstance(value, Schedule) else Constant(float(value))


class ScheduledModule(nn.Module, ABC):
    """A module with settings that follow schedules, each held as a 0-dim buffer: a number would be baked into a compiled step."""

    def __init__(self) -> None:
        super().__init__()
        self.schedules: dict[str, Schedule] = {}

    def register_schedule(self, setting: str, schedule: Schedule) -> None:
        """Hold a setting as a buffer that follows the schedule."""
        self.schedules[setting] = schedule
        self.register_buffer(setting, torch.tensor(schedule(0)), persistent=False)

    def set_step(self, step: int) -> None:
        """Set every annealed setting to its value at this step."""
        for setting, schedule in self.schedules.items():
            if schedule.final_schedule_step != 0:
                self.get_buffer(setting).fill_(schedule(step))

    @property
    def final_schedule_step(self) -> int:
        """The step from which no setting changes any more, of those that ever settle."""
        return max(
            (schedule.final_schedule_step or 0 for schedule in self.schedules.values()), default=0
        )

    @property
    def unending_schedules(self) -> tuple[str, ...]:
        """The settings whose schedule never settles."""
        return tuple(
            setting
            for setting, schedule in self.schedules.items()
            if schedule.final_schedule_step is None
        )


def endpoint_range(schedule: Schedule) -> tuple[float, float]:
    """The lower and the higher of the values that a schedule begins and ends with: all that it can be checked for at the door."""
    ends = schedule(0), schedule(schedule.final_schedule_step or 0)
    return min(ends), max(ends)


def _check_steps(steps: int) -> None:
    if steps < 1:
        raise ArgumentError(f"`steps` of a schedule is {steps}; give at least 1.")
