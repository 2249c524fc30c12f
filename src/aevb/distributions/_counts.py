"""Distributions of counts whose densities are accurate at every rate."""

from __future__ import annotations

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, constraints
from torch.distributions import NegativeBinomial as TorchNegativeBinomial
from torch.distributions import Poisson as TorchPoisson
from torch.types import _size

from ._base import BaseDistribution
from ._double import collapse
from ._saddle_point import Deviance, LogFactorialRemainder, NegativeBinomialDeviance


class Poisson(BaseDistribution):
    """Poisson distribution: ``log p(x) = x log r - r - log x!``.

    In float32 these terms cancel from rates of about 1e3 on; the saddle-point form does not.

    Loader, Fast and accurate computation of binomial probabilities (2000).

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
        value = _as_counts(value, self.rate)
        if value.dtype == torch.float64:
            return value * self.rate.log() - self.rate - torch.lgamma(value + 1)
        deviance = Deviance.apply(*torch.broadcast_tensors(self.rate, value))
        return -deviance - LogFactorialRemainder.apply(value)

    def sample(self, sample_shape: _size = Size()) -> Tensor:
        return TorchPoisson(self.rate, validate_args=False).sample(Size(sample_shape))


class NegativeBinomial(BaseDistribution):
    """Counts with mean ``m`` and variance ``m + m^2 / c``, by a saddle-point form.

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
        m, c, x = self._mean, self.concentration, _as_counts(value, self._mean)
        if x.dtype == torch.float64:
            log_total = (m + c).log()
            ways = torch.lgamma(x + c) - torch.lgamma(c) - torch.lgamma(x + 1)
            return x * (m.log() - log_total) + c * (c.log() - log_total) + ways
        deviance = NegativeBinomialDeviance.apply(*torch.broadcast_tensors(m, c, x))
        shared, remainder = collapse(c), LogFactorialRemainder.apply
        ways = remainder(x + c) - remainder(shared) - remainder(x) - (x / shared).log1p()
        return ways - deviance

    def sample(self, sample_shape: _size = Size()) -> Tensor:
        logits = self._mean.log() - self.concentration.log()
        return TorchNegativeBinomial(self.concentration, logits=logits, validate_args=False).sample(
            Size(sample_shape)
        )


def _as_counts(value: Tensor, parameter: Tensor) -> Tensor:
    """Counts in the precision of the result; a density of counts has no gradient in them."""
    return value.detach().to(torch.promote_types(value.dtype, parameter.dtype))
