"""The exact gradient, by a sum over everything that the latent variable can be."""

from __future__ import annotations

from dataclasses import replace

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
from ._gradient import Gradient, gradient_only, loss_from_score, resolve_exact_kl


class Enumerate(Gradient):
    """Sum over all states in place of drawing some: ``f`` with the measure ``q(z|x)`` on every ``z``. Exact, without any noise.

    For bits and codes with at most ``limit`` states in all. The bounds are then those of infinitely many draws: Renyi's and CUBO's are
    what their names say, and those that are about a number of draws are refused, since over all states they are ``log p(x)`` itself.
    The cost is one decoder pass per state, shared by all data. Raises ``ArgumentError`` for ``limit < 2``.

    >>> from aevb import objectives
    >>> Enumerate().kind_of(objectives.CUBO())
    'upper bound'
    """

    def __init__(self, limit: int = MAX_ENUMERATED_STATES) -> None:
        super().__init__()
        if limit < 2:
            raise ArgumentError(f"`limit` is {limit}; allow at least 2 states.")
        self.limit = limit

    def check(self, model: VAE, objective: Objective) -> None:
        check_objective_for_model(model, objective)
        check_state_count(self, model, self.limit)
        check_target_mean(self, objective)
        check_enumerable(self, objective)

    def forward(self, model: VAE, objective: Objective, batch: Batch) -> GradientEstimate:
        terms = enumerate_terms(model, objective, batch)
        score = objective(terms, model)
        if objective.posterior_target_mean is None:
            return GradientEstimate(score, loss_from_score(score), terms)
        # the model's target is log p(x) here and moves no posterior; what the posterior climbs is to move no model
        still = replace(
            terms, log_likelihood=terms.log_likelihood.detach(), log_prior=terms.log_prior.detach()
        )
        own = objective.posterior_target_mean(objective.integrand(still, model), terms.log_measure)
        return GradientEstimate(
            score, loss_from_score(score, score.target + gradient_only(own)), terms
        )

    def bound_name(self, objective: Objective) -> str:
        return f"{objective.name} over all states"

    def bound_kind(self, objective: Objective) -> BoundKind:
        return objective.exact_kind


def enumerate_terms(model: VAE, objective: Objective, batch: Batch) -> Terms:
    """The terms of every state ``[S, 1, *latent]``, or ``[S, B, *latent]`` where a context tells the data apart."""
    q = model.infer(batch)
    found = as_discrete(q)
    assert found is not None
    z = found.enumerate_states()[:, None]
    if batch.context is not None:
        z = z.expand(-1, len(batch.x), *found.event_shape)
    return model.terms(
        batch, z, q, log_measure=q.log_prob(z), exact_kl=resolve_exact_kl(model, objective)
    )
