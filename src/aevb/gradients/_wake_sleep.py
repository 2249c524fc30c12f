"""Two phases in one loss: the model learns from data explained by the posterior, the posterior from data that the model has dreamt."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from ..errors import ArgumentError
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
from ._gradient import Gradient, gradient_only


class WakeSleep(Gradient):
    """Awake the model climbs the objective at draws from the posterior, asleep the posterior climbs ``E_p(x,z)[log q(z|x)]``.

    The loss is ``-log p(x, z_q) - log q(z_p|x_p)`` with both draws stopped: no second optimiser. It needs no differentiable draw and no
    baseline, but what the posterior climbs is not the bound: the pair need not settle at the maximum of either.
    Hinton, Dayan, Frey and Neal, The wake-sleep algorithm (1995).
    """

    def check(self, model: VAE, objective: Objective) -> None:
        check_objective_for_model(model, objective)
        check_posterior_density(self, model)
        check_amortised(self, model)
        check_log_weights(self, objective)

    def forward(self, model: VAE, objective: Objective, batch: Batch) -> GradientEstimate:
        return _wake_sleep_estimate(model, objective, batch, wake_weight=0.0, sleep_weight=1.0)


class ReweightedWakeSleep(Gradient):
    """The model climbs IWAE; the posterior learns awake from the draws by their normalised importance weights, asleep from dreams, or both.

    ``update="wake"`` climbs ``sum_k w_k log q(z_k|x)``, which descends ``KL(p(z|x) || q(z|x))`` and has no bias from the model's dreams;
    it needs no differentiable draw, and gets better, not noisier, with more samples. Bornschein and Bengio, Reweighted wake-sleep (2015).
    Raises ``ArgumentError`` for an unknown ``update``.

    >>> ReweightedWakeSleep("both").wake
    0.5
    """

    def __init__(self, update: Literal["wake", "sleep", "both"] = "wake") -> None:
        super().__init__()
        shares = {"wake": (1.0, 0.0), "sleep": (0.0, 1.0), "both": (0.5, 0.5)}
        if update not in shares:
            raise ArgumentError(f'`update` is {update!r}; use "wake", "sleep" or "both".')
        self.wake_weight, self.sleep_weight = shares[update]

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
    """The model's part, and the posterior's two with these weights."""

    def weigh(h: Tensor, log_measure: Tensor) -> DrawWeights:
        return (
            DrawWeights(score=wake_weight * IMPORTANCE_WEIGHTED_MEAN.weights(h, log_measure))
            if wake_weight
            else DrawWeights()
        )

    awake = weighted_estimate(model, objective, batch, weigh, reparameterised=False)
    if not sleep_weight:
        return awake
    dreamt = _sleep_target(model, batch)
    return GradientEstimate(
        awake.objective_value, awake.loss - sleep_weight * gradient_only(dreamt), awake.terms
    )


def _sleep_target(model: VAE, batch: Batch) -> Tensor:
    """``log q(z|x)`` of as many dreams as there are data, ``[]``."""
    with torch.no_grad():
        z, p = model.sample_joint(len(batch.x), batch.context)
        x = p.sample()
    return model.posterior(x, batch.context).log_prob(z).mean()
