"""The score function with a relaxation as its control variate: unbiased, and quiet where the relaxation is close."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor, nn

from ..distributions._discrete import Discrete, as_discrete
from ..errors import ArgumentError
from ..models import VAE
from ..objectives import Objective
from ..types import Batch, GradientEstimate, Terms
from ._gradient import Gradient, gradient_only, loss_from_score, resolve_exact_kl
from ._relaxed import check_relaxable, discrete_part
from ._score_function import check_score_function


class REBAR(Gradient):
    """``(f(b) - eta c(z~)) grad log q(b) + eta grad (c(z) - c(z~))``: ``b`` the discrete draw, ``z`` the soft one that it came of, ``z~``
    another soft one given ``b``, and ``c`` the target at a soft draw.

    Unbiased at any ``temperature`` and ``scale`` (eta); where ``learned`` both follow the gradient of the variance, estimated in the same
    step at the price of a second backward pass. Two decoder passes more than ``LeaveOneOut`` per draw. Tucker et al., REBAR (2017). Raises
    ``ArgumentError`` for a temperature that is not positive.

    >>> len(list(REBAR().parameters())), len(list(REBAR(learned=False).parameters()))
    (2, 0)
    """

    log_temperature: Tensor
    scale: Tensor

    def __init__(self, temperature: float = 0.5, scale: float = 1.0, learned: bool = True) -> None:
        super().__init__()
        if not (temperature > 0 and math.isfinite(temperature)):
            raise ArgumentError(f"`temperature` is {temperature}; give a positive number, as 0.5.")
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
        live = discrete_part(q)
        y = live.sample_perturbed((objective.samples,)).detach()
        b = live.hard_sample(y)
        terms = model.terms(batch, b, q, exact_kl=resolve_exact_kl(model, objective))
        score = objective(terms, model)
        slope = self._logit_gradient(model, objective, terms, live, y, b, score.target.detach())
        surrogate = score.target + gradient_only((slope.detach() * live.logits).flatten(1).sum(1))
        return GradientEstimate(
            score,
            loss_from_score(score, surrogate) + gradient_only(self._variance_surrogate(slope)),
            terms,
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
        held = type(family)(logits, family.event_dim)
        perturbed = [logits + (y - family.logits.detach()), held.sample_perturbed_given(b)]
        near, given = self._soft_targets(
            model,
            objective,
            terms,
            torch.cat([held.soft_sample(each, self.log_temperature.exp()) for each in perturbed]),
        )
        (path,) = torch.autograd.grad(
            (near - given).sum(), logits, create_graph=self.learned, retain_graph=True
        )
        score = (b - family.mean.detach()).sum(0)  # of log q(b) in its logits
        weight = f - self.scale * given
        return weight.reshape(-1, *[1] * family.event_dim) * score + self.scale * path

    @staticmethod
    def _soft_targets(
        model: VAE, objective: Objective, terms: Terms, soft_draws: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The target at the two sets of soft draws, ``[B]`` each."""
        batch = terms.batch
        p, q = (as_discrete(d) for d in (model.prior(None, batch.context), terms.q))
        fits = model.likelihood(soft_draws, batch.context).log_prob(batch.x)
        found = []
        for z, log_likelihood in zip(soft_draws.chunk(2), fits.chunk(2), strict=True):
            soft = replace(terms, z=z, log_likelihood=log_likelihood)
            if terms.kl is None and p is not None and q is not None:
                soft = replace(soft, log_prior=p.log_prob(z), log_posterior=q.log_prob(z))
            found.append(objective(soft, model).target)
        return found[0], found[1]

    def _variance_surrogate(self, slope: Tensor) -> Tensor:
        """A number whose gradient, in scale and temperature alone, is that of the variance; the mean does not depend on them."""
        if not self.learned:
            return slope.new_zeros(())
        own = [self.log_temperature, self.scale]
        slopes = torch.autograd.grad(
            slope.square().flatten(1).sum(1).mean(), own, retain_graph=True
        )
        return sum(
            (parameter * each for parameter, each in zip(own, slopes, strict=True)),
            start=slope.new_zeros(()),
        )
