"""What an objective is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

import torch
from torch import Tensor, nn

from ..errors import ArgumentError
from ..models import VAE
from ..types import Recorded, Score, Terms
from .schedules import Schedule

Kind = Literal["lower bound", "upper bound", "neither", "reconstruction"]


class Objective(Recorded, nn.Module, ABC):
    """``(terms, model) -> Score``: the bound that is reported under the name of its ``kind``, and the target that is climbed.

    ``power`` says which power mean of ``integrand`` the target is, or ``None`` where it is no function of the three log-densities of
    each draw; score-function gradients need one. ``importance`` says that it is a function of the log-weights alone, as doubly
    reparameterised gradients need. ``kl`` asks for the exact divergence, the sampled one, or whichever is there.
    """

    kind: Kind = "lower bound"
    power: float | None = None
    importance: bool = False
    kl: Literal["auto", "exact", "sampled"] = "sampled"

    def __init__(self, samples: int) -> None:
        super().__init__()
        if samples < 1:
            raise ArgumentError(f"`samples` is {samples}; draw at least 1 sample per datum.")
        self.samples = samples
        self.schedules: dict[str, Schedule] = {}

    @property
    @abstractmethod
    def name(self) -> str:
        """The name under which the bound is printed."""

    @abstractmethod
    def forward(self, terms: Terms, model: VAE) -> Score: ...

    def integrand(self, terms: Terms, model: VAE) -> Tensor:
        """``h`` ``[K, B]``, whose power mean is the target."""
        return terms.log_weight

    def anneal(self, setting: str, schedule: Schedule) -> None:
        """Hold a setting as a 0-dim buffer that follows the schedule: a number would be baked into a compiled step."""
        self.schedules[setting] = schedule
        self.register_buffer(setting, torch.tensor(schedule(0)), persistent=False)

    def at(self, step: int) -> None:
        """Set every annealed setting to its value at this step."""
        for setting, schedule in self.schedules.items():
            if schedule.settled != 0:
                self.get_buffer(setting).fill_(schedule(step))

    @property
    def settled(self) -> int:
        """The step from which no setting changes any more."""
        return max((schedule.settled or 0 for schedule in self.schedules.values()), default=0)
