"""Likelihoods for data with outliers, and for counts."""

from __future__ import annotations

from .. import gradients, objectives
from .._recipe import Recipe
from ..data._spec import Spec
from ..likelihoods import LikelihoodRegistration
from ._assemble import build_vae
from ._builders import Hidden, Scale
from ._registration import register_preset

__all__ = ["count_vae", "student_vae"]


@register_preset(
    paper="Takahashi et al. 2018",
    components="Normal posterior, StudentT likelihood, ELBO(), Pathwise()",
    use_when="real numbers with outliers, to which a normal likelihood would adapt",
    cost="as vae",
    avoid_when="columns repeat values: their density has no limit",
    table_likelihood="student_t",
)
def student_vae(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    dropout: float = 0.0,
    scale: Scale = None,
    samples: int = 1,
) -> Recipe:
    """VAE with a Student t likelihood whose degrees of freedom are learned.

    Takahashi et al., Student-t variational autoencoder for robust density estimation (2018).
    """
    model = build_vae(
        spec, latent=latent, likelihood="student_t", hidden=hidden, dropout=dropout, scale=scale
    )
    return Recipe(model, objectives.ELBO(samples), gradients.Pathwise())


@register_preset(
    paper="Lopez et al. 2018",
    components="Normal posterior, NegativeBinomial likelihood, ELBO(), Pathwise()",
    use_when="counts, as of words, genes or events",
    cost="as vae",
    avoid_when="the numbers are not counts",
    data_likelihood="negative_binomial",
)
def count_vae(
    spec: Spec, *, latent: int = 16, hidden: Hidden = None, dropout: float = 0.0, samples: int = 1
) -> Recipe:
    """VAE for counts that vary more than a Poisson distribution.

    Lopez et al., Deep generative modeling for single-cell transcriptomics (2018).
    """
    counts = LikelihoodRegistration.find(spec.likelihood).scaling == "mean"
    model = build_vae(
        spec,
        latent=latent,
        likelihood=spec.likelihood if counts else "negative_binomial",
        hidden=hidden,
        dropout=dropout,
    )
    return Recipe(model, objectives.ELBO(samples), gradients.Pathwise())
