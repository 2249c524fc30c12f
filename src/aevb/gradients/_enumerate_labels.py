"""Exact in the class, through the draw in the continuous latent."""

from __future__ import annotations

from torch.distributions import Distribution

from .._registry import register
from ..distributions import ClassConditional
from ..errors import IncompatibleError
from ..models import VAE
from ..notes import Part, message
from ..objectives import Objective
from ..types import Batch, GradientEstimate
from ._compatibility import check_enumerable, check_objective_for_model
from ._gradient import (
    Gradient,
    GradientRegistration,
    loss_from_value,
    resolve_exact_kl,
    training_terms,
)


@register(
    GradientRegistration(
        paper="Kingma et al. 2014",
        posteriors="`posteriors.Labelled`",
        objectives="any but IWAE and relatives",
        use_when="a class is inferred for rows without a label",
        cost="one decoder pass per class",
    )
)
class EnumerateLabels(Gradient):
    """A sum over the classes of ``posteriors.Labelled``, and a gradient through ``z ~ q(z|x, y)``.

    ``E_q(y|x)`` has no noise. A datum with a known class has that class alone. With ``samples``
    draws for each class the decoder is evaluated at ``C * samples`` points for every datum.

    Example:
        >>> from aevb import objectives
        >>> EnumerateLabels().bound_name(objectives.ELBO())
        'ELBO over all classes'

    References:
        Kingma et al., Semi-supervised learning with deep generative models (2014), equations 6 and
        7.
    """

    takes_weights = True

    def check(self, model: VAE, objective: Objective) -> None:
        check_objective_for_model(model, objective)
        check_enumerable(self, objective)
        q = model.probe()[1]
        if not check_labelled_posterior(q).latent.has_rsample:
            raise IncompatibleError(
                "gradient `EnumerateLabels` differentiates the draw of the latent, and draws of "
                "this posterior cannot be differentiated",
                suggestions=(
                    "Use `posteriors.Labelled(classifier, posteriors.Normal(...), condition)`",
                ),
            )

    def forward(self, model: VAE, objective: Objective, batch: Batch) -> GradientEstimate:
        q = check_labelled_posterior(model.infer(batch))
        z, log_measure = q.enumerate_classes(objective.samples)
        terms = training_terms(
            model, batch, z, q, log_measure=log_measure, exact_kl=resolve_exact_kl(model, objective)
        )
        value = objective(terms, model)
        return GradientEstimate(value, loss_from_value(value, batch), terms)

    def bound_name(self, objective: Objective) -> str:
        return f"{objective.name} over all classes"


def check_labelled_posterior(q: Distribution) -> ClassConditional:
    """Return the distribution as one of a class and a latent, or raise ``IncompatibleError``."""
    if not isinstance(q, ClassConditional):
        raise IncompatibleError(
            "gradient `EnumerateLabels` sums over the classes of `posteriors.Labelled`, and this "
            f"posterior gives a `{type(q).__name__}`",
            suggestions=(
                message(
                    "Use {pathwise}, or {enumerate} for discrete latents",
                    pathwise=Part("gradients.Pathwise"),
                    enumerate=Part("gradients.Enumerate"),
                ),
            ),
        )
    return q
