"""The truth, where it can be had: models whose decoder is linear and whose noise is Gaussian.

``z ~ N(0, I)``, ``x = W z + b + noise`` with independent noise: probabilistic PCA where the noise is shared (Tipping and Bishop 1999),
factor analysis where it is not.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, LowRankMultivariateNormal, MultivariateNormal, Normal, kl_divergence

from ..distributions import Affine, kl
from ..errors import IncompatibleError
from ..models import VAE
from ..types import Batch


@dataclass(frozen=True)
class LinearGaussian:
    """The parameters of a linear-Gaussian model over flattened events of ``D`` numbers."""

    weight: Tensor  # W  [D, latent]
    offset: Tensor  # b  [D]
    variance: Tensor  # [D]

    def evidence(self) -> LowRankMultivariateNormal:
        """``p(x) = N(b, W W^T + diag(variance))``."""
        return LowRankMultivariateNormal(self.offset, self.weight, self.variance, validate_args=False)

    def posterior(self, x: Tensor) -> MultivariateNormal:
        """``p(z|x) = N(S W^T V^-1 (x - b), S)`` with ``S = (I + W^T V^-1 W)^-1``, for ``x`` ``[B, D]``."""
        scaled = self.weight / self.variance[:, None]
        precision = torch.eye(self.weight.shape[1], dtype=x.dtype, device=x.device) + self.weight.T @ scaled
        factor = torch.linalg.cholesky(precision)
        loc = torch.cholesky_solve(((x - self.offset) @ scaled).T, factor).T
        return MultivariateNormal(loc, precision_matrix=precision, validate_args=False)


@dataclass(frozen=True)
class Decomposition:
    """``log p(x) = ELBO + KL(q(z|x) || p(z|x))``, each ``[B]`` nats, each computed by its own formula."""

    log_likelihood: Tensor
    elbo: Tensor
    gap: Tensor


@torch.no_grad()
def linear_gaussian(model: VAE) -> LinearGaussian:
    """Read the parameters off a linear-Gaussian model.

    The decoder is probed at the origin and at the unit vectors, and checked elsewhere. Raises ``IncompatibleError`` where prior,
    noise or linearity are not what they must be.
    """
    size = model.latent_shape[0]
    like = next(model.parameters())
    p = model.prior()
    gaussian = isinstance(p, Independent) and isinstance(p.base_dist, Normal) and len(model.latent_shape) == 1
    if not gaussian or p.mean.any() or (p.stddev != 1).any():
        raise IncompatibleError("exact likelihoods need the prior `priors.Normal(n)`; use `metrics.log_likelihood(model, x, samples=...)`.")
    corners = torch.cat([torch.zeros(1, size), torch.eye(size), torch.linspace(-3, 3, 4 * size).reshape(4, size)]).to(like)
    mean, variance = _moments(model.likelihood(corners))
    offset = mean[0]
    weight = (mean[1 : size + 1] - offset).T
    tolerance = 1e3 * torch.finfo(like.dtype).eps * (1 + mean.abs().max())
    bent = (mean - (corners @ weight.T + offset)).abs().max() > tolerance or (variance - variance[0]).abs().max() > tolerance
    if bent:
        raise IncompatibleError(
            "exact likelihoods need a linear decoder with the same noise everywhere, and this one is not; "
            "use `metrics.log_likelihood(model, x, samples=...)`."
        )
    return LinearGaussian(weight, offset, variance[0])


def _moments(likelihood: Distribution) -> tuple[Tensor, Tensor]:
    inner = likelihood.base if isinstance(likelihood, Affine) else likelihood
    if not (isinstance(inner, Independent) and isinstance(inner.base_dist, Normal)):
        raise IncompatibleError("exact likelihoods need `likelihoods.Normal`; use `metrics.log_likelihood(model, x, samples=...)`.")
    return likelihood.mean.flatten(1), likelihood.variance.flatten(1)


def exact_log_likelihood(model: VAE, x: Tensor) -> Tensor:
    """``log p(x)`` ``[B]`` of data ``[B, *event]`` under a linear-Gaussian model."""
    return linear_gaussian(model).evidence().log_prob(x.flatten(1))


def exact_posterior(model: VAE, x: Tensor) -> MultivariateNormal:
    """``p(z|x)`` of a linear-Gaussian model for data ``[B, *event]``."""
    return linear_gaussian(model).posterior(x.flatten(1))


@torch.no_grad()
def decomposition(model: VAE, x: Tensor) -> Decomposition:
    """Both sides of ``log p(x) = ELBO + gap`` for a linear-Gaussian model with a Gaussian posterior, each in closed form.

    Raises ``IncompatibleError`` where the model is not linear-Gaussian or the posterior not Gaussian.
    """
    truth = linear_gaussian(model)
    q = model.infer(Batch(x, index=torch.arange(len(x), device=x.device), total=len(x)))
    loc, covariance = q.mean, _covariance(q)
    fit = Normal(loc @ truth.weight.T + truth.offset, truth.variance.sqrt(), validate_args=False).log_prob(x.flatten(1)).sum(-1)
    spread = torch.einsum("dl,bln,dn->b", truth.weight / truth.variance[:, None], covariance, truth.weight)
    elbo = fit - 0.5 * spread - kl.exact(q, model.prior())
    gap = kl_divergence(MultivariateNormal(loc, covariance, validate_args=False), truth.posterior(x.flatten(1)))
    return Decomposition(truth.evidence().log_prob(x.flatten(1)), elbo, gap)


def _covariance(q: Distribution) -> Tensor:
    if isinstance(q, (MultivariateNormal, LowRankMultivariateNormal)):
        return q.covariance_matrix
    if isinstance(q, Independent) and isinstance(q.base_dist, Normal):
        return torch.diag_embed(q.variance)
    raise IncompatibleError("the decomposition needs `posteriors.Normal`, whose gap to the exact posterior has a closed form.")
