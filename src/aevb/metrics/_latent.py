"""What the latent variables carry."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .._memory import explain_out_of_memory
from ..distributions import _kl as kl
from ..errors import ArgumentError, DataError, IncompatibleError
from ..models import VAE
from ._blocks import as_model_rows, iter_batches, model_dtype, seeded_evaluation
from ._estimate import Estimate
from ._intervals import JACKKNIFE_GROUPS, JackknifeEstimate, jackknife, random_groups

ACTIVE_UNIT_THRESHOLD = 0.01  # of Burda et al. (2016)


@dataclass(frozen=True)
class ActiveUnits:
    """Latent variables whose posterior mean moves with the data."""

    count: int
    variance: Tensor  # [latent]: Var_x(E_q[z])


def active_units(
    model: VAE, x: Any, threshold: float = ACTIVE_UNIT_THRESHOLD, *, block_size: int = 1024
) -> ActiveUnits:
    """Count variables with ``Var_x(E_q[z_j]) > threshold``. Burda et al. (2016); ``x`` is ``[N, *event]``.

    Raises ``DataError`` for a single row.
    """
    means = posterior_means(model, x, block_size=block_size).double()
    if len(means) < 2:
        raise DataError("`x` has 1 row, and a variance over rows needs at least 2.")
    variance = means.var(0)
    return ActiveUnits(int((variance > threshold).sum()), variance)


def posterior_means(model: VAE, x: Any, *, block_size: int = 1024) -> Tensor:
    """Posterior means ``[N, latent]``, latent axes merged, on the CPU."""
    data = as_model_rows(model, x)
    with (
        seeded_evaluation(model, seed=0),
        explain_out_of_memory("in an evaluation", block=block_size),
    ):
        means = [
            model.infer(batch).mean.flatten(1).cpu()
            for batch in iter_batches(data, block_size, model_dtype(model))
        ]
    return torch.cat(means)


def kl_per_dimension(model: VAE, x: Any, *, block_size: int = 1024) -> Tensor | None:
    """Mean divergence of each latent variable ``[latent]`` in nats, or ``None`` where it does not factorise over them."""
    if not model.posterior.has_density:
        return None
    data, total = as_model_rows(model, x), None
    with (
        seeded_evaluation(model, seed=0),
        explain_out_of_memory("in an evaluation", block=block_size),
    ):
        for batch in iter_batches(data, block_size, model_dtype(model)):
            each = kl.elementwise_kl(model.infer(batch), model.prior(None, batch.context))
            if each is None:
                return None
            part = each.flatten(1).double().sum(0).cpu()
            total = part if total is None else total + part
    return None if total is None else total / len(data)


@dataclass(frozen=True)
class LatentInformation:
    """The mean divergence ``E KL(q(z|x) || p(z))`` in two parts, in nats."""

    mutual_information: Estimate  # I(x; z): what codes tell of their data, at most the logarithm of the number of rows
    marginal_kl: Estimate  # KL(q(z) || p(z)): how far all codes together are from the prior
    n_rows: int


def latent_information(
    model: VAE, x: Any, *, seed: int = 0, block_size: int = 256
) -> LatentInformation:
    """``I(x; z) = E log q(z|x) / q(z)`` and ``KL(q(z) || p(z))`` over data ``[N, *event]``, from one draw for each.

    ``q(z)`` is the mean of the ``N`` posteriors of these data, so that the first is at most ``log N``, and what it lacks is in the second.

    Hoffman and Johnson, ELBO surgery (2016). Raises ``IncompatibleError`` for a posterior without a density.

    >>> from aevb import likelihoods, networks, posteriors, priors
    >>> model = VAE(
    ...     priors.Normal(2),
    ...     posteriors.Normal(networks.MLP(9, [8]), 2),
    ...     likelihoods.Bernoulli(networks.MLP(2, [8]), (9,)),
    ... )
    >>> information(model, torch.ones(50, 9)).rows
    50
    """
    if not model.posterior.has_density:
        raise IncompatibleError(
            f"`posteriors.{type(model.posterior).__name__}` has no density, and the information in its codes no measure; use a VAE."
        )
    data = as_model_rows(model, x)
    with (
        seeded_evaluation(model, seed),
        explain_out_of_memory("in an evaluation", block=block_size),
    ):
        (batch,) = iter_batches(data, len(data), model_dtype(model))
        q = model.infer(batch)
        z = q.sample()
        own = q.log_prob(z).double()
        mixed = torch.cat(
            [q.log_prob(part.unsqueeze(1)).double().logsumexp(1) for part in z.split(block_size)]
        ) - math.log(len(z))
        prior = model.prior(None, batch.context).log_prob(z).double()
    return LatentInformation(
        Estimate.from_values((own - mixed).cpu()),
        Estimate.from_values((mixed - prior).cpu()),
        len(data),
    )


def total_correlation(
    z: Any, *, groups: int = JACKKNIFE_GROUPS, seed: int = 0
) -> JackknifeEstimate:
    """``1/2 (sum_j log C_jj - log det C)`` in nats: how far codes ``[N, latent]`` with covariance ``C`` are from independent, if Gaussian.

    Variables that do not move are left out. ``plain`` is what ``N`` codes give; ``bias_corrected`` is without what ``N`` independent draws of
    any Gaussian give too much, ``1/2 (D psi(m / 2) - sum_(i<D) psi((m - i) / 2))`` with ``m = N - 1``: logarithms of chi-square variables,
    of which the determinant of a Wishart matrix is a product. Infinite where a variable follows from the others.

    Watanabe, Information theoretical analysis of multivariate correlation (1960); Bartlett, On the theory of statistical regression
    (1933), on the determinant. Raises ``DataError`` for too few codes for a covariance, and for NaN or infinity.

    >>> codes = torch.randn(1000, 3, generator=torch.Generator().manual_seed(0))
    >>> abs(total_correlation(codes).corrected.value) < 0.01
    True
    """
    table = torch.as_tensor(z).detach().cpu().double()
    table = table.reshape(len(table), -1)
    if not table.isfinite().all():
        raise DataError("`codes` holds NaN or infinity; encode rows that the model can take.")
    if groups < 2:
        raise ArgumentError(f"`groups` is {groups}; leave out at least 2 in turn.")
    table = table[:, table.amax(0) > table.amin(0)] if len(table) else table
    least = table.shape[1] + 2
    if len(table) < 2 * least:
        raise DataError(
            f"`codes` has {len(table)} rows, and a covariance of {table.shape[1]} variables with an interval needs {2 * least}."
        )
    group = random_groups(len(table), min(groups, len(table) // least), seed)
    parts = [table[group != g] for g in range(int(group.max()) + 1)]
    plain = torch.tensor([_gaussian_total_correlation(part) for part in parts], dtype=torch.float64)
    without = plain - torch.tensor(
        [_total_correlation_bias(*part.shape) for part in parts], dtype=torch.float64
    )
    whole, width = _gaussian_total_correlation(table), table.shape[1]
    return JackknifeEstimate(
        jackknife(whole, plain, bounds=(0.0, math.inf)).uncorrected,
        jackknife(whole - _total_correlation_bias(len(table), width), without).uncorrected,
    )


def _total_correlation_bias(rows: int, variables: int) -> float:
    """What chance adds to the total correlation of that many Gaussian codes, nats."""
    degrees = torch.arange(rows - 1, rows - 1 - variables, -1, dtype=torch.float64) / 2
    return 0.5 * (torch.digamma(degrees[:1]) - torch.digamma(degrees)).sum().item()


def _gaussian_total_correlation(table: Tensor) -> float:
    """``-1/2 log det`` of the correlations of rows ``[N, D]``; infinite where a variable follows from the others."""
    if table.shape[1] < 2:
        return 0.0
    return -0.5 * torch.linalg.slogdet(torch.corrcoef(table.T)).logabsdet.item()
