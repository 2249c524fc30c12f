"""Models whose prior is learned."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .. import gradients, likelihoods, networks, objectives, posteriors, priors
from .._recipe import Recipe
from ..data._spec import Spec
from ..models import VAE
from ._builders import build_encoder_and_likelihood

Hidden = Sequence[int] | None


def vamp_vae(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    scale: float | str | None = None,
    components: int = 500,
    warmup: int = 2000,
) -> Recipe:
    """Tomczak and Welling, VAE with a VampPrior (2018); the divergence is warmed up over ``warmup`` steps."""
    parts = build_encoder_and_likelihood(spec, latent, hidden, scale)
    posterior = posteriors.Normal(parts.encoder, latent)
    prior = priors.Vamp(posterior, list(spec.event_shape), components, *_pseudo_input_range(spec))
    return Recipe(
        VAE(prior, posterior, parts.likelihood), _warmup_elbo(warmup), gradients.Pathwise()
    )


def mixture_vae(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    scale: float | str | None = None,
    components: int = 50,
    warmup: int = 2000,
) -> Recipe:
    """A learned mixture of Gaussians as prior: Dilokthanakul et al. (2016), Tomczak and Welling (2018)."""
    parts = build_encoder_and_likelihood(spec, latent, hidden, scale)
    model = VAE(
        priors.Mixture(latent, components),
        posteriors.Normal(parts.encoder, latent),
        parts.likelihood,
    )
    return Recipe(model, _warmup_elbo(warmup), gradients.Pathwise())


def mnist(
    spec: Spec,
    *,
    latent: int = 40,
    hidden: Hidden = (300, 300),
    components: int = 500,
    warmup: int = 4000,
) -> Recipe:
    """The best likelihood of binarized MNIST for minutes of two cores: gated layers and a VampPrior, as Tomczak and Welling (2018)."""
    size, widths = math.prod(spec.event_shape), list(hidden or (300, 300))
    posterior = posteriors.Normal(networks.MLP(size, widths, "glu"), latent)
    prior = priors.Vamp(posterior, list(spec.event_shape), components)
    likelihood = likelihoods.Bernoulli(
        networks.MLP(latent, widths[::-1], "glu"), list(spec.event_shape)
    )
    return Recipe(VAE(prior, posterior, likelihood), _warmup_elbo(warmup), gradients.Pathwise())


def _warmup_elbo(steps: int) -> objectives.ELBO:
    return objectives.ELBO(beta=objectives.Linear(steps=steps) if steps else 1.0)


def _pseudo_input_range(spec: Spec) -> tuple[float | None, float | None]:
    """Where pseudo-data may be: the range of binary and grey values, anywhere for real ones."""
    if spec.support == "levels":
        return 0.0, float((spec.levels or 256) - 1)
    return (0.0, 1.0) if spec.support in ("binary", "unit") else (None, None)
