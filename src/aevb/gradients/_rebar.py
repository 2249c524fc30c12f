"""The score function with a relaxation as its control variate: unbiased."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor, nn

from .._registry import register
from ..distributions._discrete import Discrete, as_discrete
from ..errors import ArgumentError
from ..models import VAE
from ..objectives import Objective
from ..types import Batch, GradientEstimate, Terms
from ._gradient import (
    Gradient,
    GradientRegistration,
    gradient_only,
    loss_from_value,
    resolve_exact_kl,
    training_terms,
)
from ._relaxed import check_relaxable, discrete_part
from ._score_function import check_score_function


@register(
    GradientRegistration(
        paper="Tucker et al. 2017",
        posteriors="independent discrete variables",
        objectives="those with a target of each draw's log-densities",
        use_when="discrete latent variables where a single draw must do",
        cost="as much as several draws of `LeaveOneOut`",
    )
)
class REBAR(Gradient):
    """The score function with a relaxed draw as control variate.

    ``(f(b) - eta c(z~)) grad log q(b) + eta grad (c(z) - c(z~))``: ``b`` is the discrete draw,
    ``z`` the relaxed draw that it comes from, ``z~`` another relaxed draw given ``b``, and ``c``
    the target at a relaxed draw. It is unbiased for any ``temperature`` and ``scale``, and needs
    two decoder passes more than ``LeaveOneOut`` per draw.

    Args:
        temperature: Temperature of the relaxation.
        scale: Weight ``eta`` of the control variate.
        learned: Whether both follow the gradient of the variance, which a second backward pass
            estimates in the same step.

    Raises:
        ArgumentError: ``temperature`` is not positive.

    Example:
        >>> len(list(REBAR().parameters())), len(list(REBAR(learned=False).parameters()))
        (2, 0)

    References:
        Tucker et al., REBAR: low-variance, unbiased gradient estimates for discrete latent variable
        models (2017).
    """

    takes_weights = True

    log_temperature: Tensor
    scale: Tensor

    def __init__(self, temperature: float = 0.5, scale: float = 1.0, learned: bool = True) -> None:
        super().__init__()
        if not (temperature > 0 and math.isfinite(temperature)):
            raise ArgumentError(
                "give a positive number, as 0.5", argument="temperature", value=temperature
            )
        self.learned = learned
        for setting, value in {
            "log_temperature": math.log(temperature),
            "scale": float(scale),
        }.items():
            if learned:
                self.register_parameter(setting, nn.Parameter(torch.tensor(value)))
            else:
                self.register_buffer(setting, torch.tensor(value), persistent=False)

    def check(self, model: VAE, objective: Objective) -> None:
        check_score_function(self, model, objective)
        check_relaxable(self, model, objective)

    def forward(self, model: VAE, objective: Objective, batch: Batch) -> GradientEstimate:
        q = model.infer(batch)
        family = discrete_part(q)
        y = family.sample_perturbed((objective.samples,)).detach()
        b = family.hard_sample(y)
        terms = training_terms(model, batch, b, q, exact_kl=resolve_exact_kl(model, objective))
        value = objective(terms, model)
        slope = self._logit_gradient(model, objective, terms, family, y, b, value.target.detach())
        surrogate = value.target + gradient_only((slope.detach() * family.logits).flatten(1).sum(1))
        variance = self._variance_surrogate(slope, batch)
        return GradientEstimate(
            value, loss_from_value(value, batch, surrogate) + gradient_only(variance), terms
        )

    def _logit_gradient(
        self,
        model: VAE,
        objective: Objective,
        terms: Terms,
        family: Discrete,
        y: Tensor,
        b: Tensor,
        f: Tensor,
    ) -> Tensor:
        """The gradient in the logits ``[B, *event]``, a function of scale and temperature."""
        logits = family.logits.detach().requires_grad_()
        copy = type(family)(logits, family.event_dim)
        perturbed = [logits + (y - family.logits.detach()), copy.sample_perturbed_given(b)]
        relaxed, conditional = self._soft_targets(
            model,
            objective,
            terms,
            torch.cat([copy.soft_sample(noisy, self.log_temperature.exp()) for noisy in perturbed]),
        )
        (path,) = torch.autograd.grad(
            (relaxed - conditional).sum(), logits, create_graph=self.learned, retain_graph=True
        )
        score = (b - family.mean.detach()).sum(0)  # of log q(b) in its logits
        weight = f - self.scale * conditional
        return weight.reshape(-1, *[1] * family.event_dim) * score + self.scale * path

    @staticmethod
    def _soft_targets(
        model: VAE, objective: Objective, terms: Terms, soft_draws: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The target at the two sets of relaxed draws, ``[B]`` each."""
        batch = terms.batch
        p, q = (as_discrete(d) for d in (model.prior(None, batch.context), terms.q))
        log_likelihoods = model.likelihood(soft_draws, batch.context).log_prob(batch.x)
        targets = []
        for z, log_likelihood in zip(soft_draws.chunk(2), log_likelihoods.chunk(2), strict=True):
            soft = replace(terms, z=z, log_likelihood=log_likelihood)
            if terms.kl is None and p is not None and q is not None:
                soft = replace(soft, log_prior=p.log_prob(z), log_posterior=q.log_prob(z))
            targets.append(objective(soft, model).target)
        return targets[0], targets[1]

    def _variance_surrogate(self, slope: Tensor, batch: Batch) -> Tensor:
        """A number with the gradient of the estimate's variance in scale and temperature."""
        if not self.learned:
            return slope.new_zeros(())
        settings = [self.log_temperature, self.scale]
        slopes = torch.autograd.grad(
            batch.mean(slope.square().flatten(1).sum(1)), settings, retain_graph=True
        )
        return sum(
            (setting * derivative for setting, derivative in zip(settings, slopes, strict=True)),
            start=slope.new_zeros(()),
        )
