"""Methods that are another posterior, or a prior that is a flow."""

from __future__ import annotations

from .. import gradients, objectives, posteriors, priors
from .._conditional import Conditional, Unconditional
from .._recipe import Recipe
from ..data._spec import Spec
from ..models import VAE
from ..priors._flow import FlowKind
from ._basic import Hidden
from ._builders import EncoderAndLikelihood, build_encoder_and_likelihood

Scale = float | str | None


def full_covariance_vae(
    spec: Spec, *, latent: int = 16, hidden: Hidden = None, scale: Scale = None, samples: int = 1
) -> Recipe:
    """Kingma and Welling, An introduction to variational autoencoders (2019), section 2.5: a Gaussian posterior of full covariance."""
    parts = build_encoder_and_likelihood(spec, latent, hidden, scale)
    return _elbo_recipe(
        priors.Normal(latent),
        posteriors.Normal(parts.encoder, latent, covariance="full"),
        parts,
        samples,
    )


def planar_vae(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    scale: Scale = None,
    samples: int = 1,
    steps: int = 8,
) -> Recipe:
    """Rezende and Mohamed, Variational inference with normalizing flows (2015)."""
    parts = build_encoder_and_likelihood(spec, latent, hidden, scale)
    return _elbo_recipe(
        priors.Normal(latent), posteriors.Planar(parts.encoder, latent, steps), parts, samples
    )


def iaf_vae(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    scale: Scale = None,
    samples: int = 1,
    transforms: int = 2,
) -> Recipe:
    """Kingma et al., Improved variational inference with inverse autoregressive flow (2016)."""
    return _flow_posterior_recipe(spec, "iaf", latent, hidden, scale, samples, transforms)


def maf_vae(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    scale: Scale = None,
    samples: int = 1,
    transforms: int = 2,
) -> Recipe:
    """Papamakarios, Pavlakou and Murray, Masked autoregressive flow (2017), as a posterior."""
    return _flow_posterior_recipe(spec, "maf", latent, hidden, scale, samples, transforms)


def spline_vae(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    scale: Scale = None,
    samples: int = 1,
    transforms: int = 2,
) -> Recipe:
    """Durkan et al., Neural spline flows (2019), as a posterior."""
    return _flow_posterior_recipe(spec, "spline", latent, hidden, scale, samples, transforms)


def flow_prior_vae(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    scale: Scale = None,
    samples: int = 1,
    transforms: int = 3,
) -> Recipe:
    """Chen et al., Variational lossy autoencoder (2017): an autoregressive flow as the prior."""
    parts = build_encoder_and_likelihood(spec, latent, hidden, scale)
    return _elbo_recipe(
        priors.Flow(latent, "maf", transforms),
        posteriors.Normal(parts.encoder, latent),
        parts,
        samples,
    )


def spherical_vae(
    spec: Spec, *, latent: int = 16, hidden: Hidden = None, scale: Scale = None, samples: int = 1
) -> Recipe:
    """Davidson et al., Hyperspherical variational auto-encoders (2018)."""
    parts = build_encoder_and_likelihood(spec, latent, hidden, scale)
    return _elbo_recipe(
        priors.Sphere(latent), posteriors.VonMisesFisher(parts.encoder, latent), parts, samples
    )


def poincare_vae(
    spec: Spec, *, latent: int = 16, hidden: Hidden = None, scale: Scale = None, samples: int = 1
) -> Recipe:
    """Mathieu et al., Continuous hierarchical representations with Poincare variational auto-encoders (2019)."""
    parts = build_encoder_and_likelihood(spec, latent, hidden, scale)
    return _elbo_recipe(
        priors.WrappedNormal(latent),
        posteriors.WrappedNormal(parts.encoder, latent),
        parts,
        samples,
    )


def _flow_posterior_recipe(
    spec: Spec,
    kind: FlowKind,
    latent: int,
    hidden: Hidden,
    scale: Scale,
    samples: int,
    transforms: int,
) -> Recipe:
    parts = build_encoder_and_likelihood(spec, latent, hidden, scale)
    return _elbo_recipe(
        priors.Normal(latent),
        posteriors.Flow(parts.encoder, latent, kind, transforms),
        parts,
        samples,
    )


def _elbo_recipe(
    prior: Unconditional, posterior: Conditional, parts: EncoderAndLikelihood, samples: int
) -> Recipe:
    return Recipe(
        VAE(prior, posterior, parts.likelihood), objectives.ELBO(samples), gradients.Pathwise()
    )
