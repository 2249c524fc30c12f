"""The divergence, and little or nothing of the likelihood: for methods that measure the reconstruction by something else."""

from __future__ import annotations

import math
from dataclasses import replace

from ..errors import ArgumentError
from ..models import VAE
from ..types import ObjectiveValue, Terms
from ._elbo import ELBO
from ._objective import Objective
from ._schedules import Schedule


class Rate(Objective):
    """``likelihood E_q[log p(x|z)] - beta KL(q(z|x) || p(z))`` with a ``likelihood`` weight of 0: the bound reported is the ELBO.

    A penalty on the reconstructed data takes the likelihood's place: ``objectives.DataCritic``, ``MSSSIM``, ``Perceptual``. These look at
    ``E[x|z]`` alone: the noise of the likelihood is then trained by nothing, the ELBO may be any number, and ``fit`` chooses no weights
    by it. A small ``likelihood``, as 0.01, trains the noise and changes little else. Without penalty and weight, what is left is the
    divergence alone. The other arguments are those of ``ELBO``; raises what it raises, and ``ArgumentError`` for a weight below 0.

    >>> Rate(beta=0.5, likelihood=0.01).name
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
                f"`likelihood` is {likelihood_weight}; give the weight of the log-likelihood, 0 or more."
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
        weighed = replace(terms, log_likelihood=self.likelihood_weight * terms.log_likelihood)
        return replace(self.elbo(terms, model), target=self.elbo(weighed, model).target)
