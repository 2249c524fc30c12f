"""Settings that change with the step: annealed weights, warm-ups, cycles."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import nn

from ..errors import ArgumentError
from ..notes import Argument, Part, message


@dataclass(frozen=True)
class Schedule(ABC):
    """A number as a function of the step."""

    @abstractmethod
    def __call__(self, step: int) -> float:
        """Return the value at a step.

        Args:
            step: Number of training steps done.
        """

    @property
    @abstractmethod
    def final_schedule_step(self) -> int | None:
        """The step from which the value is constant; ``None`` if it never is."""

    def planned(self, run_steps: int | None, shorten: bool = False) -> Schedule:
        """The schedule as a run of this length follows it.

        Args:
            run_steps: Number of steps of the run, ``None`` if it is not known.
            shorten: Whether a schedule that would end after the run takes half of the run.

        Returns:
            This schedule, unless it is a fraction of the run or is shortened.

        Raises:
            ArgumentError: It is a fraction of a run of unknown length.
        """
        return self


class FiniteSchedule(Schedule):
    """Base class of schedules that take a number of steps, or a fraction of the run."""

    steps: int
    fraction: float | None

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ArgumentError(
                "a schedule has at least 1 step", argument="steps", value=self.steps
            )
        if self.fraction is not None and not 0 < self.fraction <= 1:
            raise ArgumentError(
                "give the share of the run, above 0 and at most 1",
                argument="fraction",
                value=self.fraction,
            )

    @property
    def final_schedule_step(self) -> int:
        return self.steps

    def planned(self, run_steps: int | None, shorten: bool = False) -> Self:
        if self.fraction is not None:
            if run_steps is None:
                raise ArgumentError(
                    "a fraction of the run needs a known number of steps",
                    argument="fraction",
                    value=self.fraction,
                    suggestions=(
                        message("Give {epochs}", epochs=Argument("epochs")),
                        message(
                            "Give the schedule a number of steps, {schedule}",
                            schedule=Part("objectives.Linear", {"steps": 1000}),
                        ),
                    ),
                )
            return replace(self, steps=max(round(self.fraction * run_steps), 1))
        if shorten and run_steps is not None and self.steps > run_steps:
            return replace(self, steps=max(run_steps // 2, 1))
        return self


@dataclass(frozen=True)
class Constant(Schedule):
    """The same value at every step.

    Args:
        value: The value.
    """

    value: float

    def __call__(self, step: int) -> float:
        return self.value

    @property
    def final_schedule_step(self) -> int:
        return 0


@dataclass(frozen=True)
class Linear(FiniteSchedule):
    """From ``start`` to ``end`` along a line, then ``end``: the KL warm-up of Bowman et al. (2016).

    Args:
        start: The value at step 0.
        end: The value from step ``steps`` on.
        steps: Number of steps between the two.
        fraction: Share of the steps of the run, in place of ``steps``.

    Raises:
        ArgumentError: ``steps`` is below 1, or ``fraction`` outside (0, 1].

    Example:
        >>> [Linear(steps=4)(step) for step in (0, 2, 9)]
        [0.0, 0.5, 1.0]
        >>> Linear(fraction=0.2).planned(500).steps
        100
    """

    start: float = 0.0
    end: float = 1.0
    steps: int = 1000
    fraction: float | None = None

    def __call__(self, step: int) -> float:
        return self.start + (self.end - self.start) * min(step / self.steps, 1.0)


@dataclass(frozen=True)
class Sigmoid(FiniteSchedule):
    """From exactly ``start`` to exactly ``end`` along a logistic curve, then ``end``.

    The curve is centred in the middle of ``steps`` and stretched to its ends: a logistic function
    alone would begin a little above ``start`` and jump at the last step.

    Args:
        start: The value at step 0.
        end: The value from step ``steps`` on.
        steps: Number of steps between the two.
        sharpness: Range of the logistic function's argument; larger values rise more abruptly.
        fraction: Share of the steps of the run, in place of ``steps``.

    Raises:
        ArgumentError: ``steps`` is below 1, ``sharpness`` outside (0, 100], or ``fraction`` outside
            (0, 1].

    Example:
        >>> [round(Sigmoid(steps=10)(step), 4) for step in (0, 5, 10)]
        [0.0, 0.5, 1.0]
    """

    start: float = 0.0
    end: float = 1.0
    steps: int = 1000
    sharpness: float = 10.0
    fraction: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.sharpness <= 100:
            raise ArgumentError(
                "give a number above 0 and at most 100", argument="sharpness", value=self.sharpness
            )

    def __call__(self, step: int) -> float:
        if step >= self.steps:
            return self.end
        # 2 sigmoid(t) - 1 = tanh(t / 2), which is odd about the middle
        risen = math.tanh(self.sharpness / 2 * (step / self.steps - 0.5)) / math.tanh(
            self.sharpness / 4
        )
        return self.start + (self.end - self.start) * (1 + risen) / 2


@dataclass(frozen=True)
class Exponential(FiniteSchedule):
    """From ``start`` to ``end`` by the same factor at every step, then ``end``.

    Jang et al. (2017) lower a temperature in this way.

    Args:
        start: The value at step 0, positive.
        end: The value from step ``steps`` on, positive.
        steps: Number of steps between the two.
        fraction: Share of the steps of the run, in place of ``steps``.

    Raises:
        ArgumentError: ``steps`` is below 1, ``start`` or ``end`` is not positive, or ``fraction``
            is outside (0, 1].

    Example:
        >>> [round(Exponential(1.0, 0.25, steps=4)(step), 2) for step in (0, 2, 4, 9)]
        [1.0, 0.5, 0.25, 0.25]
    """

    start: float = 1.0
    end: float = 0.5
    steps: int = 10_000
    fraction: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for argument, value in (("start", self.start), ("end", self.end)):
            if not value > 0:
                raise ArgumentError("give a number above 0", argument=argument, value=value)

    def __call__(self, step: int) -> float:
        return (
            self.end
            if step >= self.steps
            else self.start * (self.end / self.start) ** (step / self.steps)
        )


@dataclass(frozen=True)
class Cyclical(FiniteSchedule):
    """Rise from ``start`` to ``end`` several times, then ``end``: Fu et al. (2019).

    Args:
        start: The value at the start of each cycle.
        end: The value after the rise in each cycle, and after the last cycle.
        steps: Number of steps of all cycles.
        cycles: Number of cycles.
        rise_fraction: Share of a cycle in which the value rises; it is constant in the rest.
        fraction: Share of the steps of the run, in place of ``steps``.

    Raises:
        ArgumentError: ``steps`` or ``cycles`` is below 1, or a fraction is outside (0, 1].

    Example:
        >>> [Cyclical(steps=100, cycles=2)(step) for step in (0, 25, 49, 50, 100)]
        [0.0, 1.0, 1.0, 0.0, 1.0]
    """

    start: float = 0.0
    end: float = 1.0
    steps: int = 10_000
    cycles: int = 4
    rise_fraction: float = 0.5
    fraction: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.cycles < 1:
            raise ArgumentError(
                "a schedule has at least 1 cycle", argument="cycles", value=self.cycles
            )
        if not 0 < self.rise_fraction <= 1:
            raise ArgumentError(
                "give the share of a cycle, above 0 and at most 1",
                argument="rise_fraction",
                value=self.rise_fraction,
            )

    def __call__(self, step: int) -> float:
        if step >= self.steps:
            return self.end
        position = (step * self.cycles / self.steps) % 1.0
        return self.start + (self.end - self.start) * min(position / self.rise_fraction, 1.0)


def as_schedule(value: float | Schedule) -> Schedule:
    """Return a number as a constant schedule, and a schedule unchanged."""
    return value if isinstance(value, Schedule) else Constant(float(value))


class ScheduledModule(nn.Module, ABC):
    """A module with settings that follow schedules.

    Each setting is a 0-dim buffer: a Python number would be a constant of a compiled step.
    """

    def __init__(self) -> None:
        super().__init__()
        self.schedules: dict[str, Schedule] = {}
        self.given_schedules: dict[str, Schedule] | None = None  # before a run planned them
        # steps of shortened schedules, as given and as planned
        self.shortened_schedules: dict[str, tuple[int, int]] = {}

    def register_schedule(self, setting: str, schedule: Schedule) -> None:
        """Register a setting as a buffer that follows a schedule.

        Args:
            setting: The name of the buffer.
            schedule: The values of the setting.
        """
        self.schedules[setting] = schedule
        self.register_buffer(setting, torch.tensor(schedule(0)), persistent=False)

    def plan_schedules(self, run_steps: int | None, shorten: bool = False) -> None:
        """Let the schedules follow a run, as ``Schedule.planned`` says.

        Args:
            run_steps: Number of steps of the run, ``None`` if it is not known.
            shorten: Whether schedules that would end after the run are shortened.

        Raises:
            ArgumentError: A schedule is a fraction of a run of unknown length.
        """
        if self.given_schedules is None:
            self.given_schedules = self.schedules
        whole = {name: each.planned(run_steps) for name, each in self.given_schedules.items()}
        self.schedules = {name: each.planned(run_steps, shorten) for name, each in whole.items()}
        self.shortened_schedules = {
            name: (whole[name].final_schedule_step or 0, each.final_schedule_step or 0)
            for name, each in self.schedules.items()
            if each != whole[name]
        }

    def set_step(self, step: int) -> None:
        """Set every scheduled setting to its value at a step.

        Args:
            step: Number of training steps done.
        """
        for setting, schedule in self.schedules.items():
            if schedule.final_schedule_step != 0:
                self.get_buffer(setting).fill_(schedule(step))

    @property
    def final_schedule_step(self) -> int:
        """The step from which all settings that become constant are."""
        return max(
            (schedule.final_schedule_step or 0 for schedule in self.schedules.values()), default=0
        )

    @property
    def unending_schedules(self) -> tuple[str, ...]:
        """The settings that never become constant."""
        return tuple(
            setting
            for setting, schedule in self.schedules.items()
            if schedule.final_schedule_step is None
        )


def endpoint_range(schedule: Schedule) -> tuple[float, float]:
    """Return the lower and the higher of the first and the last value of a schedule."""
    ends = schedule(0), schedule(schedule.final_schedule_step or 0)
    return min(ends), max(ends)
