"""Methods whose codes are discrete: entries of a codebook, points of a grid, categories, bits that depend on each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from .. import gradients, likelihoods, objectives, posteriors, priors
from .._recipe import Recipe
from ..data._spec import Spec
from ..errors import ArgumentError
from ..likelihoods._autoregressive import ElementFamily
from ..models import VAE
from ..objectives import Exponential, Schedule
from ..posteriors._quantised import Quantiser
from ._basic import Hidden
from ._builders import (
    EncoderAndLikelihood,
    build_conditioned_networks,
    build_encoder_and_likelihood,
    build_standardised,
)

Scale = float | str | None
_AUTOREGRESSIVE_OUTPUTS: dict[str, ElementFamily] = {
    "bernoulli": "bernoulli",
    "discretised_logistic": "logistic_mixture",
    "categorical": "categorical",
}


def vq_vae(
    spec: Spec,
    *,
    latent: int = 8,
    hidden: Hidden = None,
    scale: Scale = None,
    size: int = 16,
    dim: int = 16,
    commitment: float = 0.25,
) -> Recipe:
    """van den Oord et al., Neural discrete representation learning (2017): ``latent`` codes, each one of ``size`` entries."""
    parts = build_encoder_and_likelihood(spec, (latent, dim), hidden, scale)
    return _quantised_recipe(
        posteriors.VectorQuantised(parts.encoder, (latent, dim), size, commitment=commitment), parts
    )


def residual_vq_vae(
    spec: Spec,
    *,
    latent: int = 8,
    hidden: Hidden = None,
    scale: Scale = None,
    size: int = 4,
    depth: int = 2,
    dim: int = 16,
    commitment: float = 0.25,
) -> Recipe:
    """Lee et al., Autoregressive image generation using residual quantization (2022): each code refined by ``depth`` codebooks."""
    parts = build_encoder_and_likelihood(spec, (latent, dim), hidden, scale)
    return _quantised_recipe(
        posteriors.ResidualQuantised(
            parts.encoder, (latent, dim), size, depth, commitment=commitment
        ),
        parts,
    )


def fsq_vae(
    spec: Spec,
    *,
    latent: int = 8,
    hidden: Hidden = None,
    scale: Scale = None,
    levels: Sequence[int] = (5, 5),
) -> Recipe:
    """Mentzer et al., Finite scalar quantization (2023): ``latent`` codes, each a point of a grid with these ``levels`` per axis."""
    parts = build_encoder_and_likelihood(spec, (latent, len(levels)), hidden, scale)
    return _quantised_recipe(posteriors.FiniteScalar(parts.encoder, latent, levels), parts)


def gumbel_vae(
    spec: Spec,
    *,
    latent: int = 20,
    categories: int = 10,
    hidden: Hidden = None,
    scale: Scale = None,
    samples: int = 5,
    temperature: float | Schedule = Exponential(1.0, 0.5, steps=10_000),
) -> Recipe:
    """Maddison, Mnih and Teh, The concrete distribution (2017): an importance-weighted bound of relaxed codes.

    Their weights take the discrete probabilities at soft codes; with relaxed densities, as in the paper, several samples lead to a model
    that is 25 nats worse as a discrete one (``benchmarks/reproduce/r8_gumbel.py``).
    """
    shape = (latent, categories)
    parts = build_encoder_and_likelihood(spec, shape, hidden, scale)
    model = VAE(
        priors.Categorical(shape), posteriors.Categorical(parts.encoder, shape), parts.likelihood
    )
    return Recipe(model, objectives.IWAE(samples), gradients.Relaxed(temperature, "discrete"))


def darn(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    masked_hidden: Sequence[int] = (64,),
    samples: int = 2,
) -> Recipe:
    """Gregor et al., Deep autoregressive networks (2014): bits whose prior, posterior and decoder are all autoregressive.

    ``masked_hidden`` are the widths of the masked layers. What the decoder sees of the data already drawn it need not take from the bits.
    """
    if spec.likelihood not in _AUTOREGRESSIVE_OUTPUTS:
        raise ArgumentError(
            f'preset `darn` is for bits and levels, and the data were read for likelihood="{spec.likelihood}"; use preset=vae, or '
            "binarise=fixed for values between 0 and 1."
        )
    encoder, decoder = build_conditioned_networks(replace(spec, network="mlp"), latent, hidden)
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
    objective = objectives.Penalised(objectives.ELBO(), [objectives.CodebookMonitor()])
    return Recipe(
        VAE(priors.Codebook(posterior), posterior, parts.likelihood),
        objective,
        gradients.Pathwise(),
    )
