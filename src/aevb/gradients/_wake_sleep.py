"""Two phases in one loss: the model learns from posterior draws, the posterior from model draws."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from .._registry import register
from ..errors import check_choice
from ..models import VAE
from ..objectives import Objective
from ..objectives._bounds import IMPORTANCE_WEIGHTED_MEAN
from ..types import Batch, GradientEstimate
from ._compatibility import (
    check_amortised,
    check_importance_weighted,
    check_log_weights,
    check_objective_for_model,
    check_posterior_density,
)
from ._draw_weights import DrawWeights, weighted_estimate
from ._gradient import Gradient, GradientRegistration, gradient_only


@register(
    GradientRegistration(
        paper="Hinton et al. 1995",
        objectives="functions of log-weights",
        use_when="comparisons with published results",
        avoid_when="`ReweightedWakeSleep` fits: it ends nearer to the maximum of the likelihood",
    )
)
class WakeSleep(Gradient):
    """The wake-sleep algorithm.

    In the wake phase the model maximises the objective at draws from the posterior, in the sleep
    phase the posterior maximises ``E_p(x,z)[log q(z|x)]``. The loss is ``-log p(x, z_q) - log
    q(z_p|x_p)`` with both draws stopped. It needs no differentiable draw and no baseline, but the
    posterior does not maximise the bound: the pair need not converge to the maximum of either.

    References:
        Hinton, Dayan, Frey and Neal, The wake-sleep algorithm for unsupervised neural networks
        (1995).
    """

    takes_weights = True

    def check(self, model: VAE, objective: Objective) -> None:
        check_objective_for_model(model, objective)
        check_posterior_density(self, model)
        check_amortised(self, model)
        check_log_weights(self, objective)

    def forward(self, model: VAE, objective: Objective, batch: Batch) -> GradientEstimate:
        return _wake_sleep_estimate(model, objective, batch, wake_weight=0.0, sleep_weight=1.0)


@register(
    GradientRegistration(
        paper="Bornschein and Bengio 2015",
        objectives="IWAE",
        use_when="a posterior that covers all explanations of a datum; improves with more samples",
    )
)
class ReweightedWakeSleep(Gradient):
    """Reweighted wake-sleep: the model maximises IWAE, the posterior learns from weighted draws.

    The wake update of the posterior maximises ``sum_k w_k log q(z_k|x)`` with normalised importance
    weights, which minimises ``KL(p(z|x) || q(z|x))``; it has no bias from samples of the model. It
    needs no differentiable draw, and improves with the number of samples.

    Args:
        update: Whether the posterior learns in the ``"wake"`` phase, in the ``"sleep"`` phase from
            samples of the model, or in ``"both"``, half each.

    Raises:
        ArgumentError: ``update`` is unknown.

    Example:
        >>> ReweightedWakeSleep("both").wake_weight
        0.5

    References:
        Bornschein and Bengio, Reweighted wake-sleep (2015).
    """

    takes_weights = True

    def __init__(self, update: Literal["wake", "sleep", "both"] = "wake") -> None:
        super().__init__()
        weights = {"wake": (1.0, 0.0), "sleep": (0.0, 1.0), "both": (0.5, 0.5)}
        check_choice("update", update, tuple(weights))
        self.wake_weight, self.sleep_weight = weights[update]

    def check(self, model: VAE, objective: Objective) -> None:
        check_objective_for_model(model, objective)
        check_posterior_density(self, model)
        check_importance_weighted(self, objective)
        if self.sleep_weight:
            check_amortised(self, model)

    def forward(self, model: VAE, objective: Objective, batch: Batch) -> GradientEstimate:
        return _wake_sleep_estimate(
            model, objective, batch, wake_weight=self.wake_weight, sleep_weight=self.sleep_weight
        )


def _wake_sleep_estimate(
    model: VAE, objective: Objective, batch: Batch, *, wake_weight: float, sleep_weight: float
) -> GradientEstimate:
    """The model's part of the loss, and the posterior's two parts with these weights."""

    def weight_function(h: Tensor, log_measure: Tensor) -> DrawWeights:
        return (
            DrawWeights(score=wake_weight * IMPORTANCE_WEIGHTED_MEAN.weights(h, log_measure))
            if wake_weight
            else DrawWeights()
        )

    wake = weighted_estimate(model, objective, batch, weight_function, reparameterised=False)
    if not sleep_weight:
        return wake
    loss = wake.loss - sleep_weight * gradient_only(_sleep_target(model, batch))
    return GradientEstimate(wake.objective_value, loss, wake.terms)


def _sleep_target(model: VAE, batch: Batch) -> Tensor:
    """The mean of ``log q(z|x)``, ``[]``, over as many samples of the model as there are data."""
    with torch.no_grad():
        z, p = model.sample_joint(len(batch.x), batch.context)
        x = p.sample()
    return batch.mean(model.posterior(x, batch.context).log_prob(z))
