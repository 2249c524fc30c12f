"""The exact gradient, by a sum over everything that the latent variable can be."""

from __future__ import annotations

from dataclasses import replace

from ..distributions.discrete import discrete
from ..errors import ArgumentError
from ..models import VAE
from ..objectives import Objective
from ..objectives.objective import Kind
from ..types import Batch, Estimate, Terms
from .door import STATES, check_enumerable, check_mean, check_pair, check_states
from .gradient import Gradient, loss_of, silent, wants_exact


class Enumerate(Gradient):
    """Sum over all states in place of drawing some: ``f`` with the measure ``q(z|x)`` on every ``z``. Exact, without any noise.

    For bits and codes with at most ``limit`` states in all. The bounds are then those of infinitely many draws: Renyi's and CUBO's are
    what their names say, and those that are about a number of draws are refused, since over all states they are ``log p(x)`` itself.
    The cost is one decoder pass per state, shared by all data. Raises ``ArgumentError`` for ``limit < 2``.

    >>> from aevb import objectives
    >>> Enumerate().kind_of(objectives.CUBO())
    'upper bound'
    """

    def __init__(self, limit: int = STATES) -> None:
        super().__init__()
        if limit < 2:
            raise ArgumentError(f"`limit` is {limit}; allow at least 2 states.")
        self.limit = limit

    def check(self, model: VAE, objective: Objective) -> None:
        check_pair(model, objective)
        check_states(self, model, self.limit)
        check_mean(self, objective)
        check_enumerable(self, objective)

    def forward(self, model: VAE, objective: Objective, batch: Batch) -> Estimate:
        terms = all_states(model, objective, batch)
        score = objective(terms, model)
        if objective.posterior_mean is None:
            return Estimate(score, loss_of(score), terms)
        # the model's target is log p(x) here and moves no posterior; what the posterior climbs is to move no model
        still = replace(terms, log_likelihood=terms.log_likelihood.detach(), log_prior=terms.log_prior.detach())
        own = objective.posterior_mean(objective.integrand(still, model), terms.log_measure)
        return Estimate(score, loss_of(score, score.target + silent(own)), terms)

    def name_of(self, objective: Objective) -> str:
        return f"{objective.name} over all states"

    def kind_of(self, objective: Objective) -> Kind:
        return objective.exact_kind


def all_states(model: VAE, objective: Objective, batch: Batch) -> Terms:
    """The terms of every state ``[S, 1, *latent]``, or ``[S, B, *latent]`` where a context tells the data apart."""
    q = model.infer(batch)
    found = discrete(q)
    assert found is not None
    z = found.enumerated()[:, None]
    if batch.context is not None:
        z = z.expand(-1, len(batch.x), *found.event_shape)
    return model.terms(batch, z, q, log_measure=q.log_prob(z), exact_kl=wants_exact(model, objective))
