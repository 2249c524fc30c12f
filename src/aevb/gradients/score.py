"""Gradients that need no differentiable draw."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import IncompatibleError
from ..models import VAE
from ..objectives import Objective
from ..objectives.bounds import left_out
from ..types import Batch, Estimate
from .gradient import Gradient, check_pair, draw, loss_of


class ScoreFunction(Gradient):
    """``E_q[f grad log q(z|x)]`` (REINFORCE): unbiased for any posterior with a density, and noisy. Paisley et al. (2012).

    The loss is ``-(f + sum_k stop(f - b_k) log q(z_k|x))`` with the draws stopped; here the baseline ``b`` is 0.
    """

    def check(self, model: VAE, objective: Objective) -> None:
        check_scored(self, model, objective)

    def forward(self, model: VAE, objective: Objective, batch: Batch) -> Estimate:
        return _scored(model, objective, batch, leave_one_out=False)


class LeaveOneOut(Gradient):
    """The score function with ``b_k`` the target without draw ``k``: unbiased, and far quieter.

    RLOO (Kool et al. 2019) for the ELBO, VIMCO (Mnih and Rezende 2016) for IWAE. Needs ``samples >= 2``.
    """

    def check(self, model: VAE, objective: Objective) -> None:
        check_scored(self, model, objective)
        if objective.samples < 2:
            raise IncompatibleError(
                f"gradient `LeaveOneOut` needs at least 2 samples to leave one out, got samples={objective.samples}. "
                f"Use `objectives.{type(objective).__name__}(samples=4)`, or `gradients.ScoreFunction()`."
            )

    def forward(self, model: VAE, objective: Objective, batch: Batch) -> Estimate:
        return _scored(model, objective, batch, leave_one_out=True)


def check_scored(gradient: Gradient, model: VAE, objective: Objective) -> None:
    """Refuse what has no score: a posterior without a density, a target that is no function of the draws' log-densities."""
    name = type(gradient).__name__
    check_pair(model, objective)
    if not model.posterior.density:
        raise IncompatibleError(
            f"gradient `{name}` needs a posterior with a density, got `posteriors.{type(model.posterior).__name__}`. "
            "Use `gradients.Pathwise()`."
        )
    if objective.power is None:
        raise IncompatibleError(
            f"gradient `{name}` needs a target of each draw's log-densities, got `{objective.name}`. Use `gradients.Pathwise()`."
        )


def _scored(model: VAE, objective: Objective, batch: Batch, *, leave_one_out: bool) -> Estimate:
    terms = draw(model, objective, batch, reparameterised=False)
    score = objective(terms, model)
    advantage = score.target.detach().expand_as(terms.log_likelihood)
    if leave_one_out:
        advantage = advantage - _baseline(terms.log_measure, objective.integrand(terms, model).detach(), objective.power or 0.0)
    surrogate = score.target + (advantage * terms.log_posterior).sum(0)
    return Estimate(score, loss_of(score, surrogate), terms)


def _baseline(log_measure: Tensor, h: Tensor, power: float) -> Tensor:
    with torch.no_grad():
        return left_out(h, log_measure, power)
