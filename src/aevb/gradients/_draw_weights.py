"""The common rule of gradients of log-weight bounds: one pass, and three weights per draw.

With ``h_k = log p(x, z_k) - log q(z_k|x)``, a gradient is a sum over draws of
``d_k grad_theta h_k`` for the model, ``p_k grad_z h_k`` along the path by which ``z_k`` moves with
the posterior's parameters, and ``s_k grad_phi log q(z_k|x)`` with ``z_k`` fixed. ``f`` is the
derivative of the model's target, ``e`` that of the posterior's target (the same but for PIWAE and
CUBO), ``e_kk`` its second derivative, ``E`` the value of the posterior's target and ``b`` a
baseline:

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
from ._gradient import gradient_only, loss_from_value, sample_without_gradient, training_terms


@dataclass(frozen=True)
class DrawWeights:
    """Weights ``[K, B]`` of the posterior's parts of the gradient; ``None`` for no such part.

    Args:
        path: Weights of the path through the draws.
        score: Weights of the score function.
    """

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
    """Estimate a gradient whose posterior part has the weights of ``weight_function``.

    Args:
        model: The model.
        objective: The objective.
        batch: The data.
        weight_function: ``(h, log_measure) -> DrawWeights``.
        reparameterised: Whether the draws are differentiable.

    Returns:
        The estimate.
    """
    q = model.infer(batch)
    z = (
        q.rsample((objective.samples,))
        if reparameterised
        else sample_without_gradient(q, objective.samples)
    )
    leaf = z.detach().requires_grad_(reparameterised)
    terms = training_terms(
        model,
        batch,
        leaf,
        stop_gradient(model.posterior, q, model.posterior_input(batch), batch.context),
    )
    value = objective(terms, model)
    h = objective.integrand(terms, model)
    weights = weight_function(h.detach(), terms.log_measure)
    surrogate = value.target
    if weights.path is not None:
        # the decoder's gradient has other weights than the path's: one pass forward, two back
        (slope,) = torch.autograd.grad(h, leaf, weights.path, retain_graph=True)
        surrogate = surrogate + gradient_only((slope * z).flatten(2).sum((0, 2)))
    if weights.score is not None:
        surrogate = surrogate + gradient_only((weights.score * q.log_prob(leaf.detach())).sum(0))
    return GradientEstimate(value, loss_from_value(value, batch, surrogate), terms)
