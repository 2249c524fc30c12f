"""A prior that learns from codes without moving them."""

from __future__ import annotations

from dataclasses import replace

from .._conditional import Unconditional
from ..distributions import kl as divergences
from ..distributions._support import has_mass_outside
from ..errors import IncompatibleError
from ..models import VAE
from ..types import ObjectiveValue, Terms
from ._bounds import ARITHMETIC_MEAN
from ._objective import Objective


class ExPost(Objective):
    """Encoder and decoder climb ``objective`` under ``prior``; the model's own prior climbs ``E_q[log p(z)]`` at codes held still.

    A prior that is trained together with the codes draws them to where it is; one that is fitted after them leaves them what they are, and
    here both happen in one run. The bound reported is the ELBO of the model with its own prior. Dai and Wipf, Diagnosing and enhancing VAE
    models (2019), train the two stages one after the other. Raises ``IncompatibleError`` at the door where the posterior has mass
    outside of ``prior``.

    >>> from aevb import objectives, priors
    >>> ExPost(objectives.ELBO(beta=0.5), priors.Normal(2)).name
    'ELBO'
    """

    def __init__(self, objective: Objective, prior: Unconditional) -> None:
        super().__init__(objective.samples)
        self.objective, self.prior = objective, prior
        self.trains_likelihood, self.metric_names = (
            objective.trains_likelihood,
            objective.metric_names,
        )
        self.schedules = {
            f"objective.{setting}": schedule for setting, schedule in objective.schedules.items()
        }

    @property
    def name(self) -> str:
        return "ELBO"

    @property
    def summary(self) -> str:
        return f"{self.objective.summary} under `priors.{type(self.prior).__name__}`, and a prior fitted to the codes"

    def forward(self, terms: Terms, model: VAE) -> ObjectiveValue:
        score = self.objective(self._with_prior(terms), model)
        own = model.prior(None, terms.batch.context).log_prob(terms.z.detach())
        bound = (
            ARITHMETIC_MEAN(terms.log_likelihood + own - terms.log_posterior, terms.log_measure)
            - terms.weight_kl
        )
        return replace(
            score,
            bound=bound.detach(),
            target=score.target + ARITHMETIC_MEAN(own, terms.log_measure),
        )

    def _with_prior(self, terms: Terms) -> Terms:
        """The same terms with the other prior."""
        p = self.prior(None, terms.batch.context)
        exact = (
            divergences.analytic_kl(terms.q, p)
            if self.objective.kl != "sampled" and divergences.has_analytic_kl(terms.q, p)
            else None
        )
        return replace(terms, log_prior=p.log_prob(terms.z), kl=exact)

    def check(self, model: VAE) -> None:
        self.objective.check(model)
        p, q = self.prior(None, model.null_context), model.probe()[1]
        if p.event_shape != q.event_shape or has_mass_outside(q, p):
            raise IncompatibleError(
                f"`objectives.ExPost` trains codes under `priors.{type(self.prior).__name__}` of shape {tuple(p.event_shape)}, and "
                f"those of `posteriors.{type(model.posterior).__name__}` are elsewhere; build it with the prior that the model would have."
            )
