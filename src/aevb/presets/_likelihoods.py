"""Likelihoods for data with outliers, and for counts."""

from __future__ import annotations

from typing import Literal, get_args

from .. import gradients, objectives
from .._recipe import Recipe
from ..data._spec import Spec
from ..errors import ArgumentError, check_choice
from ..likelihoods import LikelihoodRegistration
from ..networks import Labels
from ..notes import Argument, message
from ._assemble import build_vae
from ._builders import Hidden, Scale
from ._registration import register_preset

__all__ = ["count_vae", "student_vae"]

Dispersion = Literal["gene", "gene-batch", "gene-cell"]
_CONCENTRATION = dict(
    zip(get_args(Dispersion), ("per_element", "per_class", "predicted"), strict=True)
)


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
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    dropout: float = 0.0,
    samples: int = 1,
    dispersion: Dispersion = "gene",
) -> Recipe:
    """VAE for counts that vary more than a Poisson distribution.

    Lopez et al., Deep generative modeling for single-cell transcriptomics (2018).

    Args:
        dispersion: The concentration of the counts is learned for each column (``"gene"``), for
            each column and class of the condition (``"gene-batch"``), or the decoder gives it for
            each column and row (``"gene-cell"``).
    """
    counts = LikelihoodRegistration.find(spec.likelihood).scaling == "mean"
    model = build_vae(
        spec,
        latent=latent,
        likelihood=spec.likelihood if counts else "negative_binomial",
        hidden=hidden,
        dropout=dropout,
        likelihood_options=_dispersion_options(spec, dispersion),
    )
    return Recipe(model, objectives.ELBO(samples), gradients.Pathwise())


def _dispersion_options(spec: Spec, dispersion: str) -> dict[str, str]:
    """The arguments of the likelihood for a dispersion.

    Raises:
        ArgumentError: It is not known, or the data or their likelihood have no part in it.
    """
    check_choice("dispersion", dispersion, tuple(_CONCENTRATION))
    if dispersion == "gene":
        return {}
    if spec.likelihood == "poisson":
        reason = message("a Poisson distribution has none")
        remedy = message(
            "Read the data with {counts}", counts=Argument("likelihood", "negative_binomial")
        )
        raise ArgumentError(reason, argument="dispersion", value=dispersion, suggestions=(remedy,))
    if dispersion == "gene-batch" and not any(isinstance(v, Labels) for v in spec.condition or ()):
        raise ArgumentError(
            "the data have no condition with classes",
            argument="dispersion",
            value=dispersion,
            suggestions=(
                message("Read the data with {batch}", batch=Argument("condition", "batch")),
                message("Write {gene}", gene=Argument("dispersion", "gene")),
            ),
        )
    return {"concentration": _CONCENTRATION[dispersion]}
