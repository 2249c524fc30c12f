"""Methods with discrete latents: entries of a codebook, points of a grid, categories, bits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from .. import gradients, likelihoods, objectives, posteriors, priors
from .._recipe import Recipe
from ..data._spec import Spec
from ..errors import ArgumentError
from ..likelihoods._autoregressive import ElementFamily
from ..models import VAE
from ..notes import Argument, message
from ..objectives import Exponential, Schedule
from ..posteriors._quantised import Quantiser
from ._assemble import build_vae
from ._builders import (
    EncoderAndLikelihood,
    Hidden,
    Scale,
    build_conditioned_networks,
    build_encoder_and_likelihood,
    build_standardised,
)
from ._registration import register_preset

__all__ = ["darn", "fsq_vae", "gumbel_vae", "residual_vq_vae", "vq_vae"]

_AUTOREGRESSIVE_OUTPUTS: dict[str, ElementFamily] = {
    "bernoulli": "bernoulli",
    "bernoulli_tree": "bernoulli",
    "discretised_logistic": "logistic_mixture",
    "categorical": "categorical",
}


@register_preset(
    paper="van den Oord et al. 2017",
    components="VectorQuantised posterior, Codebook prior, ELBO() and CodebookMonitor(), "
    "Pathwise()",
    use_when="data as a few symbols, for a second model of the symbols; the ELBO is the best "
    "estimate of log p(x)",
    cost="as vae, and a codebook to watch",
    avoid_when="you need an exact likelihood or smooth latent variables",
)
def vq_vae(
    spec: Spec,
    *,
    latent: int = 8,
    hidden: Hidden = None,
    dropout: float = 0.0,
    scale: Scale = None,
    size: int = 16,
    dim: int = 16,
    commitment: float = 0.25,
) -> Recipe:
    """Vector-quantised VAE.

    van den Oord et al., Neural discrete representation learning (2017).

    Args:
        latent: Number of codes.
        size: Number of entries of the codebook.
        dim: Number of elements of an entry.
        commitment: Weight of the commitment loss.
    """
    parts = build_encoder_and_likelihood(spec, (latent, dim), hidden, scale, dropout=dropout)
    return _quantised_recipe(
        posteriors.VectorQuantised(parts.encoder, (latent, dim), size, commitment=commitment), parts
    )


@register_preset(
    paper="Lee et al. 2022",
    components="ResidualQuantised posterior, Codebook prior, ELBO() and CodebookMonitor(), "
    "Pathwise()",
    use_when="as vq_vae, with many more vectors from small codebooks: symbols from coarse to fine",
    cost="as vq_vae, one search per codebook",
    avoid_when="one small codebook is enough",
)
def residual_vq_vae(
    spec: Spec,
    *,
    latent: int = 8,
    hidden: Hidden = None,
    dropout: float = 0.0,
    scale: Scale = None,
    size: int = 4,
    depth: int = 2,
    dim: int = 16,
    commitment: float = 0.25,
) -> Recipe:
    """Vector-quantised VAE whose codes are refined by several codebooks.

    Lee et al., Autoregressive image generation using residual quantization (2022).

    Args:
        latent: Number of codes.
        size: Number of entries of each codebook.
        depth: Number of codebooks.
        dim: Number of elements of an entry.
        commitment: Weight of the commitment loss.
    """
    parts = build_encoder_and_likelihood(spec, (latent, dim), hidden, scale, dropout=dropout)
    return _quantised_recipe(
        posteriors.ResidualQuantised(
            parts.encoder, (latent, dim), size, depth, commitment=commitment
        ),
        parts,
    )


@register_preset(
    paper="Mentzer et al. 2023",
    components="FiniteScalar posterior, Codebook prior, ELBO() and CodebookMonitor(), Pathwise()",
    use_when="as vq_vae, without a codebook to learn or tune: all of it is used",
    cost="as vae",
    avoid_when="symbols must be vectors that are learned",
)
def fsq_vae(
    spec: Spec,
    *,
    latent: int = 8,
    hidden: Hidden = None,
    dropout: float = 0.0,
    scale: Scale = None,
    levels: Sequence[int] = (5, 5),
) -> Recipe:
    """VAE with finite scalar quantisation.

    Mentzer et al., Finite scalar quantization (2023).

    Args:
        latent: Number of codes, each a point of a grid.
        levels: Number of levels of each axis of the grid.
    """
    parts = build_encoder_and_likelihood(
        spec, (latent, len(levels)), hidden, scale, dropout=dropout
    )
    return _quantised_recipe(posteriors.FiniteScalar(parts.encoder, latent, levels), parts)


@register_preset(
    paper="Maddison et al. 2017",
    components='Categorical posterior, IWAE(5), Relaxed(Exponential(1, 0.5), "discrete")',
    use_when="as gumbel_softmax_vae, with several samples: a better likelihood",
    cost="the decoder runs samples times",
    avoid_when="the bound matters during training: it reports none",
    kind="neither",
)
def gumbel_vae(
    spec: Spec,
    *,
    latent: int = 20,
    categories: int = 10,
    hidden: Hidden = None,
    dropout: float = 0.0,
    scale: Scale = None,
    samples: int = 5,
    temperature: float | Schedule = Exponential(1.0, 0.5, steps=10_000),
) -> Recipe:
    """VAE with categorical latent variables and a relaxed importance-weighted bound.

    Maddison, Mnih and Teh, The concrete distribution (2017). The weights use the discrete
    probabilities at relaxed draws; with relaxed densities, as in the paper, several samples give a
    discrete model that is 25 nats worse (``benchmarks/reproduce/r8_gumbel.py``).

    Args:
        categories: Number of categories of each latent variable.
        temperature: Temperature of the relaxation, a number or a schedule.
    """
    model = build_vae(
        spec,
        latent=(latent, categories),
        posterior="categorical",
        hidden=hidden,
        dropout=dropout,
        scale=scale,
    )
    return Recipe(model, objectives.IWAE(samples), gradients.Relaxed(temperature, "discrete"))


@register_preset(
    paper="Gregor et al. 2014",
    components="Autoregressive prior, posterior and likelihood, ELBO(2), LeaveOneOut()",
    use_when="binary latent variables that depend on each other, and the best likelihood of small "
    "discrete data",
    cost="a draw takes one step per element",
    avoid_when="rows are long, or draws must be fast",
)
def darn(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    dropout: float = 0.0,
    masked_hidden: Sequence[int] = (64,),
    samples: int = 2,
) -> Recipe:
    """Deep autoregressive network: prior, posterior and decoder are autoregressive.

    Gregor et al., Deep autoregressive networks (2014). What the decoder infers from the elements
    already drawn it need not learn from the latents.

    Args:
        masked_hidden: Widths of the masked layers.
    """
    if spec.likelihood not in _AUTOREGRESSIVE_OUTPUTS:
        raise ArgumentError(
            message(
                "{preset} is for bits and levels, and the data were read for another likelihood",
                preset=Argument("preset", "darn"),
            ),
            argument="likelihood",
            value=spec.likelihood,
            suggestions=(
                message("Use {vae}", vae=Argument("preset", "vae")),
                message(
                    "Read bits with {bits}, and values between 0 and 1 with {fixed}",
                    bits=Argument("likelihood", "bernoulli"),
                    fixed=Argument("binarise", "fixed"),
                ),
            ),
        )
    encoder, decoder = build_conditioned_networks(
        replace(spec, network="mlp"), latent, hidden, dropout=dropout
    )
    likelihood = likelihoods.Autoregressive(
        decoder,
        list(spec.event_shape),
        _AUTOREGRESSIVE_OUTPUTS[spec.likelihood],
        spec.levels or 2,
        hidden=masked_hidden,
        latent_rank=1,
    )
    posterior = posteriors.Autoregressive(build_standardised(spec, encoder), latent, masked_hidden)
    model = VAE(priors.Autoregressive(latent, masked_hidden), posterior, likelihood)
    return Recipe(model, objectives.ELBO(samples), gradients.LeaveOneOut())


def _quantised_recipe(posterior: Quantiser, parts: EncoderAndLikelihood) -> Recipe:
    """A model with a codebook, trained by the ELBO."""
    objective = objectives.Penalised(objectives.ELBO(), [objectives.CodebookMonitor()])
    return Recipe(
        VAE(priors.Codebook(posterior), posterior, parts.likelihood),
        objective,
        gradients.Pathwise(),
    )
