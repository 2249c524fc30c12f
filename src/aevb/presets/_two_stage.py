"""A prior that is fitted to encodings afterwards, and a decoder that draws pixel by pixel."""

from __future__ import annotations

from torch import nn

from .. import gradients, likelihoods, objectives, posteriors, priors
from .._recipe import Recipe
from ..data._spec import Spec
from ..errors import ArgumentError
from ..likelihoods._likelihood import Likelihood
from ..likelihoods._pixel import PixelFamily
from ..models import VAE
from ..models._two_stage import build_second_stage_prior
from ..notes import Argument, message
from ..objectives import Schedule
from ._builders import Hidden, Scale, build_encoder_and_likelihood, warmup_weight
from ._registration import register_preset

__all__ = ["pixel_vae", "two_stage_vae"]

_PIXEL_OUTPUTS: dict[str, PixelFamily] = {
    "bernoulli": "bernoulli",
    "discretised_logistic": "logistic_mixture",
    "categorical": "categorical",
}


@register_preset(
    paper="Dai and Wipf 2019",
    components="TwoStage prior, Normal posterior, ExPost(ELBO()), Pathwise()",
    use_when="better samples than vae with the same encoder: a second model learns where encodings "
    "lie",
    cost="a second, smaller model",
    avoid_when="log p(x) matters: vamp_vae learns prior and model together",
)
def two_stage_vae(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    dropout: float = 0.0,
    scale: Scale = None,
    samples: int = 1,
    beta: float | Schedule = 1.0,
) -> Recipe:
    """VAE whose prior is a second VAE of the encodings.

    Dai and Wipf, Diagnosing and enhancing VAE models (2019).
    """
    parts = build_encoder_and_likelihood(spec, latent, hidden, scale, dropout=dropout)
    model = VAE(
        build_second_stage_prior(latent), posteriors.Normal(parts.encoder, latent), parts.likelihood
    )
    return Recipe(
        model,
        objectives.ExPost(objectives.ELBO(samples, beta), priors.Normal(latent)),
        gradients.Pathwise(),
    )


@register_preset(
    paper="Gulrajani et al. 2017",
    components="Normal posterior, Pixel likelihood, ELBO(beta=Linear()), Pathwise()",
    use_when="images whose texture should not be in the latents: sharp draws and a far better "
    "likelihood",
    cost="one pass per pixel for each draw",
    avoid_when="draws must be fast, or the latent variables must hold everything",
)
def pixel_vae(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    dropout: float = 0.0,
    samples: int = 1,
    features: int = 16,
    layers: int = 2,
    kernel: int = 3,
    warmup: float = 2000,
) -> Recipe:
    """VAE whose decoder draws pixel by pixel, from nearby pixels and the latents.

    Gulrajani et al., PixelVAE (2017).

    Args:
        features: Number of channels of the masked convolutions.
        layers: Number of masked convolutions.
        kernel: Size of their kernels.
    """
    if not spec.image or spec.likelihood not in _PIXEL_OUTPUTS:
        raise ArgumentError(
            message(
                f"{{preset}} is for images of whole numbers, and the data have shape "
                f"{spec.event_shape} and another likelihood",
                preset=Argument("preset", "pixel_vae"),
            ),
            argument="likelihood",
            value=spec.likelihood,
            suggestions=(
                message("Use {vae}", vae=Argument("preset", "vae")),
                message(
                    "Read grey images with {binarise}", binarise=Argument("binarise", "dynamic")
                ),
            ),
        )

    def build_pixels(spec: Spec, network: nn.Module, latent_rank: int, scale: Scale) -> Likelihood:
        output = _PIXEL_OUTPUTS[spec.likelihood]
        levels = 2 if output == "bernoulli" else spec.levels or 256
        return likelihoods.Pixel(
            network,
            list(spec.event_shape),
            output,
            levels,
            features=features,
            layers=layers,
            kernel=kernel,
            latent_rank=latent_rank,
        )

    parts = build_encoder_and_likelihood(
        spec, latent, hidden, dropout=dropout, likelihood=build_pixels
    )
    model = VAE(priors.Normal(latent), posteriors.Normal(parts.encoder, latent), parts.likelihood)
    return Recipe(model, objectives.ELBO(samples, warmup_weight(warmup)), gradients.Pathwise())
