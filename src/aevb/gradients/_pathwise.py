"""The gradient through the draw."""

from __future__ import annotations

from torch import Tensor

from .._registry import register
from ..models import VAE
from ..objectives import Objective
from ..types import Batch, GradientEstimate
from ._compatibility import check_objective_for_model, check_reparameterisable, check_single_target
from ._draw_weights import DrawWeights, weighted_estimate
from ._gradient import Gradient, GradientRegistration, loss_from_value, sample_terms


@register(
    GradientRegistration(
        paper="Kingma and Welling 2014", posteriors="reparameterised", use_when="to start with"
    )
)
class Pathwise(Gradient):
    """The gradient through the draw ``z = g(noise, x)``.

    The posterior must be reparameterised.

    References:
        Kingma and Welling, Auto-encoding variational Bayes (2014); Rezende et al., Stochastic
        backpropagation (2014).
    """

    takes_weights = True

    def check(self, model: VAE, objective: Objective) -> None:
        check_objective_for_model(model, objective)
        check_reparameterisable(self, model, objective)
        if not model.posterior.full_support:
            check_single_target(self, objective)

    def forward(self, model: VAE, objective: Objective, batch: Batch) -> GradientEstimate:
        posterior_mean = objective.posterior_target_mean
        if posterior_mean is None:
            terms = sample_terms(model, objective, batch, reparameterised=True)
            value = objective(terms, model)
            return GradientEstimate(value, loss_from_value(value, batch), terms)

        def weight_function(h: Tensor, log_measure: Tensor) -> DrawWeights:
            weights = posterior_mean.weights(h, log_measure)
            return DrawWeights(path=weights, score=-weights)

        return weighted_estimate(model, objective, batch, weight_function, reparameterised=True)
