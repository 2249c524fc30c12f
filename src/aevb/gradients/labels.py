"""Exact in the class, through the draw in the code."""

from __future__ import annotations

from torch.distributions import Distribution

from ..distributions import Choice
from ..errors import IncompatibleError
from ..models import VAE
from ..objectives import Objective
from ..types import Batch, Estimate
from .door import check_enumerable, check_pair
from .gradient import Gradient, loss_of, wants_exact


class EnumerateLabels(Gradient):
    """Sum over all classes of ``posteriors.Labelled``, ``E_q(y|x)`` without noise, and differentiate through ``z ~ q(z|x, y)`` of each.

    A datum whose class is known has that class alone. With ``samples`` codes of each class the decoder goes through ``C * samples`` points
    of every datum. Kingma et al., Semi-supervised learning with deep generative models (2014), equations 6 and 7.

    >>> from aevb import objectives
    >>> EnumerateLabels().name_of(objectives.ELBO())
    'ELBO over all classes'
    """

    def check(self, model: VAE, objective: Objective) -> None:
        check_pair(model, objective)
        check_enumerable(self, objective)
        q = model.probe()[1]
        if not choice(q).given.has_rsample:
            raise IncompatibleError(
                "gradient `EnumerateLabels` goes through the draw of the code, and that of this posterior cannot be differentiated. Use "
                "`posteriors.Labelled(classifier, posteriors.Normal(...), condition)`."
            )

    def forward(self, model: VAE, objective: Objective, batch: Batch) -> Estimate:
        q = choice(model.infer(batch))
        z, log_measure = q.enumerated(objective.samples)
        terms = model.terms(batch, z, q, log_measure=log_measure, exact_kl=wants_exact(model, objective))
        score = objective(terms, model)
        return Estimate(score, loss_of(score), terms)

    def name_of(self, objective: Objective) -> str:
        return f"{objective.name} over all classes"


def choice(q: Distribution) -> Choice:
    """A class and a code, or an error."""
    if not isinstance(q, Choice):
        raise IncompatibleError(
            f"gradient `EnumerateLabels` sums over the classes of `posteriors.Labelled`, and this posterior gives a `{type(q).__name__}`. "
            "Use `gradients.Pathwise()`, or `gradients.Enumerate()` for codes that are discrete."
        )
    return q
