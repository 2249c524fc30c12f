"""The marginal density of a latent-variable model, by importance sampling."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, constraints
from torch.types import _size

from ._monte_carlo_moments import MonteCarloMoments


class Marginal(MonteCarloMoments):
    """Marginal density ``p(z) = E[p(z|w)]`` over ``w ~ p(w)``, estimated by importance sampling.

    ``exp(log_prob)`` is an unbiased estimate, and ``log_prob`` a lower bound in expectation, which
    tightens with ``samples``. An importance-weighted estimate of a ``p(x)`` with this prior stays
    unbiased. Draws come from the default random stream. Mean and variance are estimated.

    Args:
        prior: ``p(w)``.
        posterior: Proposal: maps ``z`` ``[N, D]`` to ``q(w|z)``.
        likelihood: Maps ``w`` to ``p(z|w)``.
        size: Dimension ``D`` of ``z``.
        samples: Number of importance samples.

    Example:
        >>> from torch.distributions import Independent, Normal
        >>> normal = lambda loc, scale: Independent(Normal(loc, scale), 1)
        >>> p = Marginal(
        ...     normal(torch.zeros(2), 1.0),
        ...     lambda z: normal(z / 2, 0.5**0.5),
        ...     lambda w: normal(w, 1.0),
        ...     2,
        ...     samples=3,
        ... )
        >>> p.log_prob(torch.zeros(5, 2))  # the true q(w|z): no draw errs
        tensor([-2.5310, -2.5310, -2.5310, -2.5310, -2.5310])
    """

    fixed_support = constraints.real_vector

    def __init__(
        self,
        prior: Distribution,
        posterior: Callable[[Tensor], Distribution],
        likelihood: Callable[[Tensor], Distribution],
        size: int,
        samples: int,
    ) -> None:
        self.prior, self.posterior, self.likelihood, self.samples = (
            prior,
            posterior,
            likelihood,
            samples,
        )
        super().__init__(Size(), Size((size,)))

    def rsample(self, sample_shape: _size = Size()) -> Tensor:
        w = self.prior.sample(Size((math.prod(sample_shape),)))
        return self.likelihood(w).rsample().reshape(*sample_shape, *self.event_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        z = value.reshape(-1, *self.event_shape)
        q = self.posterior(z)
        w = q.rsample((self.samples,))
        log_weight = self.likelihood(w).log_prob(z) + self.prior.log_prob(w) - q.log_prob(w)
        return (log_weight.logsumexp(0) - math.log(self.samples)).reshape(value.shape[:-1])

    def _reference_tensor(self) -> Tensor:
        return torch.as_tensor(self.prior.mean)
