"""What an objective is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from ..errors import ArgumentError
from ..models import VAE
from ..types import Configurable, ObjectiveValue, ParameterGroup, Terms
from ._bounds import ARITHMETIC_MEAN, PowerMean
from ._schedules import ScheduledModule

BoundKind = Literal["lower bound", "upper bound", "neither", "reconstruction"]


@dataclass(frozen=True)
class ValidationCriterion:
    """The lower bound of ``log p(x)`` by which held-out rows choose the weights: ``mean`` of the log-weights of so many draws."""

    name: str = "ELBO"
    mean: PowerMean = ARITHMETIC_MEAN
    samples: int = 1


class Objective(Configurable, ScheduledModule, ABC):
    """``(terms, model) -> ObjectiveValue``: the bound that is reported under the name of its ``kind``, and the target that is climbed.

    ``mean`` says which mean over the draws of ``integrand`` the target is, or ``None`` where it is no function of the three log-densities
    of each draw; score-function gradients need one. ``posterior_target_mean`` is the mean that the posterior climbs where it is another one.
    ``importance`` says that the target is a function of the log-weights alone, as doubly reparameterised gradients need. ``kl`` asks for
    the exact divergence, the sampled one, or whichever is there.
    """

    kind: BoundKind = "lower bound"
    target_mean: PowerMean | None = None
    posterior_target_mean: PowerMean | None = None
    uses_log_weights: bool = False
    kl: Literal["auto", "exact", "sampled"] = "sampled"
    metric_names: tuple[str, ...] = ()  # the names of what is logged beside the bound
    trains_likelihood: bool = True  # whether the likelihood is trained, so that the ELBO of held-out rows tells better weights from worse

    def __init__(self, samples: int) -> None:
        super().__init__()
        check_sample_count("samples", samples)
        self.samples = samples

    @property
    @abstractmethod
    def name(self) -> str:
        """The name under which the bound is printed."""

    @property
    def summary(self) -> str:
        """What is climbed, in a few words."""
        return self.name

    @property
    def validation_criterion(self) -> ValidationCriterion:
        """What held-out rows are scored by: the plain ELBO, whatever weighs or penalises the one that is climbed."""
        return ValidationCriterion()

    @property
    def exact_kind(self) -> BoundKind:
        """What the bound is where the mean over draws is exact: over all states, not over samples."""
        return self.kind

    @abstractmethod
    def forward(self, terms: Terms, model: VAE) -> ObjectiveValue: ...

    def integrand(self, terms: Terms, model: VAE) -> Tensor:
        """``h`` ``[K, B]``, whose mean is the target."""
        return terms.log_weight

    def check(self, model: VAE) -> None:
        """Raise ``IncompatibleError``, with the line to write instead, where this objective does not exist for the model."""

    def parameter_groups(self) -> tuple[ParameterGroup, ...]:
        """Those of its own parameters that learn at another rate than the model's."""
        return ()


def check_sample_count(name: str, count: int) -> None:
    """Refuse a number of draws that is none."""
    if count < 1:
        raise ArgumentError(f"`{name}` is {count}; draw at least 1 sample per datum.")
