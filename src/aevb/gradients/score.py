"""Gradients that need no differentiable draw."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from ..errors import ArgumentError
from ..models import VAE
from ..networks import Heads
from ..objectives import Objective
from ..objectives.bounds import AVERAGE
from ..random import seeded
from ..types import Batch, Estimate
from .door import check_density, check_mean, check_pair, check_several
from .gradient import Gradient, draw, loss_of, silent
from .weighted import Weights, weighted

MEMORY = 0.99  # of the running mean, per step


class ScoreFunction(Gradient):
    """``E_q[(f - b) grad log q(z|x)]`` (REINFORCE): unbiased for any posterior with a density, and noisy. Paisley et al. (2012).

    The loss is ``-(f + sum_k stop(f - b) log q(z_k|x))`` with the draws stopped. The ``baseline`` ``b`` must not depend on the draws:
    ``"none"`` is 0, ``"mean"`` the running mean of the target over the steps so far, and a network ``x -> features`` predicts the target of
    each datum (Mnih and Gregor 2014) on top of that mean: it learns by least squares, in the same loss and with the same optimiser.

    >>> ScoreFunction(baseline="mean").mean
    tensor(0.)
    """

    mean: Tensor
    seen: Tensor

    def __init__(self, baseline: Literal["none", "mean"] | nn.Module = "none") -> None:
        super().__init__()
        named = isinstance(baseline, str)
        if named and baseline not in ("none", "mean"):
            raise ArgumentError(f'`baseline` is {baseline!r}; use "none", "mean" or a network, as networks.MLP(784, [200]).')
        self.running = baseline != "none"
        self.network = None if named else Heads(baseline, ())
        self.register_buffer("mean", torch.tensor(0.0), persistent=self.running)
        self.register_buffer("seen", torch.tensor(0.0), persistent=self.running)

    def check(self, model: VAE, objective: Objective) -> None:
        check_scored(self, model, objective)
        if self.network is not None:
            self._make_head(model)

    def forward(self, model: VAE, objective: Objective, batch: Batch) -> Estimate:
        level = self.mean / self.seen.clamp(min=1 - MEMORY)
        predicted = None if self.network is None else self.network(batch.x, batch.context)[0]
        offset = level if predicted is None else level + predicted.detach()
        estimate, climbed = _scored(model, objective, batch, lambda h, log_measure, climbed: climbed - offset)
        if predicted is not None:
            missed = (climbed - level.detach() - predicted).square().mean()
            estimate = Estimate(estimate.score, estimate.loss + silent(missed), estimate.terms)
        if self.running and self.training:
            self._follow(climbed)
        return estimate

    @torch.no_grad()
    def _follow(self, climbed: Tensor) -> None:
        self.mean.copy_(MEMORY * self.mean + (1 - MEMORY) * climbed.mean())
        self.seen.copy_(MEMORY * self.seen + (1 - MEMORY))  # how much of the mean has been filled: its start at 0 is no datum

    @torch.no_grad()
    def _make_head(self, model: VAE) -> None:
        """The head is made when features are first seen, which must be before an optimiser asks for parameters."""
        assert self.network is not None
        like = next(model.parameters(), torch.zeros(()))
        self.network.to(like.device, like.dtype)
        with seeded(0, like.device):
            self.network(torch.zeros(1, *model.event_shape, dtype=like.dtype, device=like.device))


class LeaveOneOut(Gradient):
    """The score function with ``b_k`` the target without draw ``k``: unbiased, and far quieter.

    RLOO (Kool et al. 2019) for the ELBO, VIMCO (Mnih and Rezende 2016) for IWAE. Needs ``samples >= 2``.
    """

    def check(self, model: VAE, objective: Objective) -> None:
        check_scored(self, model, objective)
        check_several(self, objective)

    def forward(self, model: VAE, objective: Objective, batch: Batch) -> Estimate:
        mean = objective.posterior_mean or objective.mean or AVERAGE
        return _scored(model, objective, batch, lambda h, log_measure, climbed: climbed - mean.left_out(h, log_measure))[0]


def check_scored(gradient: Gradient, model: VAE, objective: Objective) -> None:
    """Refuse what has no score: a posterior without a density, a target that is no function of the draws' log-densities."""
    check_pair(model, objective)
    check_density(gradient, model)
    check_mean(gradient, objective)


Advantage = Callable[[Tensor, Tensor, Tensor], Tensor]


def _scored(model: VAE, objective: Objective, batch: Batch, advantage: Advantage) -> tuple[Estimate, Tensor]:
    """The estimate, and what the posterior climbs ``[B]``; ``advantage(h, log_measure, climbed)`` is ``f - b_k``, ``[K, B]`` or ``[B]``."""
    climbed = objective.posterior_mean
    if climbed is not None:

        def weigh(h: Tensor, log_measure: Tensor) -> Weights:
            return Weights(score=advantage(h, log_measure, climbed(h, log_measure)) - climbed.weights(h, log_measure))

        estimate = weighted(model, objective, batch, weigh, reparameterised=False)
        assert estimate.score.posterior_target is not None
        return estimate, estimate.score.posterior_target.detach()
    terms = draw(model, objective, batch, reparameterised=False)
    score = objective(terms, model)
    target = score.target.detach()
    with torch.no_grad():
        weight = advantage(objective.integrand(terms, model), terms.log_measure, target).expand_as(terms.log_likelihood)
    surrogate = score.target + (weight * terms.log_posterior).sum(0)
    return Estimate(score, loss_of(score, surrogate), terms), target
