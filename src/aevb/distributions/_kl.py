"""Kullback-Leibler divergences: analytic where a formula is registered, else sampled."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import (
    Bernoulli,
    Beta,
    Dirichlet,
    Distribution,
    Gamma,
    Independent,
    LowRankMultivariateNormal,
    MultivariateNormal,
    Normal,
    OneHotCategorical,
)
from torch.distributions import kl_divergence as torch_kl_divergence

from ._class_and_latent import ClassAndLatent, ClassConditional
from ._double import in_double
from ._families import Weibull
from ._product import Product
from ._quantised import CodebookDistribution, QuantisedDirac
from ._sphere import DirectionalDistribution, PowerSpherical, UniformSphere, VonMisesFisher


@dataclass(frozen=True)
class KLDivergence:
    """A divergence ``KL(q || p)`` and its error.

    Args:
        value: Divergence ``[B]`` in nats.
        standard_error: Standard error ``[B]`` of a sampled value; ``None`` for an analytic value.
    """

    value: Tensor
    standard_error: Tensor | None

    @property
    def is_analytic(self) -> bool:
        """Whether the value is exact."""
        return self.standard_error is None


def kl_divergence(q: Distribution, p: Distribution, samples: int = 1024) -> KLDivergence:
    """``KL(q || p) = E_q[log q(z) - log p(z)]``: analytic where possible, else an estimate.

    Args:
        q: First distribution, from which an estimate draws.
        p: Second distribution.
        samples: Number of draws of an estimate.

    Returns:
        The divergence in nats; an estimate has a standard error.

    Example:
        >>> import torch
        >>> known = kl_divergence(Normal(torch.tensor(1.0), 0.5), Normal(torch.tensor(-0.25), 2.0))
        >>> known.is_analytic, round(known.value.item(), 4)
        (True, 1.1129)
    """
    if has_analytic_kl(q, p):
        return KLDivergence(analytic_kl(q, p), None)
    z = q.sample((samples,))
    ratio = q.log_prob(z) - p.log_prob(z)
    return KLDivergence(ratio.mean(0), ratio.std(0) / math.sqrt(samples))


def has_analytic_kl(q: Distribution, p: Distribution) -> bool:
    """Whether ``analytic_kl`` knows this pair of families.

    The call also warms torch's dispatch cache, which cannot be traced while it is cold.

    Args:
        q: First distribution.
        p: Second distribution.

    Returns:
        Whether the KL divergence of ``q`` from ``p`` has a closed form.
    """
    try:
        analytic_kl(q, p)
    except NotImplementedError:
        return False
    return True


def analytic_kl(q: Distribution, p: Distribution) -> Tensor:
    """``KL(q || p)`` in closed form, reduced over the event.

    Args:
        q: First distribution.
        p: Second distribution.

    Returns:
        The divergence ``[B]`` in nats.

    Raises:
        NotImplementedError: No formula is registered, here or in ``torch.distributions``.
    """
    if (
        isinstance(q, Independent)
        and isinstance(p, Independent)
        and q.reinterpreted_batch_ndims == p.reinterpreted_batch_ndims
    ):
        return _sum_event(analytic_kl(q.base_dist, p.base_dist), q.reinterpreted_batch_ndims)
    base = p.base_dist if isinstance(p, Independent) else p
    for (first, second), formula in _ANALYTIC_KL.items():
        if isinstance(q, first) and isinstance(base, second):
            return formula(q, p)
    return torch_kl_divergence(q, p)


def elementwise_kl(q: Distribution, p: Distribution) -> Tensor | None:
    """KL divergence of each latent variable separately.

    Args:
        q: First distribution.
        p: Second distribution.

    Returns:
        ``[B, *latent]`` in nats, or ``None`` where a distribution does not factorise or no formula
        is registered.
    """
    if not (isinstance(q, Independent) and isinstance(p, Independent)):
        return None
    if q.reinterpreted_batch_ndims != p.reinterpreted_batch_ndims:
        return None
    return (
        analytic_kl(q.base_dist, p.base_dist) if has_analytic_kl(q.base_dist, p.base_dist) else None
    )


def _full_against_diagonal(q: MultivariateNormal, p: Independent) -> Tensor:
    half_log_determinant = q.scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    return _against_diagonal(q.mean, q.scale_tril.square().sum(-1), half_log_determinant, p)


def _low_rank_against_diagonal(q: LowRankMultivariateNormal, p: Independent) -> Tensor:
    # the matrix determinant lemma, with the Cholesky factor that the distribution stores
    half_log_determinant = q._capacitance_tril.diagonal(dim1=-2, dim2=-1).log().sum(
        -1
    ) + 0.5 * q.cov_diag.log().sum(-1)
    return _against_diagonal(q.mean, q.variance, half_log_determinant, p)


def _against_diagonal(
    loc: Tensor, variance: Tensor, half_log_determinant: Tensor, p: Independent
) -> Tensor:
    m, s = p.mean, p.stddev
    quadratic = ((variance + (loc - m) ** 2) / s**2 - 1).sum(-1)
    return 0.5 * quadratic + s.log().expand_as(loc).sum(-1) - half_log_determinant


def _bernoulli(q: Bernoulli, p: Bernoulli) -> Tensor:
    # torch's formula writes into a masked tensor, which does not broadcast against the prior
    given_one = F.softplus(-p.logits) - F.softplus(-q.logits)
    given_zero = F.softplus(p.logits) - F.softplus(q.logits)
    return q.probs * given_one + (-q.logits).sigmoid() * given_zero


def _categorical(q: OneHotCategorical, p: OneHotCategorical) -> Tensor:
    # torch's formula is infinite where a probability underflows; logits do not underflow
    return (q.probs * (q.logits - p.logits)).sum(-1)


def _weibull(q: Weibull, p: Gamma) -> Tensor:
    return in_double(_weibull_formula, q.scale, q.concentration, p.concentration, p.rate)


def _weibull_formula(scale: Tensor, k: Tensor, a: Tensor, rate: Tensor) -> Tensor:
    log_scale, log_rate = scale.log(), rate.log()
    euler = -torch.digamma(torch.ones_like(k))
    mean = (log_rate + log_scale + torch.lgamma(1 + 1 / k)).exp()
    return euler * (a / k - 1) - a * (log_scale + log_rate) + k.log() + mean - 1 + torch.lgamma(a)


def _gamma(q: Gamma, p: Gamma) -> Tensor:
    return in_double(
        lambda a, r, b, s: torch_kl_divergence(
            Gamma(a, r, validate_args=False), Gamma(b, s, validate_args=False)
        ),
        q.concentration,
        q.rate,
        p.concentration,
        p.rate,
    )


def _beta(q: Beta, p: Beta) -> Tensor:
    return in_double(
        lambda a, b, c, d: torch_kl_divergence(
            Beta(a, b, validate_args=False), Beta(c, d, validate_args=False)
        ),
        q.concentration1,
        q.concentration0,
        p.concentration1,
        p.concentration0,
    )


def _dirichlet(q: Dirichlet, p: Dirichlet) -> Tensor:
    return in_double(
        lambda a, b: torch_kl_divergence(
            Dirichlet(a, validate_args=False), Dirichlet(b, validate_args=False)
        ),
        q.concentration,
        p.concentration,
    )


def _class_conditional(q: ClassConditional, p: ClassAndLatent) -> Tensor:
    if q.shapes != p.shapes:
        raise NotImplementedError
    latent_kl = q.average_over_classes(analytic_kl(q.latent, p.latent))
    return (q.log_weight.exp() * (q.log_weight - p.log_weight)).sum(-1) + latent_kl


def _product(q: Product, p: Product) -> Tensor:
    if q.sizes != p.sizes:
        raise NotImplementedError
    return torch.stack(
        [analytic_kl(mine, theirs) for mine, theirs in zip(q.parts, p.parts, strict=True)]
    ).sum(0)


def _against_uniform_sphere(q: DirectionalDistribution, p: UniformSphere) -> Tensor:
    return q.kl_to_uniform()


def _quantised_against_codebook(q: QuantisedDirac, p: CodebookDistribution) -> Tensor:
    return -p.log_prob_of_codes(q.codes)  # all mass at one code


def _sum_event(value: Tensor, axes: int) -> Tensor:
    return value.sum(tuple(range(-axes, 0))) if axes else value


_ANALYTIC_KL: dict[tuple[type, type], Callable[..., Tensor]] = {
    (MultivariateNormal, Normal): _full_against_diagonal,
    (LowRankMultivariateNormal, Normal): _low_rank_against_diagonal,
    (Bernoulli, Bernoulli): _bernoulli,
    (OneHotCategorical, OneHotCategorical): _categorical,
    (Weibull, Gamma): _weibull,
    (Gamma, Gamma): _gamma,
    (Beta, Beta): _beta,
    (Dirichlet, Dirichlet): _dirichlet,
    (VonMisesFisher, UniformSphere): _against_uniform_sphere,
    (PowerSpherical, UniformSphere): _against_uniform_sphere,
    (Product, Product): _product,
    (ClassConditional, ClassAndLatent): _class_conditional,
    (QuantisedDirac, CodebookDistribution): _quantised_against_codebook,
}
