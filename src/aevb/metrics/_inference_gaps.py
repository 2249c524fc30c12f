"""The gap between log p(x) and the ELBO, split by cause: posterior family and encoder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from ..data import Rows
from ..errors import IncompatibleError
from ..inference import RefinedPosterior, refine
from ..inference._batches import model_dtype, seeded_evaluation
from ..inference._inputs import as_model_rows
from ..models import VAE
from ..notes import Part, message
from ._estimate import Estimate
from ._exact import decomposition
from ._log_likelihood import log_likelihood


@dataclass(frozen=True)
class InferenceGaps:
    """``log p(x) - ELBO = approximation_gap + amortisation_gap``, in nats per row.

    Cremer et al. (2018).

    Args:
        log_likelihood: The estimate of ``log p(x)``.
        is_exact: Whether ``log p(x)`` and the bounds are exact. Otherwise ``log p(x)`` is a lower
            bound, and the approximation gap is at least this large.
        refined_elbo: The ELBO with the best posterior of the family, optimised for each row.
        elbo: The ELBO with the model's own posterior.
        approximation_gap: ``log p(x) - refined_elbo``: what the family cannot express.
        amortisation_gap: ``refined_elbo - elbo``: what one encoder for all rows loses.
        inference_gap: ``log p(x) - elbo``, the sum of the two.
    """

    log_likelihood: Estimate
    is_exact: bool
    refined_elbo: Estimate
    elbo: Estimate
    approximation_gap: Estimate
    amortisation_gap: Estimate
    inference_gap: Estimate


def inference_gaps(
    model: VAE, x: Any, steps: int = 200, samples: int = 1000, *, lr: float = 0.1, seed: int = 0
) -> InferenceGaps:
    """Split the gap of the ELBO into the parts of the posterior family and of the encoder.

    ``log p(x)`` and both bounds are exact for linear-Gaussian models with a Gaussian posterior.
    Otherwise ``log p(x)`` is importance sampled with draws from the refined posteriors.

    Cremer, Li and Duvenaud, Inference suboptimality in variational autoencoders (2018).

    Args:
        model: The model. Its weights are not changed.
        x: Rows ``[N, *event]``: a tensor, an array or ``Rows``.
        steps: Steps of ``inference.refine``, which finds the best posterior for each row.
        samples: Importance samples per row.
        lr: Learning rate of ``inference.refine``.
        seed: Seed of the draws.

    Returns:
        The gaps, with standard errors over rows.

    Raises:
        IncompatibleError: The posterior has parameters per training row, and no encoder.
        DataError: A row has another shape, or lies outside the likelihood's support.

    Example:
        >>> import torch
        >>> from aevb import VAE, likelihoods, networks, posteriors, priors
        >>> model = VAE(
        ...     priors.Normal(2),
        ...     posteriors.Normal(networks.MLP(6, [8]), 2),
        ...     likelihoods.Bernoulli(networks.MLP(2, [8]), (6,)),
        ... )
        >>> gaps = inference_gaps(model, torch.ones(4, 6), steps=20, samples=10)
        >>> gaps.is_exact, gaps.refined_elbo.mean > gaps.elbo.mean - 0.1
        (False, True)
    """
    if model.posterior.n_rows is not None:
        raise IncompatibleError(
            f"`posteriors.{type(model.posterior).__name__}` has no encoder, so that there is no "
            "amortisation gap",
            suggestions=(
                message(
                    "Compare {log_likelihood} of the model of {refine} with its ELBO",
                    log_likelihood=Part("metrics.log_likelihood"),
                    refine=Part("inference.refine"),
                ),
            ),
        )
    rows = as_model_rows(model, x)
    with seeded_evaluation(model, seed):  # rows with a random binarisation are read once
        data = rows.tensor()
        data = data if rows.offset else data.to(model_dtype(model))
    refined = refine(model, data, steps, context=rows.context, lr=lr, seed=seed)
    exact = _exact_gaps(model, refined, data)
    if exact is not None:
        return exact
    rows = replace(Rows.in_model_units(data, model.data_offset), context_table=rows.context_table)
    return _sampled_gaps(refined, rows, samples, seed)


def _exact_gaps(model: VAE, refined: RefinedPosterior, x: Tensor) -> InferenceGaps | None:
    """The gaps by formula; ``None`` if model or posterior are not linear-Gaussian."""
    try:
        with seeded_evaluation(model, seed=0):
            own, best = decomposition(model, x), decomposition(refined.model, x)
    except IncompatibleError:
        return None
    return _gaps_from_bounds(own.log_likelihood, best.elbo, own.elbo, is_exact=True)


def _sampled_gaps(refined: RefinedPosterior, x: Rows, samples: int, seed: int) -> InferenceGaps:
    """The gaps with an importance-sampled ``log p(x)``."""
    estimate = log_likelihood(refined.model, x, samples, seed=seed).per_datum
    bounds = (refined.elbo_after.to(estimate.device), refined.elbo_before.to(estimate.device))
    return _gaps_from_bounds(estimate, *bounds, is_exact=False)


def _gaps_from_bounds(
    log_likelihood: Tensor, refined_elbo: Tensor, elbo: Tensor, *, is_exact: bool
) -> InferenceGaps:
    """The gaps from log p(x) and both bounds of each row."""
    parts = (
        refined_elbo,
        elbo,
        log_likelihood - refined_elbo,
        refined_elbo - elbo,
        log_likelihood - elbo,
    )
    return InferenceGaps(
        Estimate.from_values(log_likelihood), is_exact, *map(Estimate.from_values, parts)
    )
