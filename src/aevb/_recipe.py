"""A published method as a record of its three parts."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from .gradients import Gradient
from .models import VAE
from .objectives import Objective


@dataclass(frozen=True, kw_only=True)
class TrainingDefaults:
    """How a recipe is trained where nothing else is set.

    Args:
        steps: Number of steps.
        min_epochs: Least number of epochs.
        max_epochs: Largest number of epochs; ``None`` for no limit.
        lr: Learning rate of Adam.
        patience: Epochs without improvement after which ``aevb fit`` stops; ``None`` for no end.

    Example:
        >>> TrainingDefaults(steps=2000, max_epochs=None).epochs(steps_per_epoch=1)
        2000
        >>> TrainingDefaults().epochs(steps_per_epoch=1)
        500
    """

    steps: int = 10_000
    min_epochs: int = 20
    max_epochs: int | None = 500
    lr: float = 1.5e-3
    patience: int | None = 50

    def epochs(self, steps_per_epoch: int) -> int:
        """Return the number of epochs.

        Args:
            steps_per_epoch: Steps of an epoch.
        """
        wanted = max(self.steps // steps_per_epoch, self.min_epochs)
        return wanted if self.max_epochs is None else min(wanted, self.max_epochs)


@dataclass(frozen=True)
class Recipe:
    """The three parts of a published method: presets return a recipe, and ``fit`` takes it.

    Args:
        model: The model.
        objective: What is maximised.
        gradient: The gradient estimator.
        training: How it is trained where nothing else is set.
    """

    model: VAE
    objective: Objective
    gradient: Gradient
    training: TrainingDefaults = TrainingDefaults()

    def to(self, device: torch.device) -> Recipe:
        """Move the parts to a device, in place.

        Args:
            device: The device.

        Returns:
            The recipe with the same parts.
        """
        return replace(
            self,
            model=self.model.to(device),
            objective=self.objective.to(device),
            gradient=self.gradient.to(device),
        )

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
