"""The KL divergence with little or nothing of the likelihood."""

from __future__ import annotations

import math
from dataclasses import replace

from .._registry import register
from ..errors import ArgumentError
from ..models import VAE
from ..types import ObjectiveValue, Terms
from ._elbo import ELBO
from ._objective import Objective, ObjectiveRegistration
from ._schedules import Schedule


@register(
    ObjectiveRegistration(
        use_when="a penalty on the reconstruction replaces the likelihood",
        avoid_when="no penalty is added: only the KL divergence is left",
    )
)
class Rate(Objective):
    """The KL divergence and a weighted likelihood: ``w E_q[log p(x|z)] - beta KL(q(z|x) || p(z))``.

    A penalty on the reconstruction (``DataCritic``, ``MSSSIM``, ``Perceptual``) replaces the
    likelihood. These penalties use ``E[x|z]`` alone: with a weight of 0 nothing trains the noise of
    the likelihood, the reported ELBO is arbitrary, and ``fit`` does not choose weights by it. A
    small weight, as 0.01, trains the noise and changes little else.

    Args:
        samples: Number of draws per datum.
        beta: Weight of the KL divergence, a number or a schedule.
        free_bits: Nats per latent variable that are not penalised.
        likelihood_weight: Weight ``w`` of the log-likelihood.

    Raises:
        ArgumentError: ``samples`` is below 1, or another number is negative.

    Example:
        >>> Rate(beta=0.5, likelihood_weight=0.01).name
        'ELBO'
    """

    def __init__(
        self,
        samples: int = 1,
        beta: float | Schedule = 1.0,
        free_bits: float = 0.0,
        likelihood_weight: float = 0.0,
    ) -> None:
        super().__init__(samples)
        if not (likelihood_weight >= 0 and math.isfinite(likelihood_weight)):
            raise ArgumentError(
                "give the weight of the log-likelihood, 0 or more",
                argument="likelihood_weight",
                value=likelihood_weight,
            )
        self.elbo = ELBO(samples, beta, free_bits)
        self.kl, self.likelihood_weight, self.trains_likelihood = (
            self.elbo.kl,
            likelihood_weight,
            likelihood_weight > 0,
        )
        self.schedules = {
            f"elbo.{setting}": schedule for setting, schedule in self.elbo.schedules.items()
        }

    @property
    def name(self) -> str:
        return self.elbo.name

    @property
    def summary(self) -> str:
        return "rate"

    def forward(self, terms: Terms, model: VAE) -> ObjectiveValue:
        weighted = replace(terms, log_likelihood=self.likelihood_weight * terms.log_likelihood)
        return replace(self.elbo(terms, model), target=self.elbo(weighted, model).target)
