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
