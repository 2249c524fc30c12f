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
from torch.distributions import Distribution, Independent, LowRankMultivariateNormal, MultivariateNormal, Normal, kl_divergence

from ..distributions import Affine, Observed
from ..distributions.autoregressive import listed
from ..distributions.discrete import Discrete
from ..errors import ArgumentError, DataError, IncompatibleError
from ..gradients.door import STATES
from ..inference.importance import ROWS
from ..models import VAE
from ..types import Batch
from .support import check_batch
from .sweep import evaluating


@dataclass(frozen=True)
class LinearGaussian:
    """The parameters of a linear-Gaussian model over flattened events of ``D`` numbers."""

    weight: Tensor  # W  [D, latent]
    offset: Tensor  # b  [D]
    variance: Tensor  # [D]

    def evidence(self) -> LowRankMultivariateNormal:
        """``p(x) = N(b, W W^T + diag(variance))``."""
        return LowRankMultivariateNormal(self.offset, self.weight, self.variance, validate_args=False)

    def log_prob(self, x: Tensor) -> Tensor:
        """``log p(x)`` of ``x`` ``[B, D]``, of the cells that are there where some are NaN: ``[B]`` float64."""
        x = x.double()
        there = ~x.isnan()
        if there.all():
            return self.evidence().log_prob(x)
        weight, variance = self.weight * there[..., None], torch.where(there, self.variance, 1.0)
        away = torch.where(there, x - self.offset, 0.0)
        # an empty cell is a standard normal variable of its own, found at its mean
        known = LowRankMultivariateNormal(torch.zeros_like(away), weight, variance, validate_args=False).log_prob(away)
        return known + 0.5 * math.log(2 * math.pi) * (~there).sum(-1)

    def posterior(self, x: Tensor) -> MultivariateNormal:
        """``p(z|x) = N(S W^T V^-1 (x - b), S)`` with ``S = (I + W^T V^-1 W)^-1``, for ``x`` ``[B, D]``; empty cells tell nothing."""
        x = x.double()
        there = ~x.isnan()
        scaled = self.weight / self.variance[:, None]
        if not there.all():
            scaled = scaled * there[..., None]
        precision = torch.eye(self.weight.shape[1], dtype=x.dtype, device=x.device) + self.weight.T @ scaled
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
    states = states_in(model)
    if states is not None:
        raise IncompatibleError(
            f"exact likelihoods sum over the states of the code, and there are {states:,}, more than {STATES:,}; "
            "use `metrics.log_likelihood(model, x, samples=...)`."
        )
    p = model.prior() if model.condition is None else None
    gaussian = isinstance(p, Independent) and isinstance(p.base_dist, Normal) and len(model.latent_shape) == 1
    if p is None or not gaussian or p.mean.any() or (p.stddev != 1).any():
        raise IncompatibleError(f"exact likelihoods need the prior `priors.Normal(n)`, or a code of few states; {_instead(model)}")
    decoder = copy.deepcopy(model.likelihood).double().eval()  # a bound of 1e-9 is no use where the truth has errors of float32
    corners = torch.cat([torch.zeros(1, size), torch.eye(size), torch.linspace(-3, 3, 4 * size).reshape(4, size)]).double().to(model.device)
    mean, variance = _moments(decoder(corners), model)
    offset = mean[0]
    weight = (mean[1 : size + 1] - offset).T
    tolerance = 1e3 * torch.finfo(mean.dtype).eps * (1 + mean.abs().max())
    bent = (mean - (corners @ weight.T + offset)).abs().max() > tolerance or (variance - variance[0]).abs().max() > tolerance
    if bent:
        raise IncompatibleError(
            "exact likelihoods need a linear decoder with the same noise everywhere, or a code of few states, and this model has neither; "
            + _instead(model)
        )
    return LinearGaussian(weight, offset, variance[0])


def _instead(model: VAE) -> str:
    if not (model.posterior.density and model.posterior.covers):
        return "its likelihood cannot be estimated either: use `metrics.rate_distortion(model, x)`."
    return "use `metrics.log_likelihood(model, x, samples=...)`."


def _moments(likelihood: Distribution, model: VAE) -> tuple[Tensor, Tensor]:
    inner = likelihood
    while isinstance(inner, (Affine, Observed)):
        inner = inner.base
    if not (isinstance(inner, Independent) and isinstance(inner.base_dist, Normal)):
        raise IncompatibleError(f"exact likelihoods need `likelihoods.Normal`, or a code of few states; {_instead(model)}")
    return likelihood.mean.flatten(1), likelihood.variance.flatten(1)


def states_of(model: VAE) -> Discrete | None:
    """The latent variable as one with few states, at most 4096; ``None`` where it is none."""
    found = [each for each in map(listed, model.probe()) if each is not None and each.states <= STATES]
    return found[0] if found else None


def states_in(model: VAE) -> int | None:
    """How many states the code has; ``None`` where it is no discrete one that can be listed."""
    found = [each.states for each in map(listed, model.probe()) if each is not None]
    return found[0] if found else None


@torch.no_grad()
def exact_log_likelihood(model: VAE, x: Tensor, context: Tensor | None = None, *, rows: int = ROWS) -> Tensor:
    """``log p(x)`` ``[B]`` of data ``[B, *event]``: by formula for a linear-Gaussian model, by a sum over a code of at most 4096 states.

    In float64, and with the model in evaluation mode. Empty cells (NaN) are integrated out. ``rows`` bounds how many pairs of state and
    datum are decoded at once. Raises ``IncompatibleError`` for any other model, and ``DataError`` for data that it cannot take.

    >>> from torch import nn
    >>> from aevb import VAE, likelihoods, posteriors, priors
    >>> model = VAE(priors.Bernoulli(3), posteriors.Bernoulli(nn.Identity(), 3), likelihoods.Bernoulli(nn.Identity(), (4,)))
    >>> every = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 4)
    >>> exact_log_likelihood(model, every).exp().sum().round(decimals=5)
    tensor(1., dtype=torch.float64)
    """
    with evaluating(model, seed=0):
        if states_of(model) is None:
            truth = linear_gaussian(model)
            return torch.cat([truth.log_prob(batch.x.flatten(1)) for batch in _asked(model, x, context, rows)])
        return torch.cat([_joint_of_states(model, batch, rows).logsumexp(0) for batch in _asked(model, x, context, rows)])


def exact_posterior(model: VAE, x: Tensor) -> MultivariateNormal:
    """``p(z|x)`` of a linear-Gaussian model for data ``[B, *event]``, in float64. Raises what ``exact_log_likelihood`` raises."""
    (batch,) = _asked(model, x, None, len(x))
    return linear_gaussian(model).posterior(batch.x.flatten(1))


@torch.no_grad()
def decomposition(model: VAE, x: Tensor, context: Tensor | None = None, *, rows: int = ROWS) -> Decomposition:
    """Both sides of ``log p(x) = ELBO + gap``, each by a formula of its own, in float64.

    In closed form for a linear-Gaussian model with a Gaussian posterior, by sums over a code of at most 4096 states, ``rows`` pairs of
    state and datum at a time. Raises ``IncompatibleError`` for any other model, and ``DataError`` for data that it cannot take.
    """
    with evaluating(model, seed=0):
        by = _decomposed_by_formula if states_of(model) is None else _decomposed_by_states
        parts = [by(model, batch, rows) for batch in _asked(model, x, context, rows)]
    return Decomposition(*(torch.cat([getattr(part, each.name) for part in parts]) for each in fields(Decomposition)))


def _asked(model: VAE, x: Tensor, context: Tensor | None, rows: int) -> Iterator[Batch]:
    """The data as batches that the model can take, in its precision."""
    if rows < 1:
        raise ArgumentError(f"`rows` is {rows}; decode at least 1 pair at once.")
    x = model.checked(torch.as_tensor(x))
    if not len(x):
        raise DataError("`x` has no rows: give at least one.")
    context = model.told(len(x), context)
    check_batch(model, Batch(x, context), "x")
    for start in range(0, len(x), rows):
        index = torch.arange(start, min(start + rows, len(x)), device=x.device)
        yield Batch(x[index], None if context is None else context[index], index, len(x))


def _decomposed_by_formula(model: VAE, batch: Batch, rows: int) -> Decomposition:
    truth, q, x = linear_gaussian(model), model.infer(batch), batch.x.flatten(1).double()
    loc, covariance, there = q.mean.double(), _covariance(q).double(), ~x.isnan()
    fit = Normal(loc @ truth.weight.T + truth.offset, truth.variance.sqrt(), validate_args=False).log_prob(x).where(there, 0.0).sum(-1)
    spread = torch.einsum("dl,bln,dn,bd->b", truth.weight, covariance, truth.weight, there / truth.variance)
    own = MultivariateNormal(loc, covariance, validate_args=False)
    rate = kl_divergence(own, MultivariateNormal(torch.zeros_like(loc), torch.eye(loc.shape[1]).to(loc), validate_args=False))
    elbo = fit - 0.5 * spread - rate
    gap = kl_divergence(own, truth.posterior(x))
    return Decomposition(truth.log_prob(x), elbo, gap)


def _decomposed_by_states(model: VAE, batch: Batch, rows: int) -> Decomposition:
    joint, found = _joint_of_states(model, batch, rows), states_of(model)
    assert found is not None
    log_q = model.infer(batch).log_prob(found.enumerated()[:, None]).double()
    log_likelihood = joint.logsumexp(0)
    elbo = _expected(log_q, joint - log_q)
    return Decomposition(log_likelihood, elbo, _expected(log_q, log_q - (joint - log_likelihood)))


def _expected(log_q: Tensor, value: Tensor) -> Tensor:
    """``sum_z q(z) value(z)``; a state of no probability counts for nothing, whatever its value."""
    q = log_q.exp()
    return (q * value.where(q > 0, 0.0)).sum(0)


def _joint_of_states(model: VAE, batch: Batch, rows: int) -> Tensor:
    """``log p(x, z)`` of every state of the code, ``[states, B]`` float64; ``rows`` pairs are decoded at once."""
    found = states_of(model)
    assert found is not None
    states, size = found.enumerated()[:, None], max(1, rows // len(batch.x))
    if batch.context is not None:  # which may tell the data apart
        states = states.expand(-1, len(batch.x), *found.event_shape)
    return torch.cat([model.log_joint(batch, states[start : start + size]).double() for start in range(0, len(states), size)])


def _covariance(q: Distribution) -> Tensor:
    if isinstance(q, (MultivariateNormal, LowRankMultivariateNormal)):
        return q.covariance_matrix
    if isinstance(q, Independent) and isinstance(q.base_dist, Normal):
        return torch.diag_embed(q.variance)
    raise IncompatibleError("the decomposition needs `posteriors.Normal`, whose gap to the exact posterior has a closed form.")
