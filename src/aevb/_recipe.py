"""A published method."""

from __future__ import annotations

from dataclasses import dataclass

from .gradients import Gradient
from .models import VAE
from .objectives import Objective


@dataclass(frozen=True)
class Recipe:
    """The three arguments that a published method comes down to: what a preset returns and ``fit`` takes."""

    model: VAE
    objective: Objective
    gradient: Gradient

    def set_step(self, step: int) -> None:
        """Set everything that follows a schedule to its value at this step."""
        self.objective.set_step(step)
        self.gradient.set_step(step)

    @property
    def metric_names(self) -> tuple[str, ...]:
        """The names of what is logged beside bound, divergence and fit: what penalties measure, and the divergence of each layer."""
        return (
            *self.objective.metric_names,
            *(f"kl_{i + 1}" for i in range(len(self.model.analytic_kl_layers))),
        )

    @property
    def final_schedule_step(self) -> int:
        """The step from which nothing follows a schedule any more."""
        return max(self.objective.final_schedule_step, self.gradient.final_schedule_step)

    @property
    def unending_schedules(self) -> tuple[str, ...]:
        """The settings that never come to rest."""
        return (*self.objective.unending_schedules, *self.gradient.unending_schedules)
