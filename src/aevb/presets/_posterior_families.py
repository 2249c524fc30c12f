"""Methods with another posterior, or with a flow as the prior."""

from __future__ import annotations

from typing import Any

from .. import gradients, objectives
from .._recipe import Recipe
from ..data._spec import Spec
from ._assemble import build_vae
from ._builders import Hidden, Scale
from ._registration import register_preset

__all__ = [
    "flow_prior_vae",
    "full_covariance_vae",
    "iaf_vae",
    "maf_vae",
    "planar_vae",
    "poincare_vae",
    "spherical_vae",
    "spline_vae",
]


@register_preset(
    paper="Kingma and Welling 2019",
    components="Normal posterior with full covariance, ELBO(), Pathwise()",
    use_when="few latent variables that depend on each other given the data",
    cost="latent squared outputs of the encoder",
    avoid_when="there are many latent variables",
)
def full_covariance_vae(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    dropout: float = 0.0,
    scale: Scale = None,
    samples: int = 1,
) -> Recipe:
    """VAE with a Gaussian posterior of full covariance.

    Kingma and Welling, An introduction to variational autoencoders (2019), section 2.5.
    """
    return _elbo_recipe(spec, latent, hidden, scale, samples, dropout, posterior="full_covariance")


@register_preset(
    paper="Rezende and Mohamed 2015",
    components="Planar posterior, ELBO(), Pathwise()",
    use_when="posteriors that are not Gaussian, with few parameters",
    cost="as vae, a few vectors per layer",
    avoid_when="the gap must be small: iaf_vae is more flexible",
)
def planar_vae(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    dropout: float = 0.0,
    scale: Scale = None,
    samples: int = 1,
    steps: int = 8,
) -> Recipe:
    """VAE with a planar flow as posterior.

    Rezende and Mohamed, Variational inference with normalizing flows (2015).

    Args:
        steps: Number of planar maps.
    """
    options = {"steps": steps}
    return _elbo_recipe(
        spec, latent, hidden, scale, samples, dropout, posterior="planar", posterior_options=options
    )


@register_preset(
    paper="Kingma et al. 2016",
    components="Flow posterior, ELBO(), Pathwise()",
    use_when="posteriors of any shape: the tightest bound of one layer",
    cost="one network more",
    avoid_when="you need the density of other points than draws: maf_vae",
)
def iaf_vae(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    dropout: float = 0.0,
    scale: Scale = None,
    samples: int = 1,
    transforms: int = 2,
) -> Recipe:
    """VAE with an inverse autoregressive flow as posterior.

    Kingma et al., Improved variational inference with inverse autoregressive flow (2016).

    Args:
        transforms: Number of transforms of the flow.
    """
    options = {"transforms": transforms}
    return _elbo_recipe(
        spec, latent, hidden, scale, samples, dropout, posterior="iaf", posterior_options=options
    )


@register_preset(
    paper="Papamakarios et al. 2017",
    components="Flow posterior, ELBO(), Pathwise()",
    use_when="as iaf_vae where the density of other points matters",
    cost="one pass per latent variable for each draw",
    avoid_when="draws must be fast: iaf_vae, spline_vae",
)
def maf_vae(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    dropout: float = 0.0,
    scale: Scale = None,
    samples: int = 1,
    transforms: int = 2,
) -> Recipe:
    """VAE with a masked autoregressive flow as posterior.

    Papamakarios, Pavlakou and Murray, Masked autoregressive flow (2017).

    Args:
        transforms: Number of transforms of the flow.
    """
    options = {"transforms": transforms}
    return _elbo_recipe(
        spec, latent, hidden, scale, samples, dropout, posterior="maf", posterior_options=options
    )


@register_preset(
    paper="Durkan et al. 2019",
    components="Flow posterior, ELBO(), Pathwise()",
    use_when="posteriors with several modes, with draws and densities in one pass each",
    cost="one network per coupling layer",
    avoid_when="there is one latent variable: it has nothing to couple",
)
def spline_vae(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    dropout: float = 0.0,
    scale: Scale = None,
    samples: int = 1,
    transforms: int = 2,
) -> Recipe:
    """VAE with a neural spline flow as posterior.

    Durkan et al., Neural spline flows (2019).

    Args:
        transforms: Number of transforms of the flow.
    """
    options = {"transforms": transforms}
    return _elbo_recipe(
        spec, latent, hidden, scale, samples, dropout, posterior="spline", posterior_options=options
    )


@register_preset(
    paper="Chen et al. 2017",
    components="Flow prior, Normal posterior, ELBO(), Pathwise()",
    use_when="better samples than vae: the prior learns where encodings lie",
    cost="one flow more, and slower draws",
    avoid_when="there are few rows: the prior overfits their encodings",
)
def flow_prior_vae(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    dropout: float = 0.0,
    scale: Scale = None,
    samples: int = 1,
    transforms: int = 3,
) -> Recipe:
    """VAE with an autoregressive flow as prior.

    Chen et al., Variational lossy autoencoder (2017).

    Args:
        transforms: Number of transforms of the flow.
    """
    options = {"transforms": transforms}
    return _elbo_recipe(
        spec, latent, hidden, scale, samples, dropout, prior="flow", prior_options=options
    )


@register_preset(
    paper="Davidson et al. 2018",
    components="VonMisesFisher posterior, Sphere prior, ELBO(), Pathwise()",
    use_when="latent variables that are directions, compared by angle",
    cost="rejection sampling in each draw",
    avoid_when="there are many latent variables: vae",
)
def spherical_vae(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    dropout: float = 0.0,
    scale: Scale = None,
    samples: int = 1,
) -> Recipe:
    """VAE with latents on a sphere.

    Davidson et al., Hyperspherical variational auto-encoders (2018).
    """
    return _elbo_recipe(spec, latent, hidden, scale, samples, dropout, posterior="von_mises_fisher")


@register_preset(
    paper="Mathieu et al. 2019",
    components="WrappedNormal posterior and prior, ELBO(), Pathwise()",
    use_when="data that branch like a tree, in few latent variables",
    cost="as vae, curved distances",
    avoid_when="the data have no hierarchy, or there are many latent variables",
)
def poincare_vae(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    dropout: float = 0.0,
    scale: Scale = None,
    samples: int = 1,
) -> Recipe:
    """VAE with latents in the Poincare ball.

    Mathieu et al., Continuous hierarchical representations with Poincare variational auto-encoders
    (2019).
    """
    return _elbo_recipe(spec, latent, hidden, scale, samples, dropout, posterior="wrapped_normal")


def _elbo_recipe(
    spec: Spec,
    latent: int,
    hidden: Hidden,
    scale: Scale,
    samples: int,
    dropout: float,
    **families: Any,
) -> Recipe:
    """A model with these families, trained by the ELBO."""
    model = build_vae(spec, latent=latent, hidden=hidden, dropout=dropout, scale=scale, **families)
    return Recipe(model, objectives.ELBO(samples), gradients.Pathwise())
