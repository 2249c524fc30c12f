"""Exact in the class, through the draw in the code."""

from __future__ import annotations

from torch.distributions import Distribution

from ..distributions import ClassConditional
from ..errors import IncompatibleError
from ..models import VAE
from ..objectives import Objective
from ..types import Batch, GradientEstimate
from ._compatibility import check_enumerable, check_objective_for_model
from ._gradient import Gradient, loss_from_score, resolve_exact_kl


class EnumerateLabels(Gradient):
    """Sum over all classes of ``posteriors.Labelled``, ``E_q(y|x)`` without noise, and differentiate through ``z ~ q(z|x, y)`` of each.

    A datum whose class is known has that class alone. With ``samples`` codes of each class the decoder goes through ``C * samples`` points
    of every datum. Kingma et al., Semi-supervised learning with deep generative models (2014), equations 6 and 7.

    >>> from aevb import objectives
    >>> EnumerateLabels().bound_name(objectives.ELBO())
    'ELBO over all classes'
    """

    def check(self, model: VAE, objective: Objective) -> None:
        check_objective_for_model(model, objective)
        check_enumerable(self, objective)
        q = model.probe()[1]
        if not check_labelled_posterior(q).latent.has_rsample:
            raise IncompatibleError(
                "gradient `EnumerateLabels` goes through the draw of the code, and that of this posterior cannot be differentiated. Use "
                "`posteriors.Labelled(classifier, posteriors.Normal(...), condition)`."
            )

    def forward(self, model: VAE, objective: Objective, batch: Batch) -> GradientEstimate:
        q = check_labelled_posterior(model.infer(batch))
        z, log_measure = q.enumerate_classes(objective.samples)
        terms = model.terms(
            batch, z, q, log_measure=log_measure, exact_kl=resolve_exact_kl(model, objective)
        )
        score = objective(terms, model)
        return GradientEstimate(score, loss_from_score(score), terms)

    def bound_name(self, objective: Objective) -> str:
        return f"{objective.name} over all classes"


def check_labelled_posterior(q: Distribution) -> ClassConditional:
    """A class and a code, or an error."""
    if not isinstance(q, ClassConditional):
        raise IncompatibleError(
            f"gradient `EnumerateLabels` sums over the classes of `posteriors.Labelled`, and this posterior gives a `{type(q).__name__}`. "
            "Use `gradients.Pathwise()`, or `gradients.Enumerate()` for codes that are discrete."
        )
    return q
