"""Two phases in one loss: the model learns from data explained by the posterior, the posterior from data that the model has dreamt."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from ..errors import ArgumentError
from ..models import VAE
from ..objectives import Objective
from ..objectives.bounds import IMPORTANCE
from ..types import Batch, Estimate
from .door import check_density, check_dreams, check_log_weights, check_pair, check_weighed
from .gradient import Gradient, silent
from .weighted import Weights, weighted


class WakeSleep(Gradient):
    """Awake the model climbs the objective at draws from the posterior, asleep the posterior climbs ``E_p(x,z)[log q(z|x)]``.

    The loss is ``-log p(x, z_q) - log q(z_p|x_p)`` with both draws stopped: no second optimiser. It needs no differentiable draw and no
    baseline, but what the posterior climbs is not the bound: the pair need not settle at the maximum of either.
    Hinton, Dayan, Frey and Neal, The wake-sleep algorithm (1995).
    """

    def check(self, model: VAE, objective: Objective) -> None:
        check_pair(model, objective)
        check_density(self, model)
        check_dreams(self, model)
        check_log_weights(self, objective)

    def forward(self, model: VAE, objective: Objective, batch: Batch) -> Estimate:
        return _phases(model, objective, batch, wake=0.0, sleep=1.0)


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
        self.wake, self.sleep = shares[update]

    def check(self, model: VAE, objective: Objective) -> None:
        check_pair(model, objective)
        check_density(self, model)
        check_weighed(self, objective)
        if self.sleep:
            check_dreams(self, model)

    def forward(self, model: VAE, objective: Objective, batch: Batch) -> Estimate:
        return _phases(model, objective, batch, wake=self.wake, sleep=self.sleep)


def _phases(model: VAE, objective: Objective, batch: Batch, *, wake: float, sleep: float) -> Estimate:
    """The model's part, and the posterior's two with these weights."""

    def weigh(h: Tensor, log_measure: Tensor) -> Weights:
        return Weights(score=wake * IMPORTANCE.weights(h, log_measure)) if wake else Weights()

    awake = weighted(model, objective, batch, weigh, reparameterised=False)
    if not sleep:
        return awake
    dreamt = _asleep(model, batch)
    return Estimate(awake.score, awake.loss - sleep * silent(dreamt), awake.terms)


def _asleep(model: VAE, batch: Batch) -> Tensor:
    """``log q(z|x)`` of as many dreams as there are data, ``[]``."""
    with torch.no_grad():
        z, p = model.dream(len(batch.x), batch.context)
        x = p.sample()
    return model.posterior(x, batch.context).log_prob(z).mean()
