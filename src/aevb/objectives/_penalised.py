"""An objective with something added that is a property of a whole batch, of the decoder, or of a critic's opinion."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ..errors import ArgumentError, IncompatibleError
from ..models import VAE
from ..types import Configurable, ObjectiveValue, ParameterGroup, Terms
from ._objective import Objective, ValidationCriterion
from ._schedules import Schedule, ScheduledModule, as_schedule, endpoint_range


@dataclass(frozen=True)
class PenaltyTerm:
    """What a penalty asks for, per batch."""

    values: tuple[Tensor, ...]  # [] each, in the order of the penalty's weights: what it measures
    critic_losses: tuple[
        Tensor, ...
    ] = ()  # [], what a critic of its own is to descend; the model's gradient in it is 0


class Penalty(Configurable, ScheduledModule, ABC):
    """``(terms, model) -> PenaltyTerm``: values that are logged, and added times their weights to what is descended.

    Values are means over the batch, so that a weight means the same for every batch size, and differentiable through the draws. Weights
    may follow schedules. The names of what is logged are in ``measures``.
    """

    def __init__(self, **weights: float | Schedule) -> None:
        super().__init__()
        for measure, weight in weights.items():
            self.register_schedule(measure, as_schedule(weight))
        self.metric_names = tuple(weights)

    @abstractmethod
    def forward(self, terms: Terms, model: VAE) -> PenaltyTerm: ...

    def weighted_total(self, term: PenaltyTerm) -> Tensor:
        """All that is asked for in one number, ``[]``."""
        parts = [
            self.get_buffer(measure) * value
            for measure, value in zip(self.schedules, term.values, strict=True)
        ]
        return torch.stack([*parts, *term.critic_losses]).sum()

    def check(self, model: VAE) -> None:
        """Raise ``IncompatibleError``, with the line to write instead, where this penalty does not exist for the model."""

    def parameter_groups(self) -> tuple[ParameterGroup, ...]:
        """Those of its own parameters that learn at another rate than the model's."""
        return ()


class Penalised(Objective):
    """``objective - sum_i w_i penalty_i``: the bound reported and the target are the objective's, the penalties stand beside them.

    What the penalties measure is kept in the history, unweighted, under the names in ``measures``. Penalties are differentiated through
    the draws: ``gradients.Pathwise`` takes them, gradients that look at one datum at a time do not. ``fit(parts=...)`` shows them one part
    of the batch at a time. Raises ``ArgumentError`` where there is no penalty, and ``IncompatibleError`` for an objective whose posterior
    climbs a target of its own.

    >>> from aevb import objectives
    >>> objective = Penalised(objectives.Reconstruction(), [objectives.MMD(weight=10.0)])
    >>> objective.name, objective.measures
    ('reconstruction log-likelihood', ('mmd',))
    """

    def __init__(self, objective: Objective, penalties: Sequence[Penalty]) -> None:
        super().__init__(objective.samples)
        if not penalties:
            raise ArgumentError(
                "`penalties` is empty; give at least one, or use the objective as it is."
            )
        if objective.posterior_target_mean is not None:
            raise IncompatibleError(
                f"`objectives.Penalised` climbs one target, and in `objectives.{type(objective).__name__}` the posterior has its own. "
                "Use `objectives.MIWAE(...)` or `objectives.IWAE(...)`."
            )
        self.objective = objective
        self.penalties: Sequence[Penalty] = nn.ModuleList(penalties)  # pyright: ignore[reportAttributeAccessIssue]
        self.kind, self.kl, self.trains_likelihood = (
            objective.kind,
            objective.kl,
            objective.trains_likelihood,
        )
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
    def summary(self) -> str:
        return f"{self.objective.summary} with {' and '.join(type(penalty).__name__ for penalty in self.penalties)}"

    @property
    def validation_criterion(self) -> ValidationCriterion:
        return self.objective.validation_criterion

    def forward(self, terms: Terms, model: VAE) -> ObjectiveValue:
        score = self.objective(terms, model)
        charges = [penalty(terms, model) for penalty in self.penalties]
        added = [
            penalty.weighted_total(charge)
            for penalty, charge in zip(self.penalties, charges, strict=True)
        ]
        values = [
            value.detach()
            for charge in charges
            for value in (*charge.values, *charge.critic_losses)
        ]
        return replace(
            score,
            penalty=score.penalty + torch.stack(added).sum(),
            metric_values=(*score.metric_values, *values),
        )

    def check(self, model: VAE) -> None:
        for part in (self.objective, *self.penalties):
            part.check(model)

    def parameter_groups(self) -> tuple[ParameterGroup, ...]:
        return tuple(
            group for part in (self.objective, *self.penalties) for group in part.parameter_groups()
        )


def check_non_negative(**weights: float | Schedule) -> None:
    """Refuse a weight below 0, at its start or at its end."""
    for argument, weight in weights.items():
        value = endpoint_range(as_schedule(weight))[0]
        if not (value >= 0 and math.isfinite(value)):
            raise ArgumentError(f"`{argument}` is {value}; give 0 or more.")


def _number_duplicates(names: Sequence[str]) -> tuple[str, ...]:
    """The same names, numbered from the second appearance on.

    >>> _number_duplicates(["mmd", "code_norm", "mmd"])
    ('mmd', 'code_norm', 'mmd_2')
    """
    counts = [names[: i + 1].count(name) for i, name in enumerate(names)]
    return tuple(
        name if count == 1 else f"{name}_{count}" for name, count in zip(names, counts, strict=True)
    )
