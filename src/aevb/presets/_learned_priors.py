"""Models whose prior is learned."""

from __future__ import annotations

import math

from .. import gradients, likelihoods, networks, objectives, posteriors, priors
from .._recipe import Recipe
from ..data._spec import Spec
from ..models import VAE
from ._assemble import build_vae
from ._builders import Hidden, Scale, warmup_weight
from ._registration import register_preset

__all__ = ["mixture_vae", "mnist", "vamp_vae"]

MIN_VAMP_ROWS = 10_000  # with 4,100 rows, 500 pseudo-inputs are worse than a fixed prior


@register_preset(
    paper="Tomczak and Welling 2018",
    components="Vamp prior, Normal posterior, ELBO(beta=Linear()), Pathwise()",
    use_when="the best likelihood of one layer of latent variables",
    cost="two to three times vae",
    avoid_when="there are fewer than about 10,000 rows: the learned prior overfits them",
    takes_columns=False,
    min_rows=MIN_VAMP_ROWS,
)
def vamp_vae(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    dropout: float = 0.0,
    scale: Scale = None,
    components: int = 500,
    warmup: float = 2000,
) -> Recipe:
    """VAE whose prior is a mixture of posteriors of pseudo-inputs.

    Tomczak and Welling, VAE with a VampPrior (2018).

    Args:
        components: Number of pseudo-inputs.
    """
    model = build_vae(
        spec,
        latent=latent,
        prior="vamp",
        prior_options={"components": components},
        hidden=hidden,
        dropout=dropout,
        scale=scale,
    )
    return Recipe(model, _warmup_elbo(warmup), gradients.Pathwise())


@register_preset(
    paper="Dilokthanakul et al. 2016",
    components="Mixture prior, Normal posterior, ELBO(beta=Linear()), Pathwise()",
    use_when="data with clusters",
    cost="as vae, one density per component",
    avoid_when="the data have no clusters: vae",
)
def mixture_vae(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    dropout: float = 0.0,
    scale: Scale = None,
    components: int = 50,
    warmup: float = 2000,
) -> Recipe:
    """VAE whose prior is a learned mixture of Gaussians.

    Dilokthanakul et al., Deep unsupervised clustering with Gaussian mixture variational
    autoencoders (2016); Tomczak and Welling, VAE with a VampPrior (2018).

    Args:
        components: Number of components.
    """
    model = build_vae(
        spec,
        latent=latent,
        prior="mixture",
        prior_options={"components": components},
        hidden=hidden,
        dropout=dropout,
        scale=scale,
    )
    return Recipe(model, _warmup_elbo(warmup), gradients.Pathwise())


@register_preset(
    paper="Tomczak and Welling 2018",
    components="Vamp prior, Normal posterior, gated layers, ELBO(beta=Linear()), Pathwise()",
    use_when="the best likelihood of binarised MNIST in minutes on two cores",
    cost="as vamp_vae, with gated layers",
    avoid_when="the data are not like binarised MNIST: it overfits fewer than about 10,000 rows",
    takes_columns=False,
    min_rows=MIN_VAMP_ROWS,
)
def mnist(
    spec: Spec,
    *,
    latent: int = 40,
    hidden: Hidden = (300, 300),
    dropout: float = 0.0,
    components: int = 500,
    warmup: float = 4000,
) -> Recipe:
    """VAE for binarised MNIST: gated layers and a VampPrior.

    Tomczak and Welling, VAE with a VampPrior (2018).

    Args:
        hidden: Widths of the gated layers, mirrored in the decoder.
        components: Number of pseudo-inputs.
    """
    size, widths = math.prod(spec.event_shape), list(hidden or (300, 300))
    posterior = posteriors.Normal(networks.MLP(size, widths, "glu", dropout=dropout), latent)
    prior = priors.Vamp(posterior, list(spec.event_shape), components)
    likelihood = likelihoods.Bernoulli(
        networks.MLP(latent, widths[::-1], "glu", dropout=dropout), list(spec.event_shape)
    )
    return Recipe(VAE(prior, posterior, likelihood), _warmup_elbo(warmup), gradients.Pathwise())


def _warmup_elbo(warmup: float) -> objectives.ELBO:
    """The ELBO with a weight of the KL divergence that rises over ``warmup`` steps."""
    return objectives.ELBO(beta=warmup_weight(warmup))
