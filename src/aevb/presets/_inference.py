"""Other ways to infer what is not observed: no encoder, exact draws, random weights."""

from __future__ import annotations

from typing import Literal

from .. import gradients, likelihoods, objectives, posteriors, priors
from .._recipe import Recipe
from ..data._spec import Spec
from ..models import VAE
from ._assemble import build_vae
from ._builders import Hidden, Scale, build_encoder_and_likelihood
from ._registration import register_preset

__all__ = ["bayesian_vae", "mcem", "svi"]


@register_preset(
    paper="Kingma and Welling 2014",
    components="Normal posterior, ELBO(), MonteCarloEM()",
    use_when="few rows and the best decoder for them: it maximises the likelihood itself",
    cost="ten decoder passes per step",
    avoid_when="there are many rows: it keeps a chain for each",
)
def mcem(
    spec: Spec,
    *,
    rows: int | None = None,
    latent: int = 16,
    hidden: Hidden = None,
    dropout: float = 0.0,
    scale: Scale = None,
    samples: int = 1,
    chains: int = 1,
    leapfrogs: int = 10,
) -> Recipe:
    """Monte Carlo EM with Hamiltonian chains.

    Kingma and Welling, Auto-encoding variational Bayes (2014), section 5.

    Args:
        rows: Number of training rows, ``len(data.train)``, for chains that continue between
            epochs; otherwise they begin at draws of the posterior each time.
        chains: Number of chains per row.
        leapfrogs: Number of leapfrog steps of a proposal.
    """
    rule = gradients.MonteCarloEM(rows, None if rows is None else latent, chains, leapfrogs)
    model = build_vae(spec, latent=latent, hidden=hidden, dropout=dropout, scale=scale)
    return Recipe(model, objectives.ELBO(samples), rule)


@register_preset(
    paper="Hoffman et al. 2013",
    components="NonAmortised posterior, ELBO(), Pathwise()",
    use_when="few rows, and no others to come: no encoder, and no loss from one",
    cost="parameters for each row",
    avoid_when="new rows will come: each needs inference.refine",
)
def svi(
    spec: Spec,
    *,
    rows: int = 0,
    latent: int = 16,
    hidden: Hidden = None,
    dropout: float = 0.0,
    scale: Scale = None,
    samples: int = 1,
) -> Recipe:
    """Stochastic variational inference: a Gaussian for each row, and no encoder.

    Hoffman et al., Stochastic variational inference (2013).

    Args:
        rows: Number of training rows, ``len(data.train)``.
    """
    parts = build_encoder_and_likelihood(spec, latent, hidden, scale, dropout=dropout)
    posterior = posteriors.NonAmortised(posteriors.Normal(parts.encoder, latent), rows)
    return Recipe(
        VAE(priors.Normal(latent), posterior, parts.likelihood),
        objectives.ELBO(samples),
        gradients.Pathwise(),
    )


@register_preset(
    paper="Kingma and Welling 2014",
    components="Normal posterior, Bayesian likelihood, ELBO(), Pathwise()",
    use_when="few rows, on which a decoder with fixed weights would overfit",
    cost="as vae, twice the parameters of the decoder",
    avoid_when="there are many rows: vae is the same and faster",
)
def bayesian_vae(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    dropout: float = 0.0,
    scale: Scale = None,
    samples: int = 1,
    prior_scale: float | Literal["learned"] = 0.1,
    draws: int = 8,
) -> Recipe:
    """VAE whose decoder weights have a Gaussian posterior.

    Kingma and Welling, Auto-encoding variational Bayes (2014), appendix F.

    Args:
        prior_scale: Standard deviation of the prior of the weights, or ``"learned"``.
        draws: Number of draws of the weights in evaluation.
    """
    parts = build_encoder_and_likelihood(spec, latent, hidden, scale, dropout=dropout)
    likelihood = likelihoods.Bayesian(parts.likelihood, prior_scale=prior_scale, draws=draws)
    model = VAE(priors.Normal(latent), posteriors.Normal(parts.encoder, latent), likelihood)
    return Recipe(model, objectives.ELBO(samples), gradients.Pathwise())
