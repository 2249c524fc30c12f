"""Likelihoods for data with outliers, and for counts."""

from __future__ import annotations

from dataclasses import replace

from .. import gradients, objectives
from .._recipe import Recipe
from ..data._spec import COUNT_LIKELIHOODS, REAL_LIKELIHOODS, Spec
from ..errors import ArgumentError
from ._basic import Hidden, build_gaussian_vae


def student_vae(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    scale: float | str | None = None,
    samples: int = 1,
) -> Recipe:
    """Takahashi et al., Student-t variational autoencoder for robust density estimation (2018), with learned degrees of freedom."""
    if spec.likelihood not in REAL_LIKELIHOODS:
        raise _unsupported_data_error("student_vae", "real numbers", spec, "student_t")
    return Recipe(
        build_gaussian_vae(replace(spec, likelihood="student_t"), latent, hidden, scale),
        objectives.ELBO(samples),
        gradients.Pathwise(),
    )


def count_vae(spec: Spec, *, latent: int = 16, hidden: Hidden = None, samples: int = 1) -> Recipe:
    """Lopez et al., Deep generative modeling for single-cell transcriptomics (2018): counts with more spread than a Poisson's."""
    if not spec.discrete:  # its numbers would be reported as densities
        raise _unsupported_data_error("count_vae", "0, 1, 2, ...", spec, "negative_binomial")
    unit = spec.scale[0] if spec.likelihood in COUNT_LIKELIHOODS else ((spec.levels or 2) - 1) / 4
    likelihood = spec.likelihood if spec.likelihood in COUNT_LIKELIHOODS else "negative_binomial"
    suited = replace(spec, likelihood=likelihood, shift=(0.0,), scale=(unit,))
    return Recipe(
        build_gaussian_vae(suited, latent, hidden, None),
        objectives.ELBO(samples),
        gradients.Pathwise(),
    )


def _unsupported_data_error(name: str, values: str, spec: Spec, instead: str) -> ArgumentError:
    return ArgumentError(
        f'preset `{name}` is for {values}, and the data were read for likelihood="{spec.likelihood}"; use likelihood={instead}.'
    )
