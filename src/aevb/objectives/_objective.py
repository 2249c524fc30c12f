"""The base class of objectives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from torch import Tensor

from .._registry import Registration
from ..errors import ArgumentError
from ..models import VAE
from ..types import Configurable, ObjectiveValue, ParameterGroup, Terms
from ._bounds import ARITHMETIC_MEAN, PowerMean
from ._schedules import ScheduledModule

if TYPE_CHECKING:
    from ._penalised import Penalty

BoundKind = Literal["lower bound", "upper bound", "neither", "reconstruction"]


@dataclass(frozen=True, kw_only=True)
class ObjectiveRegistration(Registration):
    """What is known of an objective; ``parameters`` are the options that it takes."""

    role: ClassVar[str] = "objective"
    argument: ClassVar[str] = "objective"
    package: ClassVar[str] = "objectives"

    @property
    def kind(self) -> BoundKind:
        """The kind of bound that is reported with the default arguments."""
        return self.target.kind


@dataclass(frozen=True)
class ValidationCriterion:
    """The lower bound of ``log p(x)`` on held-out rows by which the best weights are chosen.

    Args:
        name: The name of the bound.
        mean: The mean of the log-weights that the bound is.
        samples: Number of draws per datum.
        kl_weight: Weight of the KL divergence in the arithmetic mean; with another weight than 1
            this is no bound.
    """

    name: str = "ELBO"
    mean: PowerMean = ARITHMETIC_MEAN
    samples: int = 1
    kl_weight: float = 1.0


class Objective(Configurable, ScheduledModule, ABC):
    """A map ``(terms, model) -> ObjectiveValue``: a bound to report and a target to maximise.

    Subclasses implement ``forward`` and ``name``, and set the attributes where they differ.

    Args:
        samples: Number of draws per datum, K.

    Attributes:
        kind: What the reported number is: a lower bound of ``log p(x)``, an upper bound, neither,
            or a reconstruction log-likelihood.
        target_mean: The mean over draws of ``integrand`` that the target is; ``None`` where the
            target is no function of the three log-densities of each draw. Score-function
            gradients need it.
        posterior_target_mean: The mean that the posterior maximises, where it differs.
        uses_log_weights: Whether the target is a function of the log-weights alone, as doubly
            reparameterised gradients need.
        kl: The KL divergence to use: ``"exact"`` (in closed form), ``"sampled"``, or ``"auto"``
            (in closed form where one is registered).
        metric_names: Names of the values that are logged with the bound.
        trains_likelihood: Whether the likelihood is trained, so that the ELBO of held-out rows
            tells better weights from worse.
        matches_prior: Whether a penalty matches the aggregate posterior to the prior.
        takes_weights: Whether the rows of a batch may have weights.

    Raises:
        ArgumentError: ``samples`` is below 1.
    """

    kind: BoundKind = "lower bound"
    target_mean: PowerMean | None = None
    posterior_target_mean: PowerMean | None = None
    uses_log_weights: bool = False
    kl: Literal["auto", "exact", "sampled"] = "sampled"
    metric_names: tuple[str, ...] = ()
    trains_likelihood: bool = True
    matches_prior: bool = False
    takes_weights: bool = True

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
        """What is maximised, in a few words."""
        return self.name

    @property
    def penalties(self) -> Sequence[Penalty]:
        """The penalties that the loss has beside the objective; empty for most objectives."""
        return ()

    @property
    def validation_criterion(self) -> ValidationCriterion:
        """The criterion for held-out rows: the plain ELBO, without weights and penalties."""
        return ValidationCriterion()

    @property
    def target_criterion(self) -> ValidationCriterion:
        """The criterion for held-out rows that is closest to what is maximised."""
        return self.validation_criterion

    @property
    def exact_kind(self) -> BoundKind:
        """The kind of bound where the mean is over all states instead of draws."""
        return self.kind

    @abstractmethod
    def forward(self, terms: Terms, model: VAE) -> ObjectiveValue:
        """Compute the bound and the target.

        Args:
            terms: Log-densities of K draws for each of B data.
            model: The model that the terms come from.

        Returns:
            Bound and target of shape ``[B]``, in nats per datum.
        """

    def integrand(self, terms: Terms, model: VAE) -> Tensor:
        """Compute the values of each draw whose mean is the target.

        Args:
            terms: Log-densities of K draws for each of B data.
            model: The model that the terms come from.

        Returns:
            A tensor of shape ``[K, B]``.
        """
        return terms.log_weight

    def check(self, model: VAE) -> None:
        """Check that this objective exists for the model.

        Args:
            model: The model to train.

        Raises:
            IncompatibleError: It does not; the suggestions say what to use instead.
        """

    def parameter_groups(self) -> tuple[ParameterGroup, ...]:
        """Return the objective's own parameters that have their own learning rate.

        Returns:
            Groups for the optimiser; empty for most objectives.
        """
        return ()


def check_sample_count(argument: str, count: int) -> None:
    """Raise ``ArgumentError`` for a number of draws below 1."""
    if count < 1:
        raise ArgumentError("draw at least 1 sample per datum", argument=argument, value=count)
