"""What the bound leaves out, and why: the family of the posterior, and the encoder that is shared by all data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from ..data import Rows
from ..errors import IncompatibleError
from ..inference import RefinedPosterior, refine
from ..models import VAE
from ._blocks import as_model_rows, model_dtype, seeded_evaluation
from ._estimate import Estimate
from ._exact import decomposition
from ._log_likelihood import log_likelihood


@dataclass(frozen=True)
class InferenceGaps:
    """``log p(x) - ELBO = approximation_gap + amortisation_gap``, in nats per datum with standard errors over data. Cremer et al. (2018)."""

    log_likelihood: Estimate
    is_exact: bool  # whether log p(x) and the bounds are: else log p(x) is a lower bound, and the approximation gap at least this large
    refined_elbo: (
        Estimate  # the ELBO with the best posterior of the family that was found for each datum
    )
    elbo: Estimate  # the ELBO with the model's own posterior
    approximation_gap: Estimate  # log p(x) - refined: what the family cannot express
    amortisation_gap: Estimate  # refined - elbo: what one encoder for all data loses
    inference_gap: Estimate  # log p(x) - elbo, the sum of the two


def inference_gaps(
    model: VAE, x: Any, steps: int = 200, samples: int = 1000, *, lr: float = 0.1, seed: int = 0
) -> InferenceGaps:
    """Split the gap of the bound over data ``[N, *event]`` into what the family and what the encoder is to blame for.

    The family's best is found by ``inference.refine`` with ``steps`` and ``rate``; ``log p(x)`` is exact for linear-Gaussian models with a
    Gaussian posterior, as are both bounds, and elsewhere importance sampled with ``samples`` draws from the refined posteriors.

    Cremer, Li and Duvenaud, Inference suboptimality in variational autoencoders (2018). Raises ``DataError`` for data that the model
    cannot take, and ``IncompatibleError`` for a model whose posterior holds parameters per row: it has no encoder to blame.

    >>> import torch
    >>> from aevb import VAE, likelihoods, networks, posteriors, priors
    >>> net = networks.MLP(6, [8])
    >>> model = VAE(
    ...     priors.Normal(2),
    ...     posteriors.Normal(net, 2),
    ...     likelihoods.Bernoulli(networks.MLP(2, [8]), (6,)),
    ... )
    >>> found = gaps(model, torch.ones(4, 6), steps=20, samples=10)
    >>> found.exact, found.refined.mean > found.elbo.mean - 0.1
    (False, True)
    """
    if model.posterior.n_rows is not None:
        raise IncompatibleError(
            f"`posteriors.{type(model.posterior).__name__}` has no encoder, so there is no amortisation gap. Use "
            "`metrics.log_likelihood(inference.refine(model, x).model, x)` and the ELBO beside it."
        )
    rows = as_model_rows(model, x)
    with seeded_evaluation(model, seed):  # rows that are binarised afresh are read once
        data = rows.tensor().to(model_dtype(model))
    found = refine(model, data, steps, context=rows.context, lr=lr, seed=seed)
    return _exact_gaps(model, found, data) or _sampled_gaps(
        found, replace(Rows.from_array(data), context_table=rows.context_table), samples, seed
    )


def _exact_gaps(model: VAE, refined: RefinedPosterior, x: Tensor) -> InferenceGaps | None:
    """The gaps by formula, or ``None`` where the model is not linear-Gaussian, or its posterior not Gaussian."""
    try:
        with seeded_evaluation(model, seed=0):
            own, best = decomposition(model, x), decomposition(refined.model, x)
    except IncompatibleError:
        return None
    return _gaps_from_bounds(own.log_likelihood, best.elbo, own.elbo, is_exact=True)


def _sampled_gaps(refined: RefinedPosterior, x: Rows, samples: int, seed: int) -> InferenceGaps:
    weighed = log_likelihood(refined.model, x, samples, seed=seed).per_datum
    return _gaps_from_bounds(
        weighed,
        refined.elbo_after.to(weighed.device),
        refined.elbo_before.to(weighed.device),
        is_exact=False,
    )


def _gaps_from_bounds(
    log_likelihood: Tensor, refined_elbo: Tensor, elbo: Tensor, *, is_exact: bool
) -> InferenceGaps:
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
