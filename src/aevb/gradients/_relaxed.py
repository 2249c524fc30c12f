"""Biased gradients of discrete draws with little noise, by continuous relaxations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from torch import Tensor
from torch.distributions import Distribution

from .._registry import register
from ..distributions._discrete import Discrete, as_discrete
from ..errors import ArgumentError, check_choice
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
from ._gradient import (
    Gradient,
    GradientRegistration,
    loss_from_value,
    resolve_exact_kl,
    training_terms,
)

DensityFunction = Callable[[Discrete], Tensor]


@register(
    GradientRegistration(
        paper="Jang et al. 2017",
        posteriors="independent discrete variables",
        objectives="those with a single target",
        use_when="many categories, where bias is acceptable",
        avoid_when="a bound of the discrete model is wanted while training",
    )
)
class Relaxed(Gradient):
    """The gradient through a relaxed draw ``softmax((logits + Gumbel noise) / temperature)``.

    For bits the draw is binary concrete. An exact KL divergence is that of the discrete
    distributions (Jang et al. 2017). The decoder sees values between the corners, so that the
    reported number is the bound of a relaxed model and no bound for the discrete model: compare
    models by ``metrics``.

    Args:
        temperature: Temperature, a number or a schedule; a lower one has less bias and more noise.
        density: Densities of a sampled KL divergence: ``"relaxed"`` uses those of the relaxed draws
            (Maddison et al. 2017), ``"discrete"`` the logarithms of the discrete probabilities,
            which are linear in the draw: an importance-weighted bound of relaxed densities leads
            far away from the discrete model.

    Raises:
        ArgumentError: ``temperature`` is not positive, or ``density`` is unknown.

    Example:
        >>> from aevb import objectives
        >>> schedule = objectives.Exponential(1.0, 0.5, steps=1000)
        >>> Relaxed(schedule).bound_name(objectives.ELBO())
        'ELBO of relaxed codes'

    References:
        Jang, Gu and Poole, Categorical reparameterization with Gumbel-softmax (2017); Maddison,
        Mnih and Teh, The concrete distribution (2017).
    """

    takes_weights = True

    temperature: Tensor

    def __init__(
        self,
        temperature: float | Schedule = 0.5,
        density: Literal["relaxed", "discrete"] = "relaxed",
    ) -> None:
        super().__init__()
        register_temperature(self, temperature)
        check_choice("density", density, ("relaxed", "discrete"))
        self.density = density

    def check(self, model: VAE, objective: Objective) -> None:
        check_relaxable(self, model, objective)

    def forward(self, model: VAE, objective: Objective, batch: Batch) -> GradientEstimate:
        q = model.infer(batch)
        discrete = discrete_part(q)
        y = discrete.sample_perturbed((objective.samples,))
        z = discrete.soft_sample(y, self.temperature)
        terms = training_terms(model, batch, z, q, exact_kl=resolve_exact_kl(model, objective))
        if self.density == "discrete":
            return _relaxed_estimate(model, objective, terms, lambda family: family.log_prob(z))
        return _relaxed_estimate(
            model, objective, terms, lambda family: family.relaxed_log_prob(y, self.temperature)
        )

    def bound_name(self, objective: Objective) -> str:
        return f"{objective.name} of relaxed codes"

    def bound_kind(self, objective: Objective) -> BoundKind:
        return "neither" if objective.kind != "reconstruction" else objective.kind


@register(
    GradientRegistration(
        paper="Bengio et al. 2013",
        posteriors="independent discrete variables",
        objectives="those with a single target",
        use_when="the decoder must see discrete values while it learns",
        avoid_when="bias matters: no temperature removes it",
    )
)
class StraightThrough(Gradient):
    """A discrete draw in the forward pass, and the gradient of the relaxed draw.

    The decoder sees discrete values, so that the reported number is the bound itself; the gradient
    is biased.

    Args:
        temperature: Temperature of the relaxed draw, a number or a schedule.

    Raises:
        ArgumentError: ``temperature`` is not positive.

    Example:
        >>> StraightThrough(temperature=0.5).temperature
        tensor(0.5000)

    References:
        Bengio, Leonard and Courville, Estimating or propagating gradients through stochastic
        neurons (2013).
    """

    takes_weights = True

    temperature: Tensor

    def __init__(self, temperature: float | Schedule = 1.0) -> None:
        super().__init__()
        register_temperature(self, temperature)

    def check(self, model: VAE, objective: Objective) -> None:
        check_relaxable(self, model, objective)

    def forward(self, model: VAE, objective: Objective, batch: Batch) -> GradientEstimate:
        q = model.infer(batch)
        discrete = discrete_part(q)
        y = discrete.sample_perturbed((objective.samples,))
        soft = discrete.soft_sample(y, self.temperature)
        z = discrete.hard_sample(y) + (soft - soft.detach())
        terms = training_terms(model, batch, z, q, exact_kl=resolve_exact_kl(model, objective))
        return _relaxed_estimate(model, objective, terms, lambda family: family.log_prob(z))


def register_temperature(gradient: Gradient, temperature: float | Schedule) -> None:
    """Register a scheduled temperature, or raise ``ArgumentError`` if it is not positive."""
    schedule = as_schedule(temperature)
    lowest = endpoint_range(schedule)[0]
    if not lowest > 0:
        raise ArgumentError("give a positive number, as 0.5", argument="temperature", value=lowest)
    gradient.register_schedule("temperature", schedule)


def check_relaxable(gradient: Gradient, model: VAE, objective: Objective) -> None:
    """Check that posterior, prior and objective have a relaxation."""
    check_objective_for_model(model, objective)
    check_discrete(gradient, model)
    check_single_target(gradient, objective)
    check_relaxed_prior(gradient, model, objective)


def discrete_part(q: Distribution) -> Discrete:
    """Return the independent discrete variables, which ``check`` has found."""
    discrete = as_discrete(q)
    assert discrete is not None
    return discrete


def _relaxed_estimate(
    model: VAE, objective: Objective, terms: Terms, density: DensityFunction
) -> GradientEstimate:
    """Differentiate the target, with these densities where the KL divergence is sampled."""
    if not resolve_exact_kl(model, objective):
        p = discrete_part(model.prior(None, terms.batch.context))
        terms = replace(terms, log_prior=density(p), log_posterior=density(discrete_part(terms.q)))
    value = objective(terms, model)
    return GradientEstimate(value, loss_from_value(value, terms.batch), terms)
