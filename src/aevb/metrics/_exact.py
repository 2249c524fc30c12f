"""The truth, where it can be had: a linear decoder with Gaussian noise, or a code that can take few values.

``z ~ N(0, I)``, ``x = W z + b + noise`` with independent noise: probabilistic PCA where the noise is shared (Tipping and Bishop 1999),
factor analysis where it is not. A code of few bits or categories is summed over.
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

from ..distributions import Affine, PartiallyObserved
from ..distributions._autoregressive import as_enumerable
from ..distributions._discrete import Discrete
from ..errors import ArgumentError, DataError, IncompatibleError
from ..gradients._compatibility import MAX_ENUMERATED_STATES
from ..inference._importance import DEFAULT_MAX_PAIRS
from ..models import VAE
from ..types import Batch
from ._blocks import seeded_evaluation
from ._input_checks import check_batch


@dataclass(frozen=True)
class LinearGaussian:
    """The parameters of a linear-Gaussian model over flattened events of ``D`` numbers."""

    weight: Tensor  # W  [D, latent]
    offset: Tensor  # b  [D]
    variance: Tensor  # [D]

    def evidence(self) -> LowRankMultivariateNormal:
        """``p(x) = N(b, W W^T + diag(variance))``."""
        return LowRankMultivariateNormal(
            self.offset, self.weight, self.variance, validate_args=False
        )

    def log_prob(self, x: Tensor) -> Tensor:
        """``log p(x)`` of ``x`` ``[B, D]``, of the cells that are there where some are NaN: ``[B]`` float64."""
        x = x.double()
        there = ~x.isnan()
        if there.all():
            return self.evidence().log_prob(x)
        weight, variance = self.weight * there[..., None], torch.where(there, self.variance, 1.0)
        away = torch.where(there, x - self.offset, 0.0)
        # an empty cell is a standard normal variable of its own, found at its mean
        known = LowRankMultivariateNormal(
            torch.zeros_like(away), weight, variance, validate_args=False
        ).log_prob(away)
        return known + 0.5 * math.log(2 * math.pi) * (~there).sum(-1)

    def posterior(self, x: Tensor) -> MultivariateNormal:
        """``p(z|x) = N(S W^T V^-1 (x - b), S)`` with ``S = (I + W^T V^-1 W)^-1``, for ``x`` ``[B, D]``; empty cells tell nothing."""
        x = x.double()
        there = ~x.isnan()
        scaled = self.weight / self.variance[:, None]
        if not there.all():
            scaled = scaled * there[..., None]
        precision = (
            torch.eye(self.weight.shape[1], dtype=x.dtype, device=x.device) + self.weight.T @ scaled
        )
        away = torch.where(there, x - self.offset, 0.0)[:, None]
        loc = torch.cholesky_solve((away @ scaled).mT, torch.linalg.cholesky(precision))[..., 0]
        return MultivariateNormal(loc, precision_matrix=precision, validate_args=False)


@dataclass(frozen=True)
class Decomposition:
    """``log p(x) = ELBO + KL(q(z|x) || p(z|x))``, each ``[B]`` nats, each computed by its own formula."""

    log_likelihood: Tensor
    elbo: Tensor
    gap: Tensor


@torch.no_grad()
def linear_gaussian(model: VAE) -> LinearGaussian:
    """Read the parameters off a linear-Gaussian model, in float64.

    The decoder is probed at the origin and at the unit vectors, and checked elsewhere. Raises ``IncompatibleError`` where prior,
    noise or linearity are not what they must be.
    """
    size = model.latent_shape[0]
    states = count_latent_states(model)
    if states is not None:
        raise IncompatibleError(
            f"exact likelihoods sum over the states of the code, and there are {states:,}, more than {MAX_ENUMERATED_STATES:,}; "
            "use `metrics.log_likelihood(model, x, samples=...)`."
        )
    p = model.prior() if model.condition is None else None
    gaussian = (
        isinstance(p, Independent)
        and isinstance(p.base_dist, Normal)
        and len(model.latent_shape) == 1
    )
    if p is None or not gaussian or p.mean.any() or (p.stddev != 1).any():
        raise IncompatibleError(
            f"exact likelihoods need the prior `priors.Normal(n)`, or a code of few states; {_suggest_alternative(model)}"
        )
    decoder = (
        copy.deepcopy(model.likelihood).double().eval()
    )  # a bound of 1e-9 is no use where the truth has errors of float32
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
        raise IncompatibleError(
            "exact likelihoods need a linear decoder with the same noise everywhere, or a code of few states, and this model has neither; "
            + _suggest_alternative(model)
        )
    return LinearGaussian(weight, offset, variance[0])


def _suggest_alternative(model: VAE) -> str:
    if not (model.posterior.has_density and model.posterior.full_support):
        return "its likelihood cannot be estimated either: use `metrics.rate_distortion(model, x)`."
    return "use `metrics.log_likelihood(model, x, samples=...)`."


def _likelihood_moments(likelihood: Distribution, model: VAE) -> tuple[Tensor, Tensor]:
    inner = likelihood
    while isinstance(inner, (Affine, PartiallyObserved)):
        inner = inner.base
    if not (isinstance(inner, Independent) and isinstance(inner.base_dist, Normal)):
        raise IncompatibleError(
            f"exact likelihoods need `likelihoods.Normal`, or a code of few states; {_suggest_alternative(model)}"
        )
    return likelihood.mean.flatten(1), likelihood.variance.flatten(1)


def enumerable_latent(model: VAE) -> Discrete | None:
    """The latent variable as one with few states, at most 4096; ``None`` where it is none."""
    found = [
        each
        for each in map(as_enumerable, model.probe())
        if each is not None and each.n_states <= MAX_ENUMERATED_STATES
    ]
    return found[0] if found else None


def count_latent_states(model: VAE) -> int | None:
    """How many states the code has; ``None`` where it is no discrete one that can be listed."""
    found = [each.n_states for each in map(as_enumerable, model.probe()) if each is not None]
    return found[0] if found else None


@torch.no_grad()
def exact_log_likelihood(
    model: VAE, x: Tensor, context: Tensor | None = None, *, max_pairs: int = DEFAULT_MAX_PAIRS
) -> Tensor:
    """``log p(x)`` ``[B]`` of data ``[B, *event]``: by formula for a linear-Gaussian model, by a sum over a code of at most 4096 states.

    In float64, and with the model in evaluation mode. Empty cells (NaN) are integrated out. ``rows`` bounds how many pairs of state and
    datum are decoded at once. Raises ``IncompatibleError`` for any other model, and ``DataError`` for data that it cannot take.

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
                    truth.log_prob(batch.x.flatten(1))
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
    """``p(z|x)`` of a linear-Gaussian model for data ``[B, *event]``, in float64. Raises what ``exact_log_likelihood`` raises."""
    (batch,) = _iter_checked_batches(model, x, None, len(x))
    return linear_gaussian(model).posterior(batch.x.flatten(1))


@torch.no_grad()
def decomposition(
    model: VAE, x: Tensor, context: Tensor | None = None, *, max_pairs: int = DEFAULT_MAX_PAIRS
) -> Decomposition:
    """Both sides of ``log p(x) = ELBO + gap``, each by a formula of its own, in float64.

    In closed form for a linear-Gaussian model with a Gaussian posterior, by sums over a code of at most 4096 states, ``rows`` pairs of
    state and datum at a time. Raises ``IncompatibleError`` for any other model, and ``DataError`` for data that it cannot take.
    """
    with seeded_evaluation(model, seed=0):
        by = (
            _decompose_by_formula if enumerable_latent(model) is None else _decompose_by_enumeration
        )
        parts = [
            by(model, batch, max_pairs)
            for batch in _iter_checked_batches(model, x, context, max_pairs)
        ]
    return Decomposition(
        *(torch.cat([getattr(part, each.name) for part in parts]) for each in fields(Decomposition))
    )


def _iter_checked_batches(
    model: VAE, x: Tensor, context: Tensor | None, max_pairs: int
) -> Iterator[Batch]:
    """The data as batches that the model can take, in its precision."""
    if max_pairs < 1:
        raise ArgumentError(f"`rows` is {max_pairs}; decode at least 1 pair at once.")
    x = model.to_model_input(torch.as_tensor(x))
    if not len(x):
        raise DataError("`x` has no rows: give at least one.")
    context = model.resolve_context(len(x), context)
    check_batch(model, Batch(x, context), "x")
    for start in range(0, len(x), max_pairs):
        index = torch.arange(start, min(start + max_pairs, len(x)), device=x.device)
        yield Batch(x[index], None if context is None else context[index], index, len(x))


def _decompose_by_formula(model: VAE, batch: Batch, max_pairs: int) -> Decomposition:
    truth, q, x = linear_gaussian(model), model.infer(batch), batch.x.flatten(1).double()
    loc, covariance, there = q.mean.double(), _covariance(q).double(), ~x.isnan()
    fit = (
        Normal(loc @ truth.weight.T + truth.offset, truth.variance.sqrt(), validate_args=False)
        .log_prob(x)
        .where(there, 0.0)
        .sum(-1)
    )
    spread = torch.einsum(
        "dl,bln,dn,bd->b", truth.weight, covariance, truth.weight, there / truth.variance
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
    joint, found = _log_joint_of_states(model, batch, max_pairs), enumerable_latent(model)
    assert found is not None
    log_q = model.infer(batch).log_prob(found.enumerate_states()[:, None]).double()
    log_likelihood = joint.logsumexp(0)
    elbo = _expectation(log_q, joint - log_q)
    return Decomposition(
        log_likelihood, elbo, _expectation(log_q, log_q - (joint - log_likelihood))
    )


def _expectation(log_q: Tensor, value: Tensor) -> Tensor:
    """``sum_z q(z) value(z)``; a state of no probability counts for nothing, whatever its value."""
    q = log_q.exp()
    return (q * value.where(q > 0, 0.0)).sum(0)


def _log_joint_of_states(model: VAE, batch: Batch, max_pairs: int) -> Tensor:
    """``log p(x, z)`` of every state of the code, ``[states, B]`` float64; ``rows`` pairs are decoded at once."""
    found = enumerable_latent(model)
    assert found is not None
    states, size = found.enumerate_states()[:, None], max(1, max_pairs // len(batch.x))
    if batch.context is not None:  # which may tell the data apart
        states = states.expand(-1, len(batch.x), *found.event_shape)
    return torch.cat(
        [
            model.log_joint(batch, states[start : start + size]).double()
            for start in range(0, len(states), size)
        ]
    )


def _covariance(q: Distribution) -> Tensor:
    if isinstance(q, (MultivariateNormal, LowRankMultivariateNormal)):
        return q.covariance_matrix
    if isinstance(q, Independent) and isinstance(q.base_dist, Normal):
        return torch.diag_embed(q.variance)
    raise IncompatibleError(
        "the decomposition needs `posteriors.Normal`, whose gap to the exact posterior has a closed form."
    )
