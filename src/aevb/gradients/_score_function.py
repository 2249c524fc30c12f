"""Gradients that need no differentiable draw."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from .._random import seed_scope
from ..errors import ArgumentError
from ..models import VAE
from ..networks import Heads
from ..objectives import Objective
from ..objectives._bounds import ARITHMETIC_MEAN
from ..types import Batch, GradientEstimate
from ._compatibility import (
    check_multiple_samples,
    check_objective_for_model,
    check_posterior_density,
    check_target_mean,
)
from ._draw_weights import DrawWeights, weighted_estimate
from ._gradient import Gradient, gradient_only, loss_from_score, sample_terms

BASELINE_DECAY = 0.99  # of the running mean, per step


class ScoreFunction(Gradient):
    """``E_q[(f - b) grad log q(z|x)]`` (REINFORCE): unbiased for any posterior with a density, and noisy. Paisley et al. (2012).

    The loss is ``-(f + sum_k stop(f - b) log q(z_k|x))`` with the draws stopped. The ``baseline`` ``b`` must not depend on the draws:
    ``"none"`` is 0, ``"mean"`` the running mean of the target over the steps so far, and a network ``x -> features`` predicts the target of
    each datum (Mnih and Gregor 2014) on top of that mean: it learns by least squares, in the same loss and with the same optimiser.

    >>> ScoreFunction(baseline="mean").mean
    tensor(0.)
    """

    running_mean: Tensor
    running_weight: Tensor

    def __init__(self, baseline: Literal["none", "mean"] | nn.Module = "none") -> None:
        super().__init__()
        named = isinstance(baseline, str)
        if named and baseline not in ("none", "mean"):
            raise ArgumentError(
                f'`baseline` is {baseline!r}; use "none", "mean" or a network, as networks.MLP(784, [200]).'
            )
        self.tracks_mean = baseline != "none"
        self.network = None if named else Heads(baseline, ())
        self.register_buffer("running_mean", torch.tensor(0.0), persistent=self.tracks_mean)
        self.register_buffer("running_weight", torch.tensor(0.0), persistent=self.tracks_mean)

    def check(self, model: VAE, objective: Objective) -> None:
        check_score_function(self, model, objective)
        if self.network is not None:
            self._initialise_head(model)

    def forward(self, model: VAE, objective: Objective, batch: Batch) -> GradientEstimate:
        level = self.running_mean / self.running_weight.clamp(min=1 - BASELINE_DECAY)
        predicted = None if self.network is None else self.network(batch.x, batch.context)[0]
        offset = level if predicted is None else level + predicted.detach()
        estimate, climbed = _score_function_estimate(
            model, objective, batch, lambda h, log_measure, climbed: climbed - offset
        )
        if predicted is not None:
            missed = (climbed - level.detach() - predicted).square().mean()
            estimate = GradientEstimate(
                estimate.objective_value, estimate.loss + gradient_only(missed), estimate.terms
            )
        if self.tracks_mean and self.training:
            self._update_running_mean(climbed)
        return estimate

    @torch.no_grad()
    def _update_running_mean(self, target: Tensor) -> None:
        self.running_mean.copy_(
            BASELINE_DECAY * self.running_mean + (1 - BASELINE_DECAY) * target.mean()
        )
        self.running_weight.copy_(
            BASELINE_DECAY * self.running_weight + (1 - BASELINE_DECAY)
        )  # how much of the mean has been filled: its start at 0 is no datum

    @torch.no_grad()
    def _initialise_head(self, model: VAE) -> None:
        """The head is made when features are first seen, which must be before an optimiser asks for parameters."""
        assert self.network is not None
        like = next(model.parameters(), torch.zeros(()))
        self.network.to(like.device, like.dtype)
        with seed_scope(0, like.device):
            self.network(torch.zeros(1, *model.event_shape, dtype=like.dtype, device=like.device))


class LeaveOneOut(Gradient):
    """The score function with ``b_k`` the target without draw ``k``: unbiased, and far quieter.

    RLOO (Kool et al. 2019) for the ELBO, VIMCO (Mnih and Rezende 2016) for IWAE. Needs ``samples >= 2``.
    """

    def check(self, model: VAE, objective: Objective) -> None:
        check_score_function(self, model, objective)
        check_multiple_samples(self, objective)

    def forward(self, model: VAE, objective: Objective, batch: Batch) -> GradientEstimate:
        mean = objective.posterior_target_mean or objective.target_mean or ARITHMETIC_MEAN
        return _score_function_estimate(
            model,
            objective,
            batch,
            lambda h, log_measure, climbed: climbed - mean.leave_one_out(h, log_measure),
        )[0]


def check_score_function(gradient: Gradient, model: VAE, objective: Objective) -> None:
    """Refuse what has no score: a posterior without a density, a target that is no function of the draws' log-densities."""
    check_objective_for_model(model, objective)
    check_posterior_density(gradient, model)
    check_target_mean(gradient, objective)


Advantage = Callable[[Tensor, Tensor, Tensor], Tensor]


def _score_function_estimate(
    model: VAE, objective: Objective, batch: Batch, advantage: Advantage
) -> tuple[GradientEstimate, Tensor]:
    """The estimate, and what the posterior climbs ``[B]``; ``advantage(h, log_measure, climbed)`` is ``f - b_k``, ``[K, B]`` or ``[B]``."""
    climbed = objective.posterior_target_mean
    if climbed is not None:

        def weigh(h: Tensor, log_measure: Tensor) -> DrawWeights:
            return DrawWeights(
                score=advantage(h, log_measure, climbed(h, log_measure))
                - climbed.weights(h, log_measure)
            )

        estimate = weighted_estimate(model, objective, batch, weigh, reparameterised=False)
        assert estimate.objective_value.posterior_target is not None
        return estimate, estimate.objective_value.posterior_target.detach()
    terms = sample_terms(model, objective, batch, reparameterised=False)
    score = objective(terms, model)
    target = score.target.detach()
    with torch.no_grad():
        weight = advantage(objective.integrand(terms, model), terms.log_measure, target).expand_as(
            terms.log_likelihood
        )
    surrogate = score.target + (weight * terms.log_posterior).sum(0)
    return GradientEstimate(score, loss_from_score(score, surrogate), terms), target
