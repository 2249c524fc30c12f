"""The gradient through the draw."""

from __future__ import annotations

from torch import Tensor

from ..models import VAE
from ..objectives import Objective
from ..types import Batch, GradientEstimate
from ._compatibility import check_objective_for_model, check_reparameterisable, check_single_target
from ._draw_weights import DrawWeights, weighted_estimate
from ._gradient import Gradient, loss_from_score, sample_terms


class Pathwise(Gradient):
    """Differentiate the target through ``z = g(noise, x)``. Kingma and Welling (2014), Rezende et al. (2014).

    Needs a posterior that can be reparameterised.
    """

    def check(self, model: VAE, objective: Objective) -> None:
        check_objective_for_model(model, objective)
        check_reparameterisable(self, model, objective)
        if not model.posterior.full_support:
            check_single_target(self, objective)

    def forward(self, model: VAE, objective: Objective, batch: Batch) -> GradientEstimate:
        climbed = objective.posterior_target_mean
        if climbed is None:
            terms = sample_terms(model, objective, batch, reparameterised=True)
            score = objective(terms, model)
            return GradientEstimate(score, loss_from_score(score), terms)

        def weigh(h: Tensor, log_measure: Tensor) -> DrawWeights:
            slopes = climbed.weights(h, log_measure)
            return DrawWeights(path=slopes, score=-slopes)

        return weighted_estimate(model, objective, batch, weigh, reparameterised=True)
