"""The gradient through the draw, without the part whose mean is 0."""

from __future__ import annotations

from ..conditional import stop
from ..models import VAE
from ..objectives import Objective
from ..objectives.bounds import AVERAGE
from ..types import Batch, Estimate
from .door import check_density, check_log_weights, check_pair, check_reparameterised
from .gradient import Gradient, loss_of
from .weighted import Weights, weighted


class DoublyReparameterised(Gradient):
    """One rule for every mean of log-weights: the posterior's parameters are stopped inside ``log q``, and what reaches ``z_k`` is
    multiplied by ``c_k = 1 - f_kk / f_k``, which for a power mean is ``(1 - s) + s w_k``.

    For the ELBO (``s = 0``, ``c = 1``) this is sticking the landing (Roeder et al. 2017), for IWAE (``s = 1``, ``c_k = w_k``) the doubly
    reparameterised gradient (Tucker et al. 2019). Unbiased; at ``q = p(z|x)`` it is 0 for every draw. The divergence is always sampled.
    """

    def check(self, model: VAE, objective: Objective) -> None:
        check_pair(model, objective)
        check_log_weights(self, objective)
        check_reparameterised(self, model, objective)
        check_density(self, model)

    def forward(self, model: VAE, objective: Objective, batch: Batch) -> Estimate:
        climbed = objective.posterior_mean
        if climbed is not None:
            return weighted(model, objective, batch, lambda h, m: Weights(path=climbed.path_weights(h, m)), reparameterised=True)
        q = model.infer(batch)
        z = q.rsample((objective.samples,))
        terms = model.terms(batch, z, stop(model.posterior, q, model.given(batch), batch.context))
        mean = objective.mean or AVERAGE
        if mean != AVERAGE and z.requires_grad:
            # the factor is known only after the decoder has run, and needed only when the gradient comes back: one pass of each
            factor = mean.path_factor(objective.integrand(terms, model).detach(), terms.log_measure)
            z.register_hook(lambda grad: grad * factor.reshape(*factor.shape, *[1] * (grad.dim() - 2)))
        score = objective(terms, model)
        return Estimate(score, loss_of(score), terms)
