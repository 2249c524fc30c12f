"""Methods whose prior is fitted to codes that it does not move, and one whose decoder draws pixel by pixel."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from .. import gradients, likelihoods, networks, objectives, posteriors, priors
from .._recipe import Recipe
from ..data._spec import Spec
from ..errors import ArgumentError
from ..likelihoods._likelihood import Likelihood
from ..likelihoods._pixel import PixelFamily
from ..models import VAE
from ..objectives import Schedule
from ._basic import Hidden
from ._builders import build_encoder_and_likelihood

_PIXEL_OUTPUTS: dict[str, PixelFamily] = {
    "bernoulli": "bernoulli",
    "discretised_logistic": "logistic_mixture",
    "categorical": "categorical",
}


def two_stage_vae(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    scale: float | str | None = None,
    samples: int = 1,
    beta: float | Schedule = 1.0,
) -> Recipe:
    """Dai and Wipf, Diagnosing and enhancing VAE models (2019): a second VAE learns how the codes of the first are distributed."""
    parts = build_encoder_and_likelihood(spec, latent, hidden, scale)
    model = VAE(
        build_second_stage_prior(latent), posteriors.Normal(parts.encoder, latent), parts.likelihood
    )
    return Recipe(
        model,
        objectives.ExPost(objectives.ELBO(samples, beta), priors.Normal(latent)),
        gradients.Pathwise(),
    )


def build_second_stage_prior(latent: int, hidden: Sequence[int] = (128, 128)) -> priors.TwoStage:
    """A VAE over ``latent`` codes of about unit size, with as many latent variables of its own."""
    posterior = posteriors.Normal(networks.MLP(latent, hidden, "silu"), latent)
    likelihood = likelihoods.Normal(networks.MLP(latent, hidden[::-1], "silu"), (latent,))
    return priors.TwoStage(priors.Normal(latent), posterior, likelihood)


def pixel_vae(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    samples: int = 1,
    features: int = 16,
    layers: int = 2,
    kernel: int = 3,
    warmup: int = 2000,
) -> Recipe:
    """Gulrajani et al., PixelVAE (2017): a decoder that draws pixel by pixel, near enough to leave the codes the rest."""
    if not spec.image or spec.likelihood not in _PIXEL_OUTPUTS:
        raise ArgumentError(
            f'preset `pixel_vae` is for images of whole numbers, and the data were read for likelihood="{spec.likelihood}" with events of '
            f"shape {spec.event_shape}; use preset=vae, or binarise=dynamic."
        )

    def pixels(
        spec: Spec, network: nn.Module, latent_rank: int, scale: float | str | None
    ) -> Likelihood:
        output = _PIXEL_OUTPUTS[spec.likelihood]
        levels = 2 if output == "bernoulli" else spec.levels or 256
        shape = list(spec.event_shape)
        return likelihoods.Pixel(
            network,
            shape,
            output,
            levels,
            features=features,
            layers=layers,
            kernel=kernel,
            latent_rank=latent_rank,
        )

    parts = build_encoder_and_likelihood(spec, latent, hidden, likelihood=pixels)
    model = VAE(priors.Normal(latent), posteriors.Normal(parts.encoder, latent), parts.likelihood)
    beta = objectives.Linear(steps=warmup) if warmup else 1.0
    return Recipe(model, objectives.ELBO(samples, beta), gradients.Pathwise())
