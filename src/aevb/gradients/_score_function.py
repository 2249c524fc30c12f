"""Gradients that need no differentiable draw."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from .._random import seed_scope
from .._registry import register
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
from ._gradient import Gradient, GradientRegistration, gradient_only, loss_from_value, sample_terms

BASELINE_DECAY = 0.99  # of the running mean, per step


@register(
    GradientRegistration(
        paper="Paisley et al. 2012",
        objectives="those with a target of each draw's log-densities",
        use_when="draws cannot be differentiated and two draws cannot be afforded, with a baseline",
        avoid_when="`LeaveOneOut` fits: it is far less noisy",
    )
)
class ScoreFunction(Gradient):
    """The score-function gradient ``E_q[(f - b) grad log q(z|x)]`` (REINFORCE).

    Unbiased for any posterior with a density, and noisy. The loss is
    ``-(f + sum_k stop(f - b) log q(z_k|x))`` with the draws stopped.

    Args:
        baseline: The baseline ``b``, which must not depend on the draws: ``"none"`` is 0,
            ``"mean"`` the running mean of the target, and a network ``x -> features`` predicts the
            target of each datum on top of that mean (Mnih and Gregor 2014). The network learns by
            least squares, in the same loss and with the same optimiser.

    Raises:
        ArgumentError: ``baseline`` is another word.

    Example:
        >>> ScoreFunction(baseline="mean").running_mean
        tensor(0.)

    References:
        Paisley, Blei and Jordan, Variational Bayesian inference with stochastic search (2012).
    """

    takes_weights = True

    running_mean: Tensor
    running_weight: Tensor

    def __init__(self, baseline: Literal["none", "mean"] | nn.Module = "none") -> None:
        super().__init__()
        is_name = isinstance(baseline, str)
        if is_name and baseline not in ("none", "mean"):
            raise ArgumentError(
                'use "none", "mean" or a network, as `networks.MLP(784, [200])`',
                argument="baseline",
                value=baseline,
            )
        self.tracks_mean = baseline != "none"
        self.network = None if is_name else Heads(baseline, ())
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
        estimate, target = _score_function_estimate(
            model, objective, batch, lambda h, log_measure, target: target - offset
        )
        if predicted is not None:
            squared_error = batch.mean((target - level.detach() - predicted).square())
            loss = estimate.loss + gradient_only(squared_error)
            estimate = GradientEstimate(estimate.objective_value, loss, estimate.terms)
        if self.tracks_mean and self.training:
            self._update_running_mean(batch.mean(target))
        return estimate

    @torch.no_grad()
    def _update_running_mean(self, mean: Tensor) -> None:
        """Move the running mean towards the mean of this batch."""
        self.running_mean.copy_(BASELINE_DECAY * self.running_mean + (1 - BASELINE_DECAY) * mean)
        # the share of the mean that comes from data: it begins at 0, which is no datum
        self.running_weight.copy_(BASELINE_DECAY * self.running_weight + (1 - BASELINE_DECAY))

    @torch.no_grad()
    def _initialise_head(self, model: VAE) -> None:
        """Build the head of the baseline network before an optimiser asks for its parameters."""
        assert self.network is not None
        like = next(model.parameters(), torch.zeros(()))
        self.network.to(like.device, like.dtype)
        with seed_scope(0, like.device):
            self.network(torch.zeros(1, *model.event_shape, dtype=like.dtype, device=like.device))


@register(
    GradientRegistration(
        paper="Kool et al. 2019",
        objectives="those with a target of each draw's log-densities, at least 2 samples",
        use_when="discrete latent variables, to start with",
    )
)
class LeaveOneOut(Gradient):
    """The score function whose baseline ``b_k`` is the target without draw ``k``.

    Unbiased, with far less noise than ``ScoreFunction``: RLOO for the ELBO, VIMCO for IWAE. It
    needs at least 2 samples.

    References:
        Kool, van Hoof and Welling, Buy 4 REINFORCE samples, get a baseline for free! (2019); Mnih
        and Rezende, Variational inference for Monte Carlo objectives (2016).
    """

    takes_weights = True

    def check(self, model: VAE, objective: Objective) -> None:
        check_score_function(self, model, objective)
        check_multiple_samples(self, objective)

    def forward(self, model: VAE, objective: Objective, batch: Batch) -> GradientEstimate:
        mean = objective.posterior_target_mean or objective.target_mean or ARITHMETIC_MEAN
        return _score_function_estimate(
            model,
            objective,
            batch,
            lambda h, log_measure, target: target - mean.leave_one_out(h, log_measure),
        )[0]


def check_score_function(gradient: Gradient, model: VAE, objective: Objective) -> None:
    """Check that the posterior has a density and that the target is a function of log-densities."""
    check_objective_for_model(model, objective)
    check_posterior_density(gradient, model)
    check_target_mean(gradient, objective)


Advantage = Callable[[Tensor, Tensor, Tensor], Tensor]


def _score_function_estimate(
    model: VAE, objective: Objective, batch: Batch, advantage: Advantage
) -> tuple[GradientEstimate, Tensor]:
    """Return the estimate and the posterior's target ``[B]``.

    ``advantage(h, log_measure, target)`` is ``f - b_k``, of shape ``[K, B]`` or ``[B]``.
    """
    posterior_mean = objective.posterior_target_mean
    if posterior_mean is not None:

        def weight_function(h: Tensor, log_measure: Tensor) -> DrawWeights:
            return DrawWeights(
                score=advantage(h, log_measure, posterior_mean(h, log_measure))
                - posterior_mean.weights(h, log_measure)
            )

        estimate = weighted_estimate(
            model, objective, batch, weight_function, reparameterised=False
        )
        assert estimate.objective_value.posterior_target is not None
        return estimate, estimate.objective_value.posterior_target.detach()
    terms = sample_terms(model, objective, batch, reparameterised=False)
    value = objective(terms, model)
    target = value.target.detach()
    with torch.no_grad():
        weight = advantage(objective.integrand(terms, model), terms.log_measure, target).expand_as(
            terms.log_likelihood
        )
    surrogate = value.target + (weight * terms.log_posterior).sum(0)
    return GradientEstimate(value, loss_from_value(value, batch, surrogate), terms), target
