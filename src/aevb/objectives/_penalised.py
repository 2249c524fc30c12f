"""An objective with penalties: functions of a batch, of the decoder, or of a critic."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from .._registry import Registration, register
from ..errors import ArgumentError, IncompatibleError
from ..models import VAE
from ..notes import Part, message
from ..types import Configurable, ObjectiveValue, ParameterGroup, Terms
from ._objective import Objective, ObjectiveRegistration, ValidationCriterion
from ._schedules import Schedule, ScheduledModule, as_schedule, endpoint_range


@dataclass(frozen=True, kw_only=True)
class PenaltyRegistration(Registration):
    """What is known of a penalty.

    Args:
        objective: The objective that it is usually added to, as code.
    """

    role: ClassVar[str] = "penalty"
    argument: ClassVar[str] = "penalty"
    package: ClassVar[str] = "objectives"
    objective: str = ""


@dataclass(frozen=True)
class PenaltyTerm:
    """The values of a penalty for one batch.

    Args:
        values: What the penalty measures, ``[]`` each, in the order of its weights.
        critic_losses: Losses of its own critic, ``[]`` each, without a gradient in the model.
    """

    values: tuple[Tensor, ...]
    critic_losses: tuple[Tensor, ...] = ()


class Penalty(Configurable, ScheduledModule, ABC):
    """A map ``(terms, model) -> PenaltyTerm``: values that are logged and added to the loss.

    Values are means over the batch, so that a weight means the same for every batch size, and
    differentiable through the draws. ``metric_names`` are the names under which they are logged.

    Args:
        **weights: Weights of the values by the name of each value, numbers or schedules.

    Attributes:
        matches_prior: Whether it matches the aggregate posterior to the prior.
        takes_weights: Whether its means over rows are ``Batch.mean``, so that rows may have
            weights.
    """

    matches_prior: bool = False
    takes_weights: bool = False

    def __init__(self, **weights: float | Schedule) -> None:
        super().__init__()
        for measure, weight in weights.items():
            self.register_schedule(measure, as_schedule(weight))
        self.metric_names = tuple(weights)

    @abstractmethod
    def forward(self, terms: Terms, model: VAE) -> PenaltyTerm:
        """Compute what the penalty measures.

        Args:
            terms: Log-densities and draws for a batch.
            model: The model that the terms come from.

        Returns:
            One value for each weight.
        """

    def weighted_total(self, term: PenaltyTerm) -> Tensor:
        """Add the weighted values and the critics' losses.

        Args:
            term: What ``forward`` returned.

        Returns:
            A tensor of shape ``[]``.
        """
        parts = [
            self.get_buffer(measure) * value
            for measure, value in zip(self.schedules, term.values, strict=True)
        ]
        return torch.stack([*parts, *term.critic_losses]).sum()

    def check(self, model: VAE) -> None:
        """Check that this penalty exists for the model.

        Args:
            model: The model to train.

        Raises:
            IncompatibleError: It does not; the suggestions say what to use instead.
        """

    def parameter_groups(self) -> tuple[ParameterGroup, ...]:
        """Return the penalty's own parameters that have their own learning rate.

        Returns:
            Groups for the optimiser; empty for most penalties.
        """
        return ()


@register(
    ObjectiveRegistration(
        use_when="penalties or critics are added to another objective",
        avoid_when="the gradient is not `Pathwise`",
    )
)
class Penalised(Objective):
    """An objective with penalties: the loss is ``-objective + sum_i w_i penalty_i``.

    Bound and target are those of the objective. The unweighted values of the penalties are kept in
    the history under the names in ``metric_names``. Penalties are differentiated through the draws:
    ``gradients.Pathwise`` fits, gradients that treat each datum separately do not.
    ``fit(micro_batches=...)`` shows a penalty one part of the batch at a time.

    Args:
        objective: The objective.
        penalties: At least one penalty.

    Raises:
        ArgumentError: ``penalties`` is empty.
        IncompatibleError: The objective has a separate target for the posterior.

    Example:
        >>> from aevb import objectives
        >>> objective = Penalised(objectives.Reconstruction(), [objectives.MMD(weight=10.0)])
        >>> objective.name, objective.metric_names
        ('reconstruction log-likelihood', ('mmd',))
    """

    def __init__(self, objective: Objective, penalties: Sequence[Penalty]) -> None:
        super().__init__(objective.samples)
        if not penalties:
            raise ArgumentError(
                "give at least one, or use the objective without `Penalised`",
                argument="penalties",
                value=penalties,
            )
        if objective.posterior_target_mean is not None:
            raise IncompatibleError(
                "`objectives.Penalised` has one target, and in "
                f"`objectives.{type(objective).__name__}` the posterior has a target of its own",
                argument="objective",
                suggestions=(
                    message(
                        "Use {miwae} or {iwae}",
                        miwae=Part("objectives.MIWAE"),
                        iwae=Part("objectives.IWAE"),
                    ),
                ),
            )
        self.objective = objective
        self._modules["penalties"] = nn.ModuleList(penalties)  # which a property reads
        self.kind, self.kl, self.trains_likelihood = (
            objective.kind,
            objective.kl,
            objective.trains_likelihood,
        )
        self.matches_prior = any(part.matches_prior for part in (objective, *penalties))
        self.takes_weights = all(part.takes_weights for part in (objective, *penalties))
        self.metric_names = _number_duplicates(
            [
                *objective.metric_names,
                *(measure for penalty in penalties for measure in penalty.metric_names),
            ]
        )
        parts = {"objective": objective} | {
            f"penalties.{i}": penalty for i, penalty in enumerate(penalties)
        }
        self.schedules = {
            f"{name}.{setting}": schedule
            for name, part in parts.items()
            for setting, schedule in part.schedules.items()
        }

    @property
    def name(self) -> str:
        return self.objective.name

    @property
    def penalties(self) -> Sequence[Penalty]:
        return cast(Sequence[Penalty], self._modules["penalties"])

    @property
    def summary(self) -> str:
        names = " and ".join(type(penalty).__name__ for penalty in self.penalties)
        return f"{self.objective.summary} with {names}"

    @property
    def validation_criterion(self) -> ValidationCriterion:
        return self.objective.validation_criterion

    def forward(self, terms: Terms, model: VAE) -> ObjectiveValue:
        value = self.objective(terms, model)
        penalty_terms = [penalty(terms, model) for penalty in self.penalties]
        totals = [
            penalty.weighted_total(term)
            for penalty, term in zip(self.penalties, penalty_terms, strict=True)
        ]
        metric_values = [
            metric.detach()
            for term in penalty_terms
            for metric in (*term.values, *term.critic_losses)
        ]
        return replace(
            value,
            penalty=value.penalty + torch.stack(totals).sum(),
            metric_values=(*value.metric_values, *metric_values),
        )

    def check(self, model: VAE) -> None:
        for part in (self.objective, *self.penalties):
            part.check(model)

    def parameter_groups(self) -> tuple[ParameterGroup, ...]:
        return tuple(
            group for part in (self.objective, *self.penalties) for group in part.parameter_groups()
        )


def check_non_negative(**weights: float | Schedule) -> None:
    """Raise ``ArgumentError`` for a weight that begins or ends below 0."""
    for argument, weight in weights.items():
        value = endpoint_range(as_schedule(weight))[0]
        if not (value >= 0 and math.isfinite(value)):
            raise ArgumentError("give 0 or more", argument=argument, value=value)


def _number_duplicates(names: Sequence[str]) -> tuple[str, ...]:
    """Number equal names from the second one on.

    Example:
        >>> _number_duplicates(["mmd", "code_norm", "mmd"])
        ('mmd', 'code_norm', 'mmd_2')
    """
    counts = [names[: i + 1].count(name) for i, name in enumerate(names)]
    return tuple(
        name if count == 1 else f"{name}_{count}" for name, count in zip(names, counts, strict=True)
    )
