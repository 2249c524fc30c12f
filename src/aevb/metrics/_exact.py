"""Exact log-likelihoods and posteriors, for linear-Gaussian models and for discrete latents.

``z ~ N(0, I)``, ``x = W z + b + noise`` with independent noise: probabilistic PCA where the noise
is shared (Tipping and Bishop 1999), factor analysis where it is not. A discrete latent of few
states is summed over.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.distributions import (
    Distribution,
    Independent,
    LowRankMultivariateNormal,
    MultivariateNormal,
    Normal,
    kl_divergence,
)

from ..distributions import Affine, FixedCells, PartiallyObserved
from ..distributions._autoregressive import as_enumerable
from ..distributions._discrete import Discrete
from ..errors import DataError, IncompatibleError, check_counts
from ..gradients._compatibility import MAX_ENUMERATED_STATES
from ..inference._batches import seeded_evaluation
from ..inference._importance import DEFAULT_MAX_PAIRS
from ..models import VAE
from ..models._input_checks import check_batch
from ..notes import Part, message
from ..types import Batch


@dataclass(frozen=True)
class LinearGaussian:
    """Parameters of a linear-Gaussian model over flattened events of ``D`` values.

    Args:
        weight: W, ``[D, latent]``.
        offset: b, ``[D]``.
        variance: Variance of the noise, ``[D]``.
    """

    weight: Tensor
    offset: Tensor
    variance: Tensor

    def evidence(self) -> LowRankMultivariateNormal:
        """Return the distribution of the data, ``p(x) = N(b, W W^T + diag(variance))``.

        Returns:
            The distribution over ``[D]`` values.
        """
        return LowRankMultivariateNormal(
            self.offset, self.weight, self.variance, validate_args=False
        )

    def log_prob(self, x: Tensor) -> Tensor:
        """Compute ``log p(x)``; missing cells (NaN) are integrated out.

        Args:
            x: Flattened rows ``[B, D]``.

        Returns:
            Values in nats, ``[B]`` float64.
        """
        x = x.double()
        observed = ~x.isnan()
        if observed.all():
            return self.evidence().log_prob(x)
        weight = self.weight * observed[..., None]
        variance = torch.where(observed, self.variance, 1.0)
        residual = torch.where(observed, x - self.offset, 0.0)
        # a missing cell is an independent standard normal variable, observed at its mean
        log_prob = LowRankMultivariateNormal(
            torch.zeros_like(residual), weight, variance, validate_args=False
        ).log_prob(residual)
        return log_prob + 0.5 * math.log(2 * math.pi) * (~observed).sum(-1)

    def posterior(self, x: Tensor) -> MultivariateNormal:
        """Return ``p(z|x) = N(S W^T V^-1 (x - b), S)`` with ``S = (I + W^T V^-1 W)^-1``.

        Args:
            x: Flattened rows ``[B, D]``; missing cells (NaN) do not count.

        Returns:
            The posterior with batch shape ``[B]``.
        """
        x = x.double()
        observed = ~x.isnan()
        scaled = self.weight / self.variance[:, None]
        if not observed.all():
            scaled = scaled * observed[..., None]
        precision = (
            torch.eye(self.weight.shape[1], dtype=x.dtype, device=x.device) + self.weight.T @ scaled
        )
        residual = torch.where(observed, x - self.offset, 0.0)[:, None]
        loc = torch.cholesky_solve((residual @ scaled).mT, torch.linalg.cholesky(precision))[..., 0]
        return MultivariateNormal(loc, precision_matrix=precision, validate_args=False)


@dataclass(frozen=True)
class Decomposition:
    """``log p(x) = ELBO + KL(q(z|x) || p(z|x))``, each by its own formula, ``[B]`` nats.

    Args:
        log_likelihood: ``log p(x)``.
        elbo: The ELBO.
        gap: ``KL(q(z|x) || p(z|x))``.
    """

    log_likelihood: Tensor
    elbo: Tensor
    gap: Tensor


@torch.no_grad()
def linear_gaussian(model: VAE) -> LinearGaussian:
    """Read the parameters of a linear-Gaussian model, in float64.

    The decoder is evaluated at the origin and at the unit vectors, and checked elsewhere.

    Args:
        model: The model.

    Returns:
        Its parameters.

    Raises:
        IncompatibleError: The prior is not standard normal, the decoder not linear, or the noise
            not Gaussian or not the same everywhere.
    """
    size = model.latent_shape[0]
    states = count_latent_states(model)
    if states is not None:
        raise IncompatibleError(
            f"exact likelihoods sum over the states of the latent, and there are {states:,}, more "
            f"than {MAX_ENUMERATED_STATES:,}",
            suggestions=(message("Use {estimate}", estimate=Part("metrics.log_likelihood")),),
        )
    p = model.prior() if model.condition is None else None
    gaussian = (
        isinstance(p, Independent)
        and isinstance(p.base_dist, Normal)
        and len(model.latent_shape) == 1
    )
    if p is None or not gaussian or p.mean.any() or (p.stddev != 1).any():
        raise _not_exact(model, "the prior {needed}", Part("priors.Normal", {"latent": size}))
    decoder = copy.deepcopy(model.likelihood).double().eval()  # float32 errors exceed 1e-9
    corners = (
        torch.cat(
            [
                torch.zeros(1, size),
                torch.eye(size),
                torch.linspace(-3, 3, 4 * size).reshape(4, size),
            ]
        )
        .double()
        .to(model.device)
    )
    mean, variance = _likelihood_moments(decoder(corners), model)
    offset = mean[0]
    weight = (mean[1 : size + 1] - offset).T
    tolerance = 1e3 * torch.finfo(mean.dtype).eps * (1 + mean.abs().max())
    bent = (mean - (corners @ weight.T + offset)).abs().max() > tolerance or (
        variance - variance[0]
    ).abs().max() > tolerance
    if bent:
        raise _not_exact(model, "a linear decoder with the same noise everywhere")
    if model.constant_cells is not None:  # which have no noise, and never count
        variance = variance.masked_fill(~model.constant_cells.flatten().isnan(), 1.0)
    return LinearGaussian(weight, offset, variance[0])


def _not_exact(model: VAE, needs: str, part: Part | None = None) -> IncompatibleError:
    """The error for a model without an exact likelihood."""
    if model.posterior.has_density and model.posterior.full_support:
        suggestion = message("Use {estimate}", estimate=Part("metrics.log_likelihood"))
    else:
        suggestion = message(
            "The likelihood cannot be estimated either: use {terms}",
            terms=Part("metrics.rate_distortion"),
        )
    return IncompatibleError(
        message(f"exact likelihoods need {needs}, or a discrete latent of few states", needed=part),
        suggestions=(suggestion,),
    )


def _likelihood_moments(likelihood: Distribution, model: VAE) -> tuple[Tensor, Tensor]:
    """Mean and variance of a Gaussian likelihood, flattened."""
    inner = likelihood
    while isinstance(inner, (Affine, FixedCells, PartiallyObserved)):
        inner = inner.base
    if not (isinstance(inner, Independent) and isinstance(inner.base_dist, Normal)):
        raise _not_exact(model, "{needed}", Part("likelihoods.Normal"))
    return likelihood.mean.flatten(1), likelihood.variance.flatten(1)


def enumerable_latent(model: VAE) -> Discrete | None:
    """The distribution of a discrete latent of at most 4096 states, ``None`` for others."""
    candidates = (each for each in map(as_enumerable, model.probe()) if each is not None)
    return next((each for each in candidates if each.n_states <= MAX_ENUMERATED_STATES), None)


def count_latent_states(model: VAE) -> int | None:
    """Number of states of a discrete latent, ``None`` for others."""
    candidates = (each.n_states for each in map(as_enumerable, model.probe()) if each is not None)
    return next(candidates, None)


@torch.no_grad()
def exact_log_likelihood(
    model: VAE, x: Tensor, context: Tensor | None = None, *, max_pairs: int = DEFAULT_MAX_PAIRS
) -> Tensor:
    """Compute ``log p(x)`` exactly, in float64.

    By formula for a linear-Gaussian model, by a sum for a discrete latent of at most 4096 states.
    Missing cells (NaN) are integrated out.

    Args:
        model: The model. Its weights are not changed.
        x: Rows ``[B, *event]``.
        context: Context ``[B, C]`` of a conditional model.
        max_pairs: Largest number of (state, row) pairs that are decoded at once.

    Returns:
        Values in nats, ``[B]``.

    Raises:
        IncompatibleError: The model has no exact likelihood.
        DataError: A row has another shape, or lies outside the likelihood's support.

    Example:
        >>> from torch import nn
        >>> from aevb import VAE, likelihoods, posteriors, priors
        >>> model = VAE(
        ...     priors.Bernoulli(3),
        ...     posteriors.Bernoulli(nn.Identity(), 3),
        ...     likelihoods.Bernoulli(nn.Identity(), (4,)),
        ... )
        >>> every = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 4)
        >>> exact_log_likelihood(model, every).exp().sum().round(decimals=5)
        tensor(1., dtype=torch.float64)
    """
    with seeded_evaluation(model, seed=0):
        if enumerable_latent(model) is None:
            truth = linear_gaussian(model)
            return torch.cat(
                [
                    truth.log_prob(_observed_cells(model, batch))
                    for batch in _iter_checked_batches(model, x, context, max_pairs)
                ]
            )
        return torch.cat(
            [
                _log_joint_of_states(model, batch, max_pairs).logsumexp(0)
                for batch in _iter_checked_batches(model, x, context, max_pairs)
            ]
        )


def exact_posterior(model: VAE, x: Tensor) -> MultivariateNormal:
    """Compute the exact posterior ``p(z|x)`` of a linear-Gaussian model, in float64.

    Args:
        model: The model. Its weights are not changed.
        x: Rows ``[B, *event]``.

    Returns:
        The posterior with batch shape ``[B]``.

    Raises:
        IncompatibleError: The model is not linear-Gaussian.
        DataError: A row has another shape, or lies outside the likelihood's support.
    """
    (batch,) = _iter_checked_batches(model, x, None, len(x))
    return linear_gaussian(model).posterior(_observed_cells(model, batch))


@torch.no_grad()
def decomposition(
    model: VAE, x: Tensor, context: Tensor | None = None, *, max_pairs: int = DEFAULT_MAX_PAIRS
) -> Decomposition:
    """Compute all terms of ``log p(x) = ELBO + gap``, each by its own formula, in float64.

    In closed form for a linear-Gaussian model with a Gaussian posterior, by sums for a discrete
    latent of at most 4096 states.

    Args:
        model: The model. Its weights are not changed.
        x: Rows ``[B, *event]``.
        context: Context ``[B, C]`` of a conditional model.
        max_pairs: Largest number of (state, row) pairs that are decoded at once.

    Returns:
        The three terms of each row.

    Raises:
        IncompatibleError: The model has no exact likelihood, or its posterior is not Gaussian.
        DataError: A row has another shape, or lies outside the likelihood's support.
    """
    with seeded_evaluation(model, seed=0):
        decompose = (
            _decompose_by_formula if enumerable_latent(model) is None else _decompose_by_enumeration
        )
        parts = [
            decompose(model, batch, max_pairs)
            for batch in _iter_checked_batches(model, x, context, max_pairs)
        ]
    return Decomposition(
        *(torch.cat([getattr(part, each.name) for part in parts]) for each in fields(Decomposition))
    )


def _iter_checked_batches(
    model: VAE, x: Tensor, context: Tensor | None, max_pairs: int
) -> Iterator[Batch]:
    """The data as checked batches in the model's precision."""
    check_counts(max_pairs=max_pairs)
    x = model.to_model_input(torch.as_tensor(x))
    if not len(x):
        raise DataError("`x` has no rows", suggestions=("Give at least one",))
    context = model.resolve_context(len(x), context)
    check_batch(model, Batch(x, context), "x")
    for start in range(0, len(x), max_pairs):
        index = torch.arange(start, min(start + max_pairs, len(x)), device=x.device)
        yield Batch(x[index], None if context is None else context[index], index, len(x))


def _observed_cells(model: VAE, batch: Batch) -> Tensor:
    """Flattened rows, NaN in constant cells, which the likelihood does not count."""
    constant = model.constant_cells
    x = batch.x if constant is None else batch.x.masked_fill(~constant.isnan(), torch.nan)
    return x.flatten(1)


def _decompose_by_formula(model: VAE, batch: Batch, max_pairs: int) -> Decomposition:
    """The terms in closed form."""
    truth, q, x = linear_gaussian(model), model.infer(batch), _observed_cells(model, batch).double()
    loc, covariance, observed = q.mean.double(), _covariance(q).double(), ~x.isnan()
    fit = (
        Normal(loc @ truth.weight.T + truth.offset, truth.variance.sqrt(), validate_args=False)
        .log_prob(x)
        .where(observed, 0.0)
        .sum(-1)
    )
    spread = torch.einsum(
        "dl,bln,dn,bd->b", truth.weight, covariance, truth.weight, observed / truth.variance
    )
    own = MultivariateNormal(loc, covariance, validate_args=False)
    rate = kl_divergence(
        own,
        MultivariateNormal(
            torch.zeros_like(loc), torch.eye(loc.shape[1]).to(loc), validate_args=False
        ),
    )
    elbo = fit - 0.5 * spread - rate
    gap = kl_divergence(own, truth.posterior(x))
    return Decomposition(truth.log_prob(x), elbo, gap)


def _decompose_by_enumeration(model: VAE, batch: Batch, max_pairs: int) -> Decomposition:
    """The terms as sums over the states of a discrete latent."""
    joint, latent = _log_joint_of_states(model, batch, max_pairs), enumerable_latent(model)
    assert latent is not None
    log_q = model.infer(batch).log_prob(latent.enumerate_states()[:, None]).double()
    log_likelihood = joint.logsumexp(0)
    elbo = _expectation(log_q, joint - log_q)
    return Decomposition(
        log_likelihood, elbo, _expectation(log_q, log_q - (joint - log_likelihood))
    )


def _expectation(log_q: Tensor, value: Tensor) -> Tensor:
    """``sum_z q(z) value(z)``; states of probability 0 do not count, whatever their value."""
    q = log_q.exp()
    return (q * value.where(q > 0, 0.0)).sum(0)


def _log_joint_of_states(model: VAE, batch: Batch, max_pairs: int) -> Tensor:
    """``log p(x, z)`` of every state of a discrete latent, ``[states, B]`` float64."""
    latent = enumerable_latent(model)
    assert latent is not None
    states, size = latent.enumerate_states()[:, None], max(1, max_pairs // len(batch.x))
    if batch.context is not None:  # which may differ between rows
        states = states.expand(-1, len(batch.x), *latent.event_shape)
    return torch.cat(
        [
            model.log_joint(batch, states[start : start + size]).double()
            for start in range(0, len(states), size)
        ]
    )


def _covariance(q: Distribution) -> Tensor:
    """The covariance of a Gaussian posterior."""
    if isinstance(q, (MultivariateNormal, LowRankMultivariateNormal)):
        return q.covariance_matrix
    if isinstance(q, Independent) and isinstance(q.base_dist, Normal):
        return torch.diag_embed(q.variance)
    raise IncompatibleError(
        message(
            "the decomposition needs {normal}, whose gap to the exact posterior has a closed form",
            normal=Part("posteriors.Normal"),
        )
    )
