"""The gradient through the draw."""

from __future__ import annotations

from torch import Tensor

from ..models import VAE
from ..objectives import Objective
from ..types import Batch, Estimate
from .door import check_one_target, check_pair, check_reparameterised
from .gradient import Gradient, draw, loss_of
from .weighted import Weights, weighted


class Pathwise(Gradient):
    """Differentiate the target through ``z = g(noise, x)``. Kingma and Welling (2014), Rezende et al. (2014).

    Needs a posterior that can be reparameterised.
    """

    def check(self, model: VAE, objective: Objective) -> None:
        check_pair(model, objective)
        check_reparameterised(self, model, objective)
        if not model.posterior.covers:
            check_one_target(self, objective)

    def forward(self, model: VAE, objective: Objective, batch: Batch) -> Estimate:
        climbed = objective.posterior_mean
        if climbed is None:
            terms = draw(model, objective, batch, reparameterised=True)
            score = objective(terms, model)
            return Estimate(score, loss_of(score), terms)

        def weigh(h: Tensor, log_measure: Tensor) -> Weights:
            slopes = climbed.weights(h, log_measure)
            return Weights(path=slopes, score=-slopes)

        return weighted(model, objective, batch, weigh, reparameterised=True)
