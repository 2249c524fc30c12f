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

    def at(self, step: int) -> None:
        """Set everything that follows a schedule to its value at this step."""
        self.objective.at(step)
        self.gradient.at(step)

    @property
    def measures(self) -> tuple[str, ...]:
        """The names of what is logged beside bound, divergence and fit: what penalties measure, and the divergence of each layer."""
        return (*self.objective.measures, *(f"kl_{i + 1}" for i in range(len(self.model.formulas))))

    @property
    def settled(self) -> int:
        """The step from which nothing follows a schedule any more."""
        return max(self.objective.settled, self.gradient.settled)

    @property
    def restless(self) -> tuple[str, ...]:
        """The settings that never come to rest."""
        return (*self.objective.restless, *self.gradient.restless)
