"""Other ways to treat what is not observed: codes without an encoder, codes drawn exactly, weights with a posterior."""

from __future__ import annotations

from typing import Literal

from .. import gradients, likelihoods, objectives, posteriors, priors
from .._recipe import Recipe
from ..data._spec import Spec
from ..models import VAE
from ._basic import Hidden, build_gaussian_vae
from ._builders import build_encoder_and_likelihood

Scale = float | str | None


def mcem(
    spec: Spec,
    *,
    rows: int | None = None,
    latent: int = 16,
    hidden: Hidden = None,
    scale: Scale = None,
    samples: int = 1,
    chains: int = 1,
    leapfrogs: int = 10,
) -> Recipe:
    """Monte-Carlo EM as in section 5 of Kingma and Welling (2014): chains that go on with ``rows=len(data.train)``, else begun anew."""
    rule = gradients.MonteCarloEM(rows, None if rows is None else latent, chains, leapfrogs)
    return Recipe(build_gaussian_vae(spec, latent, hidden, scale), objectives.ELBO(samples), rule)


def svi(
    spec: Spec,
    *,
    rows: int = 0,
    latent: int = 16,
    hidden: Hidden = None,
    scale: Scale = None,
    samples: int = 1,
) -> Recipe:
    """Hoffman et al., Stochastic variational inference (2013): a Gaussian for each of ``rows=len(data.train)`` data, and no encoder."""
    parts = build_encoder_and_likelihood(spec, latent, hidden, scale)
    posterior = posteriors.NonAmortised(posteriors.Normal(parts.encoder, latent), rows)
    return Recipe(
        VAE(priors.Normal(latent), posterior, parts.likelihood),
        objectives.ELBO(samples),
        gradients.Pathwise(),
    )


def bayesian_vae(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    scale: Scale = None,
    samples: int = 1,
    prior_scale: float | Literal["learned"] = 0.1,
    draws: int = 8,
) -> Recipe:
    """Full variational Bayes, appendix F of Kingma and Welling (2014): the decoder's weights have a Gaussian posterior of their own."""
    parts = build_encoder_and_likelihood(spec, latent, hidden, scale)
    likelihood = likelihoods.Bayesian(parts.likelihood, prior_scale=prior_scale, draws=draws)
    model = VAE(priors.Normal(latent), posteriors.Normal(parts.encoder, latent), likelihood)
    return Recipe(model, objectives.ELBO(samples), gradients.Pathwise())
