"""The models everything else is a change of."""

from __future__ import annotations

from collections.abc import Sequence

from .. import gradients, objectives, posteriors, priors
from .._recipe import Recipe
from ..data._spec import Spec
from ..models import VAE
from ..objectives import Schedule
from ._builders import build_encoder_and_likelihood

Hidden = Sequence[int] | None


def build_gaussian_vae(spec: Spec, latent: int, hidden: Hidden, scale: float | str | None) -> VAE:
    """Standard normal prior, diagonal Gaussian posterior."""
    parts = build_encoder_and_likelihood(spec, latent, hidden, scale)
    return VAE(priors.Normal(latent), posteriors.Normal(parts.encoder, latent), parts.likelihood)


def autoencoder(
    spec: Spec, *, latent: int = 16, hidden: Hidden = None, scale: float | str | None = None
) -> Recipe:
    """One code per datum, reconstruction alone. Rumelhart, Hinton and Williams (1986)."""
    parts = build_encoder_and_likelihood(spec, latent, hidden, scale)
    model = VAE(priors.Normal(latent), posteriors.Dirac(parts.encoder, latent), parts.likelihood)
    return Recipe(model, objectives.Reconstruction(), gradients.Pathwise())


def vae(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    scale: float | str | None = None,
    samples: int = 1,
    beta: float | Schedule = 1.0,
    free_bits: float = 0.0,
) -> Recipe:
    """Kingma and Welling, Auto-encoding variational Bayes (2014)."""
    return Recipe(
        build_gaussian_vae(spec, latent, hidden, scale),
        objectives.ELBO(samples, beta, free_bits),
        gradients.Pathwise(),
    )


def beta_vae(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    scale: float | str | None = None,
    samples: int = 1,
    beta: float | Schedule = 4.0,
    free_bits: float = 0.0,
) -> Recipe:
    """Higgins et al., beta-VAE (2017): the divergence weighs ``beta``."""
    return vae(
        spec,
        latent=latent,
        hidden=hidden,
        scale=scale,
        samples=samples,
        beta=beta,
        free_bits=free_bits,
    )


def iwae(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    scale: float | str | None = None,
    samples: int = 5,
) -> Recipe:
    """Burda, Grosse and Salakhutdinov, Importance weighted autoencoders (2016), with the doubly reparameterised gradient."""
    return Recipe(
        build_gaussian_vae(spec, latent, hidden, scale),
        objectives.IWAE(samples),
        gradients.DoublyReparameterised(),
    )
