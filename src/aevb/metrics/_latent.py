"""Information in the latent variables."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .._memory import explain_out_of_memory
from .._registry import register
from .._row_noise import RowNoise
from ..distributions import elementwise_kl
from ..errors import ArgumentError, DataError, IncompatibleError
from ..inference._batches import iter_batches, model_dtype, seeded_evaluation
from ..inference._inputs import as_model_rows
from ..models import VAE, first_member
from ._estimate import Estimate
from ._intervals import JACKKNIFE_GROUPS, JackknifeEstimate, jackknife, random_groups
from ._number import MetricRegistration, Number

if TYPE_CHECKING:
    from ._evaluation import EvaluationContext

ACTIVE_UNIT_THRESHOLD = 0.01
"""Variance of the posterior mean above which a latent variable is in use. Burda et al. (2016)."""


@dataclass(frozen=True)
class ActiveUnits:
    """Latent variables whose posterior mean varies over the data.

    Args:
        count: Number of variables in use.
        variance: ``Var_x(E_q[z])`` of each variable, ``[latent]``.
    """

    count: int
    variance: Tensor


def active_units(
    model: VAE, x: Any, threshold: float = ACTIVE_UNIT_THRESHOLD, *, block_size: int = 1024
) -> ActiveUnits:
    """Count latent variables with ``Var_x(E_q[z_j]) > threshold``. Burda et al. (2016).

    Args:
        model: The model. Its weights are not changed.
        x: Rows ``[N, *event]``: a tensor, an array or ``Rows``.
        threshold: Variance from which a variable is in use.
        block_size: Number of rows that are encoded at once.

    Returns:
        The number of variables in use, and the variance of each.

    Raises:
        DataError: There is a single row, or a row that the model cannot take.
    """
    means = posterior_means(model, x, block_size=block_size).double()
    if len(means) < 2:
        raise DataError("`x` has 1 row, and a variance over rows needs at least 2")
    variance = means.var(0)
    return ActiveUnits(int((variance > threshold).sum()), variance)


@register(
    MetricRegistration(
        name="active_units",
        title="Active units",
        paper="Burda et al. (2016)",
        use_when="checking for posterior collapse",
        cost="one pass through the encoder",
        order=40,
    )
)
def _active_units_number(context: EvaluationContext) -> Iterator[Number]:
    active = context.active_units
    yield Number(
        "active_units",
        "active units",
        None if active is None else active.count,
        text="-" if active is None else f"{active.count} of {len(active.variance)}",
        meaning="Latent variables whose posterior mean varies over the data, with a variance "
        f"above {ACTIVE_UNIT_THRESHOLD}.",
        in_tables=context.has_importance_weights,
    )


def posterior_means(model: VAE, x: Any, *, block_size: int = 1024) -> Tensor:
    """Posterior means ``[N, latent]`` on the CPU, latent axes flattened."""
    data, model = as_model_rows(model, x), first_member(model)
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
    """Compute the mean KL divergence of each latent variable.

    Args:
        model: The model. Its weights are not changed.
        x: Rows ``[N, *event]``: a tensor, an array or ``Rows``.
        block_size: Number of rows that are encoded at once.

    Returns:
        Nats ``[latent]``, or ``None`` where the KL divergence is no sum over variables.

    Raises:
        DataError: A row has another shape, or lies outside the likelihood's support.
    """
    if not model.posterior.has_density:
        return None
    data, total, model = as_model_rows(model, x), None, first_member(model)
    with (
        seeded_evaluation(model, seed=0),
        explain_out_of_memory("in an evaluation", block=block_size),
    ):
        for batch in iter_batches(data, block_size, model_dtype(model)):
            each = elementwise_kl(model.infer(batch), model.prior(None, batch.context))
            if each is None:
                return None
            part = each.flatten(1).double().sum(0).cpu()
            total = part if total is None else total + part
    return None if total is None else total / len(data)


@dataclass(frozen=True)
class LatentInformation:
    """The rate ``E KL(q(z|x) || p(z))`` in two parts, in nats.

    Args:
        mutual_information: ``I(x; z)``, at most the logarithm of the number of rows.
        marginal_kl: ``KL(q(z) || p(z))``: how far the aggregate posterior is from the prior.
        n_rows: Number of rows.
    """

    mutual_information: Estimate
    marginal_kl: Estimate
    n_rows: int


def latent_information(
    model: VAE, x: Any, *, seed: int = 0, block_size: int = 256
) -> LatentInformation:
    """Estimate ``I(x; z) = E log q(z|x) / q(z)`` and ``KL(q(z) || p(z))`` from one draw per row.

    ``q(z)`` is the mean of the ``N`` posteriors of the rows, so that the first is at most
    ``log N``, and what it lacks is in the second. Hoffman and Johnson, ELBO surgery (2016).

    Args:
        model: The model. Its weights are not changed.
        x: Rows ``[N, *event]``: a tensor, an array or ``Rows``.
        seed: Seed of the draws.
        block_size: Number of draws whose density under all posteriors is computed at once.

    Returns:
        Both parts with their standard errors.

    Raises:
        IncompatibleError: The posterior has no density.
        DataError: A row has another shape, or lies outside the likelihood's support.

    Example:
        >>> from aevb import likelihoods, networks, posteriors, priors
        >>> model = VAE(
        ...     priors.Normal(2),
        ...     posteriors.Normal(networks.MLP(9, [8]), 2),
        ...     likelihoods.Bernoulli(networks.MLP(2, [8]), (9,)),
        ... )
        >>> latent_information(model, torch.ones(50, 9)).n_rows
        50
    """
    if not model.posterior.has_density:
        raise IncompatibleError(
            f"`posteriors.{type(model.posterior).__name__}` has no density, so that the "
            "information in the latents is not defined",
            suggestions=("Use a VAE",),
        )
    data, model = as_model_rows(model, x), first_member(model)
    with (
        seeded_evaluation(model, seed),
        explain_out_of_memory("in an evaluation", block=block_size),
    ):
        (batch,) = iter_batches(data, len(data), model_dtype(model))
        q = model.infer(batch)
        with RowNoise.from_batch(batch, seed, model.constant_cells).samples():
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
    """Compute the total correlation ``1/2 (sum_j log C_jj - log det C)`` of Gaussian latents.

    It measures how far latents with covariance ``C`` are from independent, in nats. Constant
    variables are left out. The corrected value is without the excess of ``N`` independent draws of
    any Gaussian, ``1/2 (D psi(m / 2) - sum_(i<D) psi((m - i) / 2))`` with ``m = N - 1``: the
    determinant of a Wishart matrix is a product of chi-square variables. Infinite where a variable
    follows from the others.

    Watanabe, Information theoretical analysis of multivariate correlation (1960); Bartlett, On the
    theory of statistical regression (1933), on the determinant.

    Args:
        z: Latents ``[N, latent]``.
        groups: Groups of rows that the jackknife leaves out in turn.
        seed: Seed of the groups.

    Returns:
        The value with and without its bias.

    Raises:
        DataError: There are too few rows for a covariance, or values that are not finite.
        ArgumentError: ``groups`` is below 2.

    Example:
        >>> z = torch.randn(1000, 3, generator=torch.Generator().manual_seed(0))
        >>> abs(total_correlation(z).bias_corrected.value) < 0.01
        True
    """
    table = torch.as_tensor(z).detach().cpu().double()
    table = table.reshape(len(table), table[:1].numel())
    if not table.isfinite().all():
        raise DataError(
            "`z` holds NaN or infinity", suggestions=("Encode rows that the model can take",)
        )
    if groups < 2:
        raise ArgumentError("leave out at least 2 in turn", argument="groups", value=groups)
    table = table[:, table.amax(0) > table.amin(0)] if len(table) else table
    least = table.shape[1] + 2
    if len(table) < 2 * least:
        raise DataError(
            f"`z` has {len(table)} rows, and a covariance of {table.shape[1]} variables with an "
            f"interval needs {2 * least}"
        )
    group = random_groups(len(table), min(groups, len(table) // least), seed)
    parts = [table[group != g] for g in range(int(group.max()) + 1)]
    plain = torch.tensor([_gaussian_total_correlation(part) for part in parts], dtype=torch.float64)
    without = plain - torch.tensor(
        [_total_correlation_bias(*part.shape) for part in parts], dtype=torch.float64
    )
    whole, width = _gaussian_total_correlation(table), table.shape[1]
    return JackknifeEstimate(
        jackknife(whole, plain, bounds=(0.0, math.inf)).plug_in,
        jackknife(whole - _total_correlation_bias(len(table), width), without).plug_in,
    )


def _total_correlation_bias(rows: int, variables: int) -> float:
    """Expected total correlation of independent Gaussian latents, in nats."""
    degrees = torch.arange(rows - 1, rows - 1 - variables, -1, dtype=torch.float64) / 2
    return 0.5 * (torch.digamma(degrees[:1]) - torch.digamma(degrees)).sum().item()


def _gaussian_total_correlation(table: Tensor) -> float:
    """``-1/2 log det`` of the correlations of rows ``[N, D]``; infinite if they are singular."""
    if table.shape[1] < 2:
        return 0.0
    return -0.5 * torch.linalg.slogdet(torch.corrcoef(table.T)).logabsdet.item()
