"""Models that are told something of each datum, or of some."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from .. import gradients, networks, objectives, posteriors, priors
from .._recipe import Recipe
from ..data._spec import Spec
from ..errors import ArgumentError
from ..models import VAE
from ..objectives import Schedule
from ._basic import Hidden
from ._builders import (
    build_condition,
    build_decoder,
    build_encoder,
    build_encoder_and_likelihood,
    build_likelihood,
    build_standardised,
)

CVAE_PRIOR_WIDTH = 64
SEMI_SUPERVISED_WIDTHS = (
    100,
)  # every class is tried for every datum, so a layer costs as many times as there are classes


def cvae(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    scale: float | str | None = None,
    samples: int = 1,
    beta: float | Schedule = 1.0,
    prior: Literal["standard", "learned"] = "standard",
) -> Recipe:
    """Sohn, Lee and Yan, Learning structured output representation using deep conditional generative models (2015).

    With ``prior="standard"`` codes hold what the condition leaves open; ``"learned"`` is a Gaussian prior for each condition.
    """
    condition = build_condition(spec)
    if condition is None:
        raise ArgumentError(
            'preset `cvae` is told something of each datum: read the data with condition="label", or a column of theirs.'
        )
    if prior not in ("standard", "learned"):
        raise ArgumentError(f'`prior` is {prior!r}; use "standard" or "learned".')
    parts = build_encoder_and_likelihood(spec, latent, hidden, scale)
    network = networks.MLP(condition.width, [CVAE_PRIOR_WIDTH])
    p = (
        priors.Normal(latent)
        if prior == "standard"
        else priors.ConditionalPrior(posteriors.Normal(network, latent), condition)
    )
    model = VAE(p, posteriors.Normal(parts.encoder, latent), parts.likelihood)
    return Recipe(model, objectives.ELBO(samples, beta), gradients.Pathwise())


def semi_supervised_vae(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Sequence[int] | None = None,
    scale: float | str | None = None,
    samples: int = 1,
    beta: float | Schedule = 1.0,
    alpha: float = 10.0,
) -> Recipe:
    """Kingma, Mohamed, Rezende and Welling, Semi-supervised learning with deep generative models (2014), model M2.

    ``alpha`` weighs the mean cross-entropy of the labels that are known; 0.1 in the paper, on images whose bound is as many nats per datum
    and whose training is a hundred times as long.
    """
    condition = _partial_label_condition(spec)
    labels = condition.labels
    assert labels is not None
    plain, classes = replace(spec, condition=None), labels.width
    widths = SEMI_SUPERVISED_WIDTHS if hidden is None and spec.network == "mlp" else hidden
    classifier, encoder = (
        build_standardised(spec, build_encoder(plain, widths, context)) for context in (0, classes)
    )
    decoder = networks.WithoutContext(build_decoder(plain, classes + latent, widths))
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
    """The one class that some rows tell, or an error."""
    factors = spec.condition or ()
    condition = networks.Condition(factors) if len(factors) == 1 else None
    if condition is None or not condition.is_optional:
        told = ", ".join(factor.name for factor in factors) or "nothing"
        raise ArgumentError(
            f"preset `semi_supervised_vae` infers one class that some rows tell, and of these data all rows tell {told}: "
            "hide some labels, aevb.data.mask_labels(data, labels=100), or use preset=cvae."
        )
    return condition
