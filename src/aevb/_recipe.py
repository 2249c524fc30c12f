"""A published method as a record of its three parts."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from .gradients import Gradient
from .models import VAE
from .objectives import Objective


@dataclass(frozen=True)
class Recipe:
    """The three parts of a published method: presets return a recipe, and ``fit`` takes it.

    Args:
        model: The model.
        objective: What is maximised.
        gradient: The gradient estimator.
    """

    model: VAE
    objective: Objective
    gradient: Gradient

    def to(self, device: torch.device) -> Recipe:
        """Move the parts to a device, in place.

        Args:
            device: The device.

        Returns:
            The recipe with the same parts.
        """
        return Recipe(self.model.to(device), self.objective.to(device), self.gradient.to(device))

    def plan_schedules(self, run_steps: int | None) -> None:
        """Let the schedules follow a run: fractions of it become steps.

        Schedules of the objective that would end after the run take half of it, so that its target
        is the whole one in the end.

        Args:
            run_steps: Number of steps of the run, ``None`` if it is not known.

        Raises:
            ArgumentError: A schedule is a fraction of a run of unknown length.
        """
        self.objective.plan_schedules(run_steps, shorten=True)
        self.gradient.plan_schedules(run_steps)

    def set_step(self, step: int) -> None:
        """Set all scheduled settings to their values at a step.

        Args:
            step: Number of the step, from 0.
        """
        self.objective.set_step(step)
        self.gradient.set_step(step)

    @property
    def metric_names(self) -> tuple[str, ...]:
        """Names of the metrics that a run records: those of penalties, and the KL per layer."""
        return (
            *self.objective.metric_names,
            *(f"kl_{i + 1}" for i in range(len(self.model.analytic_kl_layers))),
        )

    @property
    def final_schedule_step(self) -> int:
        """The step at which all schedules have ended."""
        return max(self.objective.final_schedule_step, self.gradient.final_schedule_step)

    @property
    def unending_schedules(self) -> tuple[str, ...]:
        """The settings whose schedules never end."""
        return (*self.objective.unending_schedules, *self.gradient.unending_schedules)
