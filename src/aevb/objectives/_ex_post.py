"""A prior that is fitted to encodings without moving them."""

from __future__ import annotations

from dataclasses import replace

from .._conditional import Unconditional
from .._registry import register
from ..distributions import analytic_kl, has_analytic_kl, hierarchy_terms
from ..distributions._support import has_mass_outside
from ..errors import IncompatibleError
from ..models import VAE
from ..types import ObjectiveValue, Terms
from ._bounds import ARITHMETIC_MEAN
from ._objective import Objective, ObjectiveRegistration, ValidationCriterion


@register(
    ObjectiveRegistration(
        paper="Dai and Wipf 2019",
        use_when="a prior that is fitted to the encodings without moving them",
    )
)
class ExPost(Objective):
    """Train encoder and decoder under one prior, and fit the model's own prior to the encodings.

    Encoder and decoder maximise ``objective`` under ``prior``; the model's own prior maximises
    ``E_q[log p(z)]`` at encodings without a gradient. A prior that is trained together with the
    encoder attracts the encodings; a prior that is fitted afterwards leaves them unchanged, and
    this objective does both in one run. The reported bound is the ELBO of the model with its own
    prior.

    Args:
        objective: The objective of encoder and decoder.
        prior: The prior under which they are trained.

    Raises:
        IncompatibleError: The posterior has mass outside ``prior``, or another shape.

    Example:
        >>> from aevb import objectives, priors
        >>> ExPost(objectives.ELBO(beta=0.5), priors.Normal(2)).name
        'ELBO'

    References:
        Dai and Wipf, Diagnosing and enhancing VAE models (2019), who train the two stages one after
        the other.
    """

    def __init__(self, objective: Objective, prior: Unconditional) -> None:
        super().__init__(objective.samples)
        self.objective, self.prior = objective, prior
        self.trains_likelihood, self.metric_names = (
            objective.trains_likelihood,
            objective.metric_names,
        )
        self.matches_prior = objective.matches_prior
        self.schedules = {
            f"objective.{setting}": schedule for setting, schedule in objective.schedules.items()
        }

    @property
    def name(self) -> str:
        return "ELBO"

    @property
    def validation_criterion(self) -> ValidationCriterion:
        """What encoder and decoder maximise.

        The ELBO would choose early weights, which keep little of the data, where the KL divergence
        has a small weight in training.
        """
        return self.objective.target_criterion

    @property
    def summary(self) -> str:
        name = type(self.prior).__name__
        return (
            f"{self.objective.summary} under `priors.{name}`, and a prior fitted to the encodings"
        )

    def forward(self, terms: Terms, model: VAE) -> ObjectiveValue:
        value = self.objective(self._with_prior(terms), model)
        log_prior = model.prior(None, terms.batch.context).log_prob(terms.z.detach())
        bound = (
            ARITHMETIC_MEAN(
                terms.log_likelihood + log_prior - terms.log_posterior, terms.log_measure
            )
            - terms.weight_kl
        )
        return replace(
            value,
            bound=bound.detach(),
            target=value.target + ARITHMETIC_MEAN(log_prior, terms.log_measure),
        )

    def _with_prior(self, terms: Terms) -> Terms:
        """The same terms under the training prior."""
        p = self.prior(None, terms.batch.context)
        exact = (
            analytic_kl(terms.q, p)
            if self.objective.kl != "sampled" and has_analytic_kl(terms.q, p)
            else None
        )
        layers = hierarchy_terms(terms.q, p, terms.z)
        return replace(
            terms,
            p=p,
            log_prior=p.log_prob(terms.z),
            kl=exact,
            layer_kl=None if layers is None else layers.layer_kl,
        )

    def check(self, model: VAE) -> None:
        self.objective.check(model)
        p, q = self.prior(None, model.null_context), model.probe()[1]
        if p.event_shape != q.event_shape or has_mass_outside(q, p):
            raise IncompatibleError(
                f"`objectives.ExPost` trains under `priors.{type(self.prior).__name__}` of shape "
                f"{tuple(p.event_shape)}, and `posteriors.{type(model.posterior).__name__}` of "
                f"shape {tuple(q.event_shape)} has mass outside it",
                argument="prior",
                suggestions=("Build it with a prior of the posterior's support and shape",),
            )
