"""The gradient through the draw, without the part whose mean is 0."""

from __future__ import annotations

from .._conditional import stop_gradient
from .._registry import register
from ..models import VAE
from ..objectives import Objective
from ..objectives._bounds import ARITHMETIC_MEAN
from ..types import Batch, GradientEstimate
from ._compatibility import (
    check_log_weights,
    check_objective_for_model,
    check_posterior_density,
    check_reparameterisable,
)
from ._draw_weights import DrawWeights, weighted_estimate
from ._gradient import Gradient, GradientRegistration, loss_from_value, training_terms


@register(
    GradientRegistration(
        paper="Tucker et al. 2019",
        posteriors="reparameterised, with a density",
        objectives="functions of log-weights",
        use_when="IWAE and its relatives; the ELBO near convergence",
        avoid_when="the KL divergence by formula matters: it is always sampled",
    )
)
class DoublyReparameterised(Gradient):
    """The gradient through the draw without the score term, for every mean of log-weights.

    The posterior's parameters are stopped inside ``log q``, and the gradient that reaches ``z_k``
    is multiplied by ``c_k = 1 - f_kk / f_k``, which is ``(1 - s) + s w_k`` for a power mean. For
    the ELBO (``s = 0``, ``c = 1``) this is sticking the landing, for IWAE (``s = 1``, ``c_k =
    w_k``) the doubly reparameterised gradient. It is unbiased, and 0 for every draw where ``q =
    p(z|x)``. The KL divergence is always sampled.

    References:
        Roeder, Wu and Duvenaud, Sticking the landing (2017); Tucker et al., Doubly reparameterized
        gradient estimators (2019).
    """

    takes_weights = True

    def check(self, model: VAE, objective: Objective) -> None:
        check_objective_for_model(model, objective)
        check_log_weights(self, objective)
        check_reparameterisable(self, model, objective)
        check_posterior_density(self, model)

    def forward(self, model: VAE, objective: Objective, batch: Batch) -> GradientEstimate:
        posterior_mean = objective.posterior_target_mean
        if posterior_mean is not None:
            return weighted_estimate(
                model,
                objective,
                batch,
                lambda h, m: DrawWeights(path=posterior_mean.path_weights(h, m)),
                reparameterised=True,
            )
        q = model.infer(batch)
        z = q.rsample((objective.samples,))
        terms = training_terms(
            model,
            batch,
            z,
            stop_gradient(model.posterior, q, model.posterior_input(batch), batch.context),
        )
        mean = objective.target_mean or ARITHMETIC_MEAN
        if mean != ARITHMETIC_MEAN and z.requires_grad:
            # the factor is known after the decoder has run, and needed when the gradient returns
            factor = mean.path_factor(objective.integrand(terms, model).detach(), terms.log_measure)
            z.register_hook(
                lambda grad: grad * factor.reshape(*factor.shape, *[1] * (grad.dim() - 2))
            )
        value = objective(terms, model)
        return GradientEstimate(value, loss_from_value(value, batch), terms)
