"""Models with several layers of latent variables, and a posterior that uses the model itself."""

from __future__ import annotations

import math

import torch
from torch import nn

from .. import gradients, networks, objectives, posteriors, priors
from .._recipe import Recipe
from ..data._spec import Spec
from ..errors import ArgumentError
from ..models import VAE, top_down
from ..notes import Argument, message
from ._builders import (
    Hidden,
    Scale,
    build_condition,
    build_encoder,
    build_encoder_and_likelihood,
    build_likelihood,
    build_standardised,
    warmup_weight,
)
from ._registration import register_preset

__all__ = ["hamiltonian_vae", "ladder_vae", "top_down_vae"]

LADDER_WIDTH = 128  # of the networks between the layers of a ladder


@register_preset(
    paper="Sonderby et al. 2016",
    components="Chain prior, Ladder posterior, ELBO(beta=Linear(), free_bits=0.05), Pathwise()",
    use_when="several layers of latent variables, from detail to content",
    cost="one network more per layer",
    avoid_when="one layer reaches the same bound: compare with vae first",
)
def ladder_vae(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    dropout: float = 0.0,
    scale: Scale = None,
    samples: int = 1,
    layers: int = 3,
    free_bits: float = 0.05,
    warmup: float = 2000,
) -> Recipe:
    """Ladder VAE.

    Sonderby et al., Ladder variational autoencoders (2016).

    Args:
        latent: Number of variables in the first layer; each further layer has half as many.
        layers: Number of layers.
        free_bits: Nats per variable of a layer that are not penalised.
    """
    if layers < 1:
        raise ArgumentError("give at least 1", argument="layers", value=layers)
    sizes = [max(1, latent >> i) for i in range(layers)]
    parts = build_encoder_and_likelihood(
        spec, latent, hidden, scale, dropout=dropout, extra_latents=True
    )
    between = [
        posteriors.Normal(
            _ignore_context(spec, networks.MLP(above, [LADDER_WIDTH], dropout=dropout)), size
        )
        for above, size in zip(sizes[1:], sizes, strict=False)
    ]
    prior = priors.Chain([*between, priors.Normal(sizes[-1])])
    further = [
        networks.MLP(width, [LADDER_WIDTH], dropout=dropout)
        for width in [_count_encoder_features(spec, hidden), *[LADDER_WIDTH] * layers][: layers - 1]
    ]
    model = VAE(prior, posteriors.Ladder(prior, [parts.encoder, *further]), parts.likelihood)
    return Recipe(model, _warmup_elbo(samples, warmup, free_bits), gradients.Pathwise())


@register_preset(
    paper="Caterini et al. 2018",
    components="Hamiltonian posterior, ELBO(), Pathwise()",
    use_when="a posterior that follows the gradient of the decoder, with few further parameters",
    cost="several decoder passes per draw",
    avoid_when="the decoder is expensive: iaf_vae",
)
def hamiltonian_vae(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    dropout: float = 0.0,
    scale: Scale = None,
    samples: int = 1,
    steps: int = 2,
    step_size: float = 0.05,
    tempering: float = 1.5,
) -> Recipe:
    """VAE whose posterior is refined by leapfrog steps with tempered momenta.

    Caterini, Doucet and Sejdinovic, Hamiltonian variational auto-encoder (2018).

    Args:
        steps: Number of leapfrog steps.
        step_size: Initial step size.
        tempering: Initial factor by which momenta are tempered.
    """
    parts = build_encoder_and_likelihood(
        spec, latent, hidden, scale, dropout=dropout, extra_latents=True
    )
    prior = priors.Normal(2 * latent)  # of positions and momenta
    posterior = posteriors.Hamiltonian(
        parts.encoder, latent, prior, parts.likelihood, steps, step_size, tempering
    )
    model = VAE(prior, posterior, parts.likelihood)
    return Recipe(model, objectives.ELBO(samples), gradients.Pathwise())


@register_preset(
    paper="Child 2021",
    components="TopDown prior, posterior and likelihood, ELBO(beta=Linear()), Pathwise()",
    use_when="images, with time for convolutions: the best likelihood of the presets",
    cost="latent images at every size: the slowest preset",
    avoid_when="there are few images, or latent variables must be few",
)
def top_down_vae(
    spec: Spec,
    *,
    latent: int = 4,
    hidden: Hidden = None,
    dropout: float = 0.0,
    scale: Scale = None,
    samples: int = 1,
    layers: int = 1,
    free_bits: float = 0.0,
    warmup: float = 1000,
) -> Recipe:
    """A small top-down hierarchy of latent images.

    Child, Very deep VAEs (2021); Vahdat and Kautz, NVAE (2020).

    Args:
        latent: Number of channels of a latent image.
        hidden: Channels at each size, beginning at half the sides of the image; (16, 32) by
            default.
        layers: Number of latent images at each size.
    """
    if not spec.image:
        raise ArgumentError(
            message("{preset} is for images", preset=Argument("preset", "top_down_vae")),
            argument="shape",
            value=spec.event_shape,
            suggestions=(
                message("Write {shape}", shape=Argument("shape", (28, 28))),
                message("Use {ladder}", ladder=Argument("preset", "ladder_vae")),
            ),
        )
    condition, event = build_condition(spec), list(spec.event_shape)
    channels = list(hidden or (16, 32))
    context = 0 if condition is None else condition.width
    pyramid = build_standardised(
        spec, networks.Pyramid(event, channels, context=context, dropout=dropout)
    )
    encoder = pyramid if condition is None else networks.ConditionedNetwork(pyramid, condition)
    trunk = networks.TopDown(event, channels, latent, layers, context=context, dropout=dropout)
    likelihood = build_likelihood(spec, networks.Conv(channels[0], channels[0]), 3, scale)
    model = top_down(encoder, trunk, likelihood)
    return Recipe(model, _warmup_elbo(samples, warmup, free_bits), gradients.Pathwise())


def _warmup_elbo(samples: int, warmup: float, free_bits: float) -> objectives.ELBO:
    """The ELBO with a weight of the KL divergence that rises over ``warmup`` steps."""
    return objectives.ELBO(samples, warmup_weight(warmup), free_bits)


def _ignore_context(spec: Spec, network: nn.Module) -> nn.Module:
    """A network of latents in a model that may be conditioned."""
    return network if spec.condition is None else networks.WithoutContext(network)


@torch.no_grad()
def _count_encoder_features(spec: Spec, hidden: Hidden) -> int:
    """The number of outputs of the encoder's network for one datum."""
    network = build_standardised(spec, build_encoder(spec, hidden))
    return math.prod(network(torch.zeros(1, *spec.event_shape)).shape[1:])
