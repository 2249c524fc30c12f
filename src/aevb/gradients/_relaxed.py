"""Gradients of discrete draws by way of continuous ones: quiet, and biased."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from torch import Tensor
from torch.distributions import Distribution

from ..distributions._discrete import Discrete, as_discrete
from ..errors import ArgumentError
from ..models import VAE
from ..objectives import Objective, Schedule
from ..objectives._objective import BoundKind
from ..objectives._schedules import as_schedule, endpoint_range
from ..types import Batch, GradientEstimate, Terms
from ._compatibility import (
    check_discrete,
    check_objective_for_model,
    check_relaxed_prior,
    check_single_target,
)
from ._gradient import Gradient, loss_from_score, resolve_exact_kl

DensityFunction = Callable[[Discrete], Tensor]


class Relaxed(Gradient):
    """Differentiate through a soft draw ``softmax((logits + Gumbel noise) / temperature)``; for bits, through a binary concrete one.

    Where the divergence is exact it is that of the discrete distributions (Jang et al. 2017). Where it is sampled, ``density="relaxed"``
    takes the densities of the relaxed codes (Maddison et al. 2017), and ``"discrete"`` the logarithms of the discrete probabilities, which
    are linear in the code, at the soft one: an importance-weighted bound of relaxed densities leads far from the discrete model.

    Either way the decoder sees codes between the corners, so what is reported is the bound of a relaxed model, and no bound for the
    discrete one: compare models by ``metrics``. A lower ``temperature`` (a number or a schedule) means less bias and more noise. Raises
    ``ArgumentError`` for a temperature that is not positive and for another density.

    >>> from aevb import objectives
    >>> Relaxed(objectives.Exponential(1.0, 0.5, steps=1000)).bound_name(objectives.ELBO())
    'ELBO of relaxed codes'
    """

    temperature: Tensor

    def __init__(
        self,
        temperature: float | Schedule = 0.5,
        density: Literal["relaxed", "discrete"] = "relaxed",
    ) -> None:
        super().__init__()
        register_temperature(self, temperature)
        if density not in ("relaxed", "discrete"):
            raise ArgumentError(f'`density` is {density!r}; use "relaxed" or "discrete".')
        self.density = density

    def check(self, model: VAE, objective: Objective) -> None:
        check_relaxable(self, model, objective)

    def forward(self, model: VAE, objective: Objective, batch: Batch) -> GradientEstimate:
        q = model.infer(batch)
        found = discrete_part(q)
        y = found.sample_perturbed((objective.samples,))
        z = found.soft_sample(y, self.temperature)
        terms = model.terms(batch, z, q, exact_kl=resolve_exact_kl(model, objective))
        if self.density == "discrete":
            return _relaxed_estimate(model, objective, terms, lambda family: family.log_prob(z))
        return _relaxed_estimate(
            model, objective, terms, lambda family: family.relaxed_log_prob(y, self.temperature)
        )

    def bound_name(self, objective: Objective) -> str:
        return f"{objective.name} of relaxed codes"

    def bound_kind(self, objective: Objective) -> BoundKind:
        return "neither" if objective.kind != "reconstruction" else objective.kind


class StraightThrough(Gradient):
    """Draw a discrete code, and differentiate as if it had been the soft one at this ``temperature``. Bengio et al. (2013).

    The decoder sees true codes, so what is reported is the bound itself; the gradient is biased. ``temperature`` may be a schedule.
    Raises ``ArgumentError`` for a temperature that is not positive.

    >>> StraightThrough(temperature=0.5).temperature
    tensor(0.5000)
    """

    temperature: Tensor

    def __init__(self, temperature: float | Schedule = 1.0) -> None:
        super().__init__()
        register_temperature(self, temperature)

    def check(self, model: VAE, objective: Objective) -> None:
        check_relaxable(self, model, objective)

    def forward(self, model: VAE, objective: Objective, batch: Batch) -> GradientEstimate:
        q = model.infer(batch)
        found = discrete_part(q)
        y = found.sample_perturbed((objective.samples,))
        soft = found.soft_sample(y, self.temperature)
        z = found.hard_sample(y) + (soft - soft.detach())
        terms = model.terms(batch, z, q, exact_kl=resolve_exact_kl(model, objective))
        return _relaxed_estimate(model, objective, terms, lambda family: family.log_prob(z))


def register_temperature(gradient: Gradient, temperature: float | Schedule) -> None:
    """Let the gradient hold a temperature that follows a schedule, or refuse it."""
    schedule = as_schedule(temperature)
    lowest = endpoint_range(schedule)[0]
    if not lowest > 0:
        raise ArgumentError(f"`temperature` is {lowest}; give a positive number, as 0.5.")
    gradient.register_schedule("temperature", schedule)


def check_relaxable(gradient: Gradient, model: VAE, objective: Objective) -> None:
    """Refuse what has no relaxation: another posterior than independent discrete variables, a prior that does not follow, two targets."""
    check_objective_for_model(model, objective)
    check_discrete(gradient, model)
    check_single_target(gradient, objective)
    check_relaxed_prior(gradient, model, objective)


def discrete_part(q: Distribution) -> Discrete:
    """What the door has found to be there."""
    found = as_discrete(q)
    assert found is not None
    return found


def _relaxed_estimate(
    model: VAE, objective: Objective, terms: Terms, density: DensityFunction
) -> GradientEstimate:
    """The target differentiated, with densities that are differentiable in the draw where the divergence is sampled."""
    if not resolve_exact_kl(model, objective):
        p = discrete_part(model.prior(None, terms.batch.context))
        terms = replace(terms, log_prior=density(p), log_posterior=density(discrete_part(terms.q)))
    score = objective(terms, model)
    return GradientEstimate(score, loss_from_score(score), terms)
