"""The one rule behind the gradients of log-weight bounds: a single pass, and three weights per draw.

With ``h_k = log p(x, z_k) - log q(z_k|x)`` a gradient is a sum over draws of ``d_k grad_theta h_k`` for the model, ``p_k grad_z h_k`` along
the path by which ``z_k`` moves with the posterior's parameters, and ``s_k grad_phi log q(z_k|x)`` with ``z_k`` held. With ``f`` the
derivative of what the model climbs, ``e`` that of what the posterior climbs (the same but for PIWAE and CUBO), and ``e_kk`` the second:

========================  ===  ============  ===============
gradient                  d    p             s
========================  ===  ============  ===============
pathwise                  f    e             -e
doubly reparameterised    f    e - e_kk      0
score function            f    0             (E - b) - e
reweighted wake-sleep     f    0             f
========================  ===  ============  ===============
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .._conditional import stop_gradient
from ..models import VAE
from ..objectives import Objective
from ..types import Batch, GradientEstimate
from ._gradient import gradient_only, loss_from_score, sample_without_gradient


@dataclass(frozen=True)
class DrawWeights:
    """What the posterior's parts of the gradient weigh, ``[K, B]`` each; ``None`` for a part that is not there."""

    path: Tensor | None = None
    score: Tensor | None = None


WeightFunction = Callable[[Tensor, Tensor], DrawWeights]


def weighted_estimate(
    model: VAE,
    objective: Objective,
    batch: Batch,
    weight_function: WeightFunction,
    *,
    reparameterised: bool,
) -> GradientEstimate:
    """The estimate whose gradient has the model's weights from the target, and the posterior's from ``weigh(h, log_measure)``."""
    q = model.infer(batch)
    z = (
        q.rsample((objective.samples,))
        if reparameterised
        else sample_without_gradient(q, objective.samples)
    )
    held = z.detach().requires_grad_(reparameterised)
    terms = model.terms(
        batch, held, stop_gradient(model.posterior, q, model.posterior_input(batch), batch.context)
    )
    score = objective(terms, model)
    h = objective.integrand(terms, model)
    weights = weight_function(h.detach(), terms.log_measure)
    surrogate = score.target
    if weights.path is not None:
        # the decoder's own gradient has other weights, so the path's is taken apart: one pass forward, two back
        (slope,) = torch.autograd.grad(h, held, weights.path, retain_graph=True)
        surrogate = surrogate + gradient_only((slope * z).flatten(2).sum((0, 2)))
    if weights.score is not None:
        surrogate = surrogate + gradient_only((weights.score * q.log_prob(held.detach())).sum(0))
    return GradientEstimate(score, loss_from_score(score, surrogate), terms)
