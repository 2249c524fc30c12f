"""What the bound leaves out, and why: the family of the posterior, and the encoder that is shared by all data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from ..data import Rows
from ..errors import IncompatibleError
from ..inference import Refined, refine
from ..models import VAE
from .exact import decomposition
from .likelihood import log_likelihood
from .measured import Measured
from .sweep import dtype_of, evaluating, rows_of


@dataclass(frozen=True)
class Gaps:
    """``log p(x) - ELBO = approximation + amortisation``, in nats per datum with standard errors over data. Cremer et al. (2018)."""

    log_likelihood: Measured
    exact: bool  # whether log p(x) and the bounds are: else log p(x) is a lower bound, and the approximation gap at least this large
    refined: Measured  # the ELBO with the best posterior of the family that was found for each datum
    elbo: Measured  # the ELBO with the model's own posterior
    approximation: Measured  # log p(x) - refined: what the family cannot express
    amortisation: Measured  # refined - elbo: what one encoder for all data loses
    inference: Measured  # log p(x) - elbo, the sum of the two


def gaps(model: VAE, x: Any, steps: int = 200, samples: int = 1000, *, rate: float = 0.1, seed: int = 0) -> Gaps:
    """Split the gap of the bound over data ``[N, *event]`` into what the family and what the encoder is to blame for.

    The family's best is found by ``inference.refine`` with ``steps`` and ``rate``; ``log p(x)`` is exact for linear-Gaussian models with a
    Gaussian posterior, as are both bounds, and elsewhere importance sampled with ``samples`` draws from the refined posteriors.

    Cremer, Li and Duvenaud, Inference suboptimality in variational autoencoders (2018). Raises ``DataError`` for data that the model
    cannot take, and ``IncompatibleError`` for a model whose posterior holds parameters per row: it has no encoder to blame.

    >>> import torch
    >>> from aevb import VAE, likelihoods, networks, posteriors, priors
    >>> net = networks.MLP(6, [8])
    >>> model = VAE(priors.Normal(2), posteriors.Normal(net, 2), likelihoods.Bernoulli(networks.MLP(2, [8]), (6,)))
    >>> found = gaps(model, torch.ones(4, 6), steps=20, samples=10)
    >>> found.exact, found.refined.mean > found.elbo.mean - 0.1
    (False, True)
    """
    if model.posterior.rows is not None:
        raise IncompatibleError(
            f"`posteriors.{type(model.posterior).__name__}` has no encoder, so there is no amortisation gap. Use "
            "`metrics.log_likelihood(inference.refine(model, x).model, x)` and the ELBO beside it."
        )
    rows = rows_of(model, x)
    with evaluating(model, seed):  # rows that are binarised afresh are read once
        data = rows.tensor().to(dtype_of(model))
    found = refine(model, data, steps, context=rows.context, rate=rate, seed=seed)
    return _exactly(model, found, data) or _sampled(found, replace(Rows.of(data), told=rows.told), samples, seed)


def _exactly(model: VAE, found: Refined, x: Tensor) -> Gaps | None:
    """The gaps by formula, or ``None`` where the model is not linear-Gaussian, or its posterior not Gaussian."""
    try:
        with evaluating(model, seed=0):
            own, best = decomposition(model, x), decomposition(found.model, x)
    except IncompatibleError:
        return None
    return _gaps(own.log_likelihood, best.elbo, own.elbo, exact=True)


def _sampled(found: Refined, x: Rows, samples: int, seed: int) -> Gaps:
    weighed = log_likelihood(found.model, x, samples, seed=seed).per_datum
    return _gaps(weighed, found.after.to(weighed.device), found.before.to(weighed.device), exact=False)


def _gaps(log_likelihood: Tensor, refined: Tensor, elbo: Tensor, *, exact: bool) -> Gaps:
    parts = (refined, elbo, log_likelihood - refined, refined - elbo, log_likelihood - elbo)
    return Gaps(Measured.of(log_likelihood), exact, *map(Measured.of, parts))
