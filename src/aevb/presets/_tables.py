"""Models of tables of mixed columns: one for scores, one for synthetic rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import gradients, objectives, posteriors, priors
from .._recipe import Recipe
from ..data._spec import Spec
from ..models import VAE
from ..objectives import Schedule
from ._assemble import build_vae
from ._builders import Hidden, Scale, build_encoder_and_likelihood
from ._defaults import TableDefaults
from ._registration import register_preset

__all__ = ["table_synthesis", "table_vae"]

SYNTHESIS_WIDTHS = (256, 256)


@register_preset(
    paper="Mattei and Frellsen 2019",
    components="Normal posterior, a likelihood for each column, IWAE(5), DoublyReparameterised()",
    use_when="tables of numbers, categories and dates with empty cells: scores and imputation",
    cost="five decoder passes per row, with smaller networks than vae",
    avoid_when="realistic rows matter more than log p(x): table_synthesis",
)
def table_vae(
    spec: Spec,
    *,
    latent: int | None = None,
    hidden: Hidden = None,
    scale: Scale = None,
    linear: bool = True,
    dropout: float = 0.0,
    samples: int = 5,
    beta: float | Schedule | None = None,
    free_bits: float | None = None,
    prior: str | None = None,
    posterior: str | None = None,
    prior_options: Mapping[str, Any] | None = None,
    posterior_options: Mapping[str, Any] | None = None,
) -> Recipe:
    """VAE of a table: a likelihood for each column by its kind, and missing cells left out.

    The importance-weighted bound of several draws keeps the spread of imputed cells and brings
    their mean closer than a bound of one draw. Mattei and Frellsen, MIWAE: deep generative
    modelling and imputation of incomplete data sets (2019); Nazabal et al., Handling incomplete
    heterogeneous data using VAEs (2020).

    Real numbers start at factor analysis (Rubin and Thayer, EM algorithms for ML factor analysis,
    1982), all other columns at their marginal distributions.

    Args:
        latent: Number of latent variables; by default chosen by ``TableDefaults``, as are the
            widths, the scale, the prior and the training.
        hidden: Widths of the encoder's layers, mirrored in the decoder.
        scale: Scale of the numbers around their mean: ``"per_element"`` or ``"predicted"``.
        linear: Whether the networks contain a linear map, so that training begins at a Gaussian
            with the covariance of the training rows; complete tables of real numbers are whitened.
        beta: Weight of the KL divergence, which the ELBO takes in place of the importance-weighted
            bound; 1 where only ``free_bits`` are set.
        free_bits: Floor of the KL divergence per latent variable in nats, also for the ELBO.
        prior: Name of the prior, as ``"vamp"``; by default the usual prior for the posterior.
        posterior: Name of the posterior, as ``"iaf"``; by default the usual posterior for the
            prior.
        prior_options: Arguments of the prior.
        posterior_options: Arguments of the posterior.
    """
    defaults = TableDefaults.for_spec(spec)
    latent = defaults.latent if latent is None else latent
    if linear and prior is None and posterior is None and defaults.starts_at_mixture(latent):
        prior = "mixture"
        prior_options = {"components": defaults.components, "covariance": "full"}
    model = build_vae(
        spec,
        latent=latent,
        prior=prior,
        posterior=posterior,
        hidden=defaults.hidden if hidden is None else hidden,
        scale=defaults.scale if scale is None and linear else scale,
        linear=linear,
        dropout=dropout,
        prior_options=prior_options,
        posterior_options=posterior_options,
    )
    if beta is None and free_bits is None:
        can = model.capabilities
        doubly = can.has_density and can.reparameterised and can.finite_states is None
        gradient = gradients.DoublyReparameterised() if doubly else gradients.Pathwise()
        return Recipe(model, objectives.IWAE(samples), gradient, defaults.training)
    weight = 1.0 if beta is None else beta
    elbo = objectives.ELBO(samples, weight, free_bits or 0.0)
    return Recipe(model, elbo, gradients.Pathwise(), defaults.training)


@register_preset(
    paper="Zhang et al. 2024",
    components="Mixture prior, Normal posterior, a likelihood for each column, "
    "ExPost(ELBO(beta=0.2)), Pathwise()",
    use_when="synthetic rows of a table: encodings keep more of each row, and the prior is fitted "
    "to them",
    cost="twice table_vae",
    avoid_when="log p(x) matters: table_vae",
)
def table_synthesis(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = SYNTHESIS_WIDTHS,
    dropout: float = 0.0,
    samples: int = 1,
    beta: float | Schedule = 0.2,
    components: int = 50,
) -> Recipe:
    """VAE of a table whose prior, a mixture of Gaussians, is fitted to the encodings.

    Zhang et al., Mixed-type tabular data synthesis with score-based diffusion in latent space
    (2024), with a mixture in the place of the diffusion.

    Args:
        hidden: Widths of the encoder's layers, mirrored in the decoder.
        components: Number of Gaussians of the prior.
    """
    parts = build_encoder_and_likelihood(spec, latent, hidden, dropout=dropout)
    model = VAE(
        priors.Mixture(latent, components, "full"),
        posteriors.Normal(parts.encoder, latent),
        parts.likelihood,
    )
    return Recipe(
        model,
        objectives.ExPost(objectives.ELBO(samples, beta), priors.Normal(latent)),
        gradients.Pathwise(),
    )
