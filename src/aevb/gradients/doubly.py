"""The gradient through the draw, without the part whose mean is 0."""

from __future__ import annotations

from ..conditional import stop
from ..errors import IncompatibleError
from ..models import VAE
from ..objectives import Objective
from ..objectives.bounds import path_factor
from ..types import Batch, Estimate
from .gradient import Gradient, check_pair, check_reparameterised, loss_of


class DoublyReparameterised(Gradient):
    """One rule for every power mean of log-weights: the posterior's parameters are stopped inside ``log q``, and what reaches ``z_k`` is
    multiplied by ``c_k = (1 - s) + s w_k``.

    For the ELBO (``s = 0``, ``c = 1``) this is sticking the landing (Roeder et al. 2017), for IWAE (``s = 1``, ``c_k = w_k``) the doubly
    reparameterised gradient (Tucker et al. 2019). Unbiased; at ``q = p(z|x)`` it is 0 for every draw. The divergence is always sampled.
    """

    def check(self, model: VAE, objective: Objective) -> None:
        check_pair(model, objective)
        check_reparameterised(self, model)
        if not objective.importance or objective.power is None or objective.kl == "exact":
            raise IncompatibleError(
                f"gradient `DoublyReparameterised` needs an objective that is a function of log-weights with a sampled divergence, got "
                f'`{objective.name}`. Use `objectives.ELBO()` without free bits and without kl="exact", `objectives.IWAE(...)`, '
                "or `gradients.Pathwise()`."
            )

    def forward(self, model: VAE, objective: Objective, batch: Batch) -> Estimate:
        power = objective.power or 0.0
        q = model.posterior(batch.x, batch.context)
        z = q.rsample((objective.samples,))
        terms = model.terms(batch, z, stop(model.posterior, q, batch.x, batch.context))
        if power and z.requires_grad:
            # the factor is known only after the decoder has run, and needed only when the gradient comes back: one pass of each
            factor = path_factor(objective.integrand(terms, model).detach(), terms.log_measure, power)
            z.register_hook(lambda grad: grad * factor.reshape(*factor.shape, *[1] * (grad.dim() - 2)))
        score = objective(terms, model)
        return Estimate(score, loss_of(score), terms)
