"""Distributions of counts whose densities are accurate at every rate."""

from __future__ import annotations

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, constraints
from torch.distributions import NegativeBinomial as TorchNegativeBinomial
from torch.distributions import Poisson as TorchPoisson
from torch.types import _size

from ._base import BaseDistribution
from ._double import in_double


class Poisson(BaseDistribution):
    """Poisson distribution: ``log p(x) = x log r - r - log x!``, evaluated in double precision.

    In float32 the terms cancel from rates of about 1e3 on.

    Args:
        rate: Positive rate ``r``, ``[*batch]``.

    Example:
        >>> Poisson(torch.tensor(1e6)).log_prob(torch.tensor(1e6)).round(decimals=4)
        tensor(-7.8267)
    """

    arg_constraints = {"rate": constraints.positive}
    fixed_support = constraints.nonnegative_integer

    def __init__(self, rate: Tensor) -> None:
        self.rate = rate
        super().__init__(rate.shape)

    def expand(self, batch_shape: _size, _instance: Distribution | None = None) -> Poisson:
        return Poisson(self.rate.expand(batch_shape))

    @property
    def mean(self) -> Tensor:
        return self.rate

    @property
    def variance(self) -> Tensor:
        return self.rate

    def log_prob(self, value: Tensor) -> Tensor:
        return in_double(_poisson_log_prob, self.rate, value)

    def sample(self, sample_shape: _size = Size()) -> Tensor:
        return TorchPoisson(self.rate, validate_args=False).sample(Size(sample_shape))


class NegativeBinomial(BaseDistribution):
    """Counts with mean ``m`` and variance ``m + m^2 / c``, evaluated in double precision.

    ``log p(x) = x log(m / (m + c)) + c log(c / (m + c)) + log Gamma(x + c) - log Gamma(c) -
    log x!``. Means and not logits are the parameters, because the rounding of a logit counts ``x``
    times.

    Args:
        mean: Positive mean ``m``, ``[*batch]``.
        concentration: Positive concentration ``c``, ``[*batch]``.

    Example:
        >>> p = NegativeBinomial(torch.tensor(4.0), torch.tensor(2.0))
        >>> p.variance, p.log_prob(torch.tensor(0.0)).exp().round(decimals=4)
        (tensor(12.), tensor(0.1111))
    """

    arg_constraints = {"mean": constraints.positive, "concentration": constraints.positive}
    fixed_support = constraints.nonnegative_integer

    def __init__(self, mean: Tensor, concentration: Tensor) -> None:
        self._mean, self.concentration = torch.broadcast_tensors(mean, concentration)
        super().__init__(self._mean.shape)

    def expand(self, batch_shape: _size, _instance: Distribution | None = None) -> NegativeBinomial:
        return NegativeBinomial(
            self._mean.expand(batch_shape), self.concentration.expand(batch_shape)
        )

    @property
    def mean(self) -> Tensor:
        return self._mean

    @property
    def variance(self) -> Tensor:
        return self._mean + self._mean.square() / self.concentration

    def log_prob(self, value: Tensor) -> Tensor:
        return in_double(_negative_binomial_log_prob, self._mean, self.concentration, value)

    def sample(self, sample_shape: _size = Size()) -> Tensor:
        logits = self._mean.log() - self.concentration.log()
        return TorchNegativeBinomial(self.concentration, logits=logits, validate_args=False).sample(
            Size(sample_shape)
        )


def _poisson_log_prob(rate: Tensor, value: Tensor) -> Tensor:
    return value * rate.log() - rate - torch.lgamma(value + 1)


def _negative_binomial_log_prob(mean: Tensor, concentration: Tensor, value: Tensor) -> Tensor:
    log_total = (mean + concentration).log()
    return (
        value * (mean.log() - log_total)
        + concentration * (concentration.log() - log_total)
        + torch.lgamma(value + concentration)
        - torch.lgamma(concentration)
        - torch.lgamma(value + 1)
    )
