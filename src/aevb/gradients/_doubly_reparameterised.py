"""The gradient through the draw, without the part whose mean is 0."""

from __future__ import annotations

from .._conditional import stop_gradient
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
from ._gradient import Gradient, loss_from_score


class DoublyReparameterised(Gradient):
    """One rule for every mean of log-weights: the posterior's parameters are stopped inside ``log q``, and what reaches ``z_k`` is
    multiplied by ``c_k = 1 - f_kk / f_k``, which for a power mean is ``(1 - s) + s w_k``.

    For the ELBO (``s = 0``, ``c = 1``) this is sticking the landing (Roeder et al. 2017), for IWAE (``s = 1``, ``c_k = w_k``) the doubly
    reparameterised gradient (Tucker et al. 2019). Unbiased; at ``q = p(z|x)`` it is 0 for every draw. The divergence is always sampled.
    """

    def check(self, model: VAE, objective: Objective) -> None:
        check_objective_for_model(model, objective)
        check_log_weights(self, objective)
        check_reparameterisable(self, model, objective)
        check_posterior_density(self, model)

    def forward(self, model: VAE, objective: Objective, batch: Batch) -> GradientEstimate:
        climbed = objective.posterior_target_mean
        if climbed is not None:
            return weighted_estimate(
                model,
                objective,
                batch,
                lambda h, m: DrawWeights(path=climbed.path_weights(h, m)),
                reparameterised=True,
            )
        q = model.infer(batch)
        z = q.rsample((objective.samples,))
        terms = model.terms(
            batch, z, stop_gradient(model.posterior, q, model.posterior_input(batch), batch.context)
        )
        mean = objective.target_mean or ARITHMETIC_MEAN
        if mean != ARITHMETIC_MEAN and z.requires_grad:
            # the factor is known only after the decoder has run, and needed only when the gradient comes back: one pass of each
            factor = mean.path_factor(objective.integrand(terms, model).detach(), terms.log_measure)
            z.register_hook(
                lambda grad: grad * factor.reshape(*factor.shape, *[1] * (grad.dim() - 2))
            )
        score = objective(terms, model)
        return GradientEstimate(score, loss_from_score(score), terms)
