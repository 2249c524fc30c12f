"""What is left of a latent-variable model when its latent variable is summed over."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, constraints

from ._monte_carlo_moments import MonteCarloMoments


class Marginal(MonteCarloMoments):
    """``p(z) = E[p(z|w)]`` over ``w ~ p(w)``, ``[D]``, by importance sampling with ``samples`` draws from ``q(w|z)``.

    ``exp(log_prob)`` is an estimate without bias, ``log_prob`` a lower bound in expectation that tightens with ``samples``. So an
    importance-weighted estimate of some ``p(x)`` with this as its prior stays one without bias. It draws from the default random stream.
    Mean and variance are estimated.

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

    support = constraints.real_vector  # pyright: ignore[reportAssignmentType]

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
        super().__init__(Size(), Size((size,)), validate_args=False)

    def rsample(self, sample_shape: tuple[int, ...] | Size = Size()) -> Tensor:
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
