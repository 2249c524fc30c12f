"""Models that are told something of each datum, or of some."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from .. import gradients, networks, objectives, posteriors, priors
from ..data.spec import Spec
from ..errors import ArgumentError
from ..models import VAE
from ..objectives import Schedule
from ..recipe import Recipe
from .basic import Hidden
from .build import condition_of, conditionals, decoder_for, encoder_for, likelihood_of, standardised

PRIOR_HIDDEN = 64
SEMI_HIDDEN = (100,)  # every class is tried for every datum, so a layer costs as many times as there are classes


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
    condition = condition_of(spec)
    if condition is None:
        raise ArgumentError('preset `cvae` is told something of each datum: read the data with condition="label", or a column of theirs.')
    if prior not in ("standard", "learned"):
        raise ArgumentError(f'`prior` is {prior!r}; use "standard" or "learned".')
    parts = conditionals(spec, latent, hidden, scale)
    network = networks.MLP(condition.width, [PRIOR_HIDDEN])
    p = priors.Normal(latent) if prior == "standard" else priors.Given(posteriors.Normal(network, latent), condition)
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
    condition = _partly_known(spec)
    labels = condition.labels
    assert labels is not None
    plain, classes = replace(spec, condition=None), labels.width
    widths = SEMI_HIDDEN if hidden is None and spec.network == "mlp" else hidden
    classifier, encoder = (standardised(spec, encoder_for(plain, widths, context)) for context in (0, classes))
    decoder = networks.WithoutContext(decoder_for(plain, classes + latent, widths))
    model = VAE(
        priors.Labelled(priors.Normal(latent), condition),
        posteriors.Labelled(classifier, posteriors.Normal(encoder, latent), condition),
        likelihood_of(plain, decoder, scale=scale),
    )
    objective = objectives.Penalised(objectives.ELBO(samples, beta), [objectives.Classification(alpha, labels.known)])
    return Recipe(model, objective, gradients.EnumerateLabels())


def _partly_known(spec: Spec) -> networks.Condition:
    """The one class that some rows tell, or an error."""
    factors = spec.condition or ()
    condition = networks.Condition(factors) if len(factors) == 1 else None
    if condition is None or not condition.optional:
        told = ", ".join(factor.name for factor in factors) or "nothing"
        raise ArgumentError(
            f"preset `semi_supervised_vae` infers one class that some rows tell, and of these data all rows tell {told}: "
            "hide some labels, aevb.data.few_labels(data, labels=100), or use preset=cvae."
        )
    return condition
