"""Models that are conditioned on something known of each row, or of some rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from .. import gradients, networks, objectives, posteriors, priors
from .._recipe import Recipe
from ..data._spec import Spec
from ..errors import ArgumentError, check_choice
from ..models import VAE
from ..notes import Argument, message
from ..objectives import Schedule
from ._builders import (
    Hidden,
    Scale,
    build_condition,
    build_decoder,
    build_encoder,
    build_encoder_and_likelihood,
    build_likelihood,
    build_standardised,
)
from ._registration import register_preset

__all__ = ["cvae", "semi_supervised_vae"]

CVAE_PRIOR_WIDTH = 64
# every datum is decoded for every class, so a layer costs as many times as there are classes
SEMI_SUPERVISED_WIDTHS = (100,)


@register_preset(
    paper="Sohn et al. 2015",
    components="Normal posterior, conditioned networks, ELBO(), Pathwise()",
    use_when="data generated for a class or for given numbers: condition= names the columns, the "
    "label by default",
    cost="as vae",
    avoid_when="a row has nothing to be conditioned on",
    label_requirement="each",
)
def cvae(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    dropout: float = 0.0,
    scale: Scale = None,
    samples: int = 1,
    beta: float | Schedule = 1.0,
    prior: Literal["standard", "learned"] = "standard",
) -> Recipe:
    """Conditional VAE.

    Sohn, Lee and Yan, Learning structured output representation using deep conditional generative
    models (2015).

    Args:
        prior: With ``"standard"`` latents hold what the condition leaves open; ``"learned"`` is a
            Gaussian prior for each condition.
    """
    condition = build_condition(spec)
    if condition is None:
        raise ArgumentError(
            message(
                "{preset} needs something known of each row", preset=Argument("preset", "cvae")
            ),
            argument="condition",
            suggestions=(
                message(
                    "Read the data with {label}, or with the name of a column",
                    label=Argument("condition", "label"),
                ),
            ),
        )
    check_choice("prior", prior, ("standard", "learned"))
    parts = build_encoder_and_likelihood(spec, latent, hidden, scale, dropout=dropout)
    network = networks.MLP(condition.width, [CVAE_PRIOR_WIDTH])
    p = (
        priors.Normal(latent)
        if prior == "standard"
        else priors.ConditionalPrior(posteriors.Normal(network, latent), condition)
    )
    model = VAE(p, posteriors.Normal(parts.encoder, latent), parts.likelihood)
    return Recipe(model, objectives.ELBO(samples, beta), gradients.Pathwise())


@register_preset(
    paper="Kingma et al. 2014",
    components="Labelled posterior and prior, ELBO() and Classification(), EnumerateLabels()",
    use_when="many rows and few labels: the other labels are inferred; labels=N sets how many are "
    "used, 100 by default",
    cost="one pass per class for rows without a label",
    avoid_when="there are many classes, or all rows have labels",
    label_requirement="few",
)
def semi_supervised_vae(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    dropout: float = 0.0,
    scale: Scale = None,
    samples: int = 1,
    beta: float | Schedule = 1.0,
    alpha: float = 10.0,
) -> Recipe:
    """Semi-supervised VAE, model M2.

    Kingma, Mohamed, Rezende and Welling, Semi-supervised learning with deep generative models
    (2014).

    Args:
        alpha: Weight of the mean cross-entropy of the known labels; 0.1 in the paper, on images
            whose bound has as many nats per datum and whose training is a hundred times as long.
    """
    condition = _partial_label_condition(spec)
    labels = condition.labels
    assert labels is not None
    plain, classes = replace(spec, condition=None), labels.width
    widths = SEMI_SUPERVISED_WIDTHS if hidden is None and spec.network == "mlp" else hidden
    classifier, encoder = (
        build_standardised(spec, build_encoder(plain, widths, context, dropout=dropout))
        for context in (0, classes)
    )
    decoder = networks.WithoutContext(
        build_decoder(plain, classes + latent, widths, dropout=dropout)
    )
    model = VAE(
        priors.Labelled(priors.Normal(latent), condition),
        posteriors.Labelled(classifier, posteriors.Normal(encoder, latent), condition),
        build_likelihood(plain, decoder, scale=scale),
    )
    objective = objectives.Penalised(
        objectives.ELBO(samples, beta), [objectives.Classification(alpha, labels.labelled_fraction)]
    )
    return Recipe(model, objective, gradients.EnumerateLabels())


def _partial_label_condition(spec: Spec) -> networks.Condition:
    """The class that is known for some rows, or an error."""
    factors = spec.condition or ()
    condition = networks.Condition(factors) if len(factors) == 1 else None
    if condition is None or not condition.is_optional:
        known = ", ".join(factor.name for factor in factors) or "nothing"
        raise ArgumentError(
            message(
                f"{{preset}} infers one class that is known for some rows, and these data have "
                f"{known} for all rows",
                preset=Argument("preset", "semi_supervised_vae"),
            ),
            argument="condition",
            suggestions=(
                "Hide some labels: `aevb.data.mask_labels(data, labels=100)`",
                message("Use {cvae}", cvae=Argument("preset", "cvae")),
            ),
        )
    return condition
