"""Models with several layers of latent variables, and a posterior that asks the model itself."""

from __future__ import annotations

import math

import torch
from torch import nn

from .. import gradients, networks, objectives, posteriors, priors
from .._recipe import Recipe
from ..data._spec import Spec
from ..errors import ArgumentError
from ..models import VAE, top_down
from ._basic import Hidden
from ._builders import (
    build_condition,
    build_encoder,
    build_encoder_and_likelihood,
    build_likelihood,
    build_standardised,
)

Scale = float | str | None
LADDER_WIDTH = 128  # of the layers between the codes of a ladder


def ladder_vae(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    scale: Scale = None,
    samples: int = 1,
    layers: int = 3,
    free_bits: float = 0.05,
    warmup: int = 2000,
) -> Recipe:
    """Sonderby et al., Ladder variational autoencoders (2016): ``latent`` variables in the first layer, half as many in each further one.

    The divergence is warmed up over ``warmup`` steps, and a layer is not pressed below ``free_bits`` nats for each of its variables.
    """
    if layers < 1:
        raise ArgumentError(f"`layers` is {layers}; give at least 1.")
    sizes = [max(1, latent >> i) for i in range(layers)]
    parts = build_encoder_and_likelihood(spec, latent, hidden, scale, extra_latents=True)
    between = [
        posteriors.Normal(_ignore_context(spec, networks.MLP(above, [LADDER_WIDTH])), size)
        for above, size in zip(sizes[1:], sizes, strict=False)
    ]
    prior = priors.Chain([*between, priors.Normal(sizes[-1])])
    further = [
        networks.MLP(width, [LADDER_WIDTH])
        for width in [_count_encoder_features(spec, hidden), *[LADDER_WIDTH] * layers][: layers - 1]
    ]
    objective = objectives.ELBO(
        samples, objectives.Linear(steps=warmup) if warmup else 1.0, free_bits
    )
    return Recipe(
        VAE(prior, posteriors.Ladder(prior, [parts.encoder, *further]), parts.likelihood),
        objective,
        gradients.Pathwise(),
    )


def hamiltonian_vae(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    scale: Scale = None,
    samples: int = 1,
    steps: int = 2,
    step_size: float = 0.05,
    tempering: float = 1.5,
) -> Recipe:
    """Caterini, Doucet and Sejdinovic, Hamiltonian variational auto-encoder (2018): ``steps`` leapfrog steps with tempered momenta."""
    parts = build_encoder_and_likelihood(spec, latent, hidden, scale, extra_latents=True)
    prior = priors.Normal(2 * latent)  # of codes and momenta
    posterior = posteriors.Hamiltonian(
        parts.encoder, latent, prior, parts.likelihood, steps, step_size, tempering
    )
    return Recipe(
        VAE(prior, posterior, parts.likelihood), objectives.ELBO(samples), gradients.Pathwise()
    )


def top_down_vae(
    spec: Spec,
    *,
    latent: int = 4,
    hidden: Hidden = None,
    scale: Scale = None,
    samples: int = 1,
    layers: int = 1,
    free_bits: float = 0.0,
    warmup: int = 1000,
) -> Recipe:
    """Child, Very deep VAEs (2021), and Vahdat and Kautz, NVAE (2020), small.

    There are ``layers`` latent images of ``latent`` channels at every size. ``hidden`` are the channels at each size, from half the
    image's sides on: (16, 32) by default.
    """
    if not spec.image:
        raise ArgumentError(
            "preset `top_down_vae` is for images, and the data are none; give shape=28,28, or use preset=ladder_vae."
        )
    condition, event, channels = (
        build_condition(spec),
        list(spec.event_shape),
        list(hidden or (16, 32)),
    )
    told = 0 if condition is None else condition.width
    pyramid = build_standardised(spec, networks.Pyramid(event, channels, context=told))
    encoder = pyramid if condition is None else networks.ConditionedNetwork(pyramid, condition)
    trunk = networks.TopDown(event, channels, latent, layers, context=told)
    likelihood = build_likelihood(spec, networks.Conv(channels[0], channels[0]), 3, scale)
    objective = objectives.ELBO(
        samples, objectives.Linear(steps=warmup) if warmup else 1.0, free_bits
    )
    return Recipe(top_down(encoder, trunk, likelihood), objective, gradients.Pathwise())


def _ignore_context(spec: Spec, network: nn.Module) -> nn.Module:
    """A network of codes, in a model that may be told something of its data."""
    return network if spec.condition is None else networks.WithoutContext(network)


@torch.no_grad()
def _count_encoder_features(spec: Spec, hidden: Hidden) -> int:
    """How many numbers the encoder's network gives for one datum."""
    return math.prod(build_encoder(spec, hidden)(torch.zeros(1, *spec.event_shape)).shape[1:])
