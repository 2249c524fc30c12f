"""The exact gradient, by a sum over all states of the latent variable."""

from __future__ import annotations

from dataclasses import replace

from .._registry import register
from ..distributions._discrete import as_discrete
from ..errors import ArgumentError
from ..models import VAE
from ..objectives import Objective
from ..objectives._objective import BoundKind
from ..types import Batch, GradientEstimate, Terms
from ._compatibility import (
    MAX_ENUMERATED_STATES,
    check_enumerable,
    check_objective_for_model,
    check_state_count,
    check_target_mean,
)
from ._gradient import (
    Gradient,
    GradientRegistration,
    gradient_only,
    loss_from_value,
    resolve_exact_kl,
    training_terms,
)


@register(
    GradientRegistration(
        posteriors="independent discrete variables with few states",
        objectives="those with a target of each draw's log-densities; not IWAE and relatives",
        use_when="the latent variable has at most 4,096 states: exact and free of noise",
        cost="one decoder pass per state, shared by all rows",
    )
)
class Enumerate(Gradient):
    """The exact gradient: a sum over all states of a discrete latent instead of draws.

    The mean over draws becomes the mean under ``q(z|x)`` over every ``z``, without noise. The
    bounds are then those of infinitely many draws: the bounds of Renyi and CUBO are exact, and
    bounds that depend on the number of draws are refused, since over all states they are ``log
    p(x)`` itself. The cost is one decoder pass per state, shared by all data.

    Args:
        limit: Largest number of states.

    Raises:
        ArgumentError: ``limit`` is below 2.

    Example:
        >>> from aevb import objectives
        >>> Enumerate().bound_kind(objectives.CUBO())
        'upper bound'
    """

    takes_weights = True

    def __init__(self, limit: int = MAX_ENUMERATED_STATES) -> None:
        super().__init__()
        if limit < 2:
            raise ArgumentError("allow at least 2 states", argument="limit", value=limit)
        self.limit = limit

    def check(self, model: VAE, objective: Objective) -> None:
        check_objective_for_model(model, objective)
        check_state_count(self, model, self.limit)
        check_target_mean(self, objective)
        check_enumerable(self, objective)

    def forward(self, model: VAE, objective: Objective, batch: Batch) -> GradientEstimate:
        terms = enumerate_terms(model, objective, batch)
        value = objective(terms, model)
        if objective.posterior_target_mean is None:
            return GradientEstimate(value, loss_from_value(value, batch), terms)
        # the model's target is log p(x) here, without a gradient in the posterior, and the
        # posterior's target must have none in the model
        detached = replace(
            terms, log_likelihood=terms.log_likelihood.detach(), log_prior=terms.log_prior.detach()
        )
        posterior_target = objective.posterior_target_mean(
            objective.integrand(detached, model), terms.log_measure
        )
        surrogate = value.target + gradient_only(posterior_target)
        return GradientEstimate(value, loss_from_value(value, batch, surrogate), terms)

    def bound_name(self, objective: Objective) -> str:
        return f"{objective.name} over all states"

    def bound_kind(self, objective: Objective) -> BoundKind:
        return objective.exact_kind


def enumerate_terms(model: VAE, objective: Objective, batch: Batch) -> Terms:
    """Compute the terms of every state ``[S, 1, *latent]``; ``[S, B, *latent]`` with context."""
    q = model.infer(batch)
    discrete = as_discrete(q)
    assert discrete is not None
    z = discrete.enumerate_states()[:, None]
    if batch.context is not None:
        z = z.expand(-1, len(batch.x), *discrete.event_shape)
    return training_terms(
        model, batch, z, q, log_measure=q.log_prob(z), exact_kl=resolve_exact_kl(model, objective)
    )
