"""The models that other presets modify."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .. import gradients, objectives
from .._recipe import Recipe
from ..data._spec import Spec
from ..objectives import Schedule
from ._assemble import build_vae
from ._builders import Hidden, Scale
from ._registration import register_preset

__all__ = ["autoencoder", "beta_vae", "iwae", "vae"]


@register_preset(
    paper="Rumelhart et al. 1986",
    components="Dirac posterior, Reconstruction(), Pathwise()",
    use_when="a deterministic baseline",
    cost="none: the reference of deterministic models",
    avoid_when="you need log p(x), or samples",
    kind="reconstruction",
)
def autoencoder(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    dropout: float = 0.0,
    scale: Scale = None,
) -> Recipe:
    """Autoencoder: one encoding per datum, trained for reconstruction.

    Rumelhart, Hinton and Williams, Learning representations by back-propagating errors (1986).
    """
    model = build_vae(
        spec, latent=latent, posterior="dirac", hidden=hidden, dropout=dropout, scale=scale
    )
    return Recipe(model, objectives.Reconstruction(), gradients.Pathwise())


@register_preset(
    paper="Kingma and Welling 2014",
    components="Normal posterior, ELBO(), Pathwise()",
    use_when="to start with",
    cost="none: the reference",
    avoid_when="latent variables are discrete, or the likelihood matters most (iwae, vamp_vae)",
)
def vae(
    spec: Spec,
    *,
    latent: int | Sequence[int] = 16,
    hidden: Hidden = None,
    dropout: float = 0.0,
    scale: Scale = None,
    samples: int = 1,
    beta: float | Schedule = 1.0,
    free_bits: float = 0.0,
    prior: str | None = None,
    posterior: str | None = None,
    likelihood: str | None = None,
    prior_options: Mapping[str, Any] | None = None,
    posterior_options: Mapping[str, Any] | None = None,
) -> Recipe:
    """Variational autoencoder, with any registered prior, posterior and likelihood.

    Kingma and Welling, Auto-encoding variational Bayes (2014).

    Args:
        latent: Number of latent variables, or ``(variables, categories)`` for one-hot latents.
        prior: Name of the prior, as ``"vamp"``; by default the usual prior for the posterior.
        posterior: Name of the posterior, as ``"iaf"``; by default the usual posterior for the
            prior.
        likelihood: Name of the likelihood; by default that of the spec.
        prior_options: Arguments of the prior.
        posterior_options: Arguments of the posterior.
    """
    model = build_vae(
        spec,
        latent=latent,
        prior=prior,
        posterior=posterior,
        likelihood=likelihood,
        hidden=hidden,
        dropout=dropout,
        scale=scale,
        prior_options=prior_options,
        posterior_options=posterior_options,
    )
    return Recipe(model, objectives.ELBO(samples, beta, free_bits), gradients.Pathwise())


@register_preset(
    paper="Higgins et al. 2017",
    components="Normal posterior, ELBO(beta=4), Pathwise()",
    use_when="fewer and more independent latent variables",
    cost="as vae",
    avoid_when="the likelihood matters: a larger weight keeps less of the data",
)
def beta_vae(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    dropout: float = 0.0,
    scale: Scale = None,
    samples: int = 1,
    beta: float | Schedule = 4.0,
    free_bits: float = 0.0,
) -> Recipe:
    """VAE whose KL divergence has the weight ``beta``.

    Higgins et al., beta-VAE (2017).
    """
    model = build_vae(spec, latent=latent, hidden=hidden, dropout=dropout, scale=scale)
    return Recipe(model, objectives.ELBO(samples, beta, free_bits), gradients.Pathwise())


@register_preset(
    paper="Burda et al. 2016",
    components="Normal posterior, IWAE(5), DoublyReparameterised()",
    use_when="the best likelihood with one layer of latent variables",
    cost="the decoder runs samples times",
    avoid_when="you need accurate posteriors: the encoder may be worse than that of vae",
)
def iwae(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    dropout: float = 0.0,
    scale: Scale = None,
    samples: int = 5,
) -> Recipe:
    """Importance-weighted autoencoder with the doubly reparameterised gradient.

    Burda, Grosse and Salakhutdinov, Importance weighted autoencoders (2016).
    """
    model = build_vae(spec, latent=latent, hidden=hidden, dropout=dropout, scale=scale)
    return Recipe(model, objectives.IWAE(samples), gradients.DoublyReparameterised())
