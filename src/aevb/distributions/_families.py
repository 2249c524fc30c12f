"""Univariate families that ``torch.distributions`` lacks, or implements without moments."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Size, Tensor
from torch.distributions import Independent, LogNormal, Normal, constraints
from torch.types import _size

from ._base import BaseDistribution
from ._discrete import open_uniform
from ._double import in_double


class Logistic(BaseDistribution):
    """Logistic distribution: ``log p(z) = -y - 2 softplus(-y) - log s`` with ``y = (z - m) / s``.

    Draws are ``z = m + s logit(u)`` with ``u`` uniform.

    Args:
        loc: Location ``m``, ``[*batch]``.
        scale: Positive scale ``s``, ``[*batch]``.

    Example:
        >>> Logistic(torch.tensor(0.0), torch.tensor(1.0)).log_prob(torch.tensor(0.0)).exp()
        tensor(0.2500)
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    fixed_support = constraints.real
    has_rsample = True

    def __init__(self, loc: Tensor, scale: Tensor) -> None:
        self.loc, self.scale = loc, scale
        super().__init__(loc.shape)

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return (torch.pi * self.scale) ** 2 / 3

    def rsample(self, sample_shape: _size = Size()) -> Tensor:
        return self.loc + self.scale * torch.logit(
            open_uniform(self._extended_shape(Size(sample_shape)), self.loc)
        )

    def log_prob(self, value: Tensor) -> Tensor:
        y = (value - self.loc) / self.scale
        return -y - 2 * F.softplus(-y) - self.scale.log()


class Kumaraswamy(BaseDistribution):
    """Kumaraswamy distribution: ``p(z) = a b z^(a-1) (1 - z^a)^(b-1)`` on (0, 1).

    It is close to a beta distribution with the same parameters, and its draws have a closed form,
    ``z = (1 - u^(1/b))^(1/a)`` with ``u`` uniform. Draws stay inside the interval. Kumaraswamy
    (1980).

    Args:
        a: Positive parameter ``a``, ``[*batch]``.
        b: Positive parameter ``b``, ``[*batch]``.

    Example:
        >>> Kumaraswamy(torch.tensor(1.0), torch.tensor(1.0)).mean
        tensor(0.5000)
    """

    arg_constraints = {"a": constraints.positive, "b": constraints.positive}
    fixed_support = constraints.unit_interval
    has_rsample = True

    def __init__(self, a: Tensor, b: Tensor) -> None:
        self.a, self.b = a, b
        super().__init__(a.shape)

    @property
    def mean(self) -> Tensor:
        return in_double(lambda a, b: _kumaraswamy_moment(a, b, 1), self.a, self.b)

    @property
    def variance(self) -> Tensor:
        return in_double(
            lambda a, b: _kumaraswamy_moment(a, b, 2) - _kumaraswamy_moment(a, b, 1).square(),
            self.a,
            self.b,
        )

    def rsample(self, sample_shape: _size = Size()) -> Tensor:
        log_rest = open_uniform(self._extended_shape(Size(sample_shape)), self.a).log() / self.b
        z = (log1mexp(log_rest) / self.a).exp()
        return z.clamp(torch.finfo(z.dtype).tiny, 1 - torch.finfo(z.dtype).eps / 2)

    def log_prob(self, value: Tensor) -> Tensor:
        # where value^a rounds to 0 or 1 the logarithms have limits; at 1 it is (1 - b) infinities
        end = ((1 - self.b.detach()) * torch.inf).nan_to_num(
            nan=0.0, posinf=torch.inf, neginf=-torch.inf
        )
        rest = torch.where(value < 1, (self.b - 1) * log1mexp(self.a * value.log()), end)
        return self.a.log() + self.b.log() + torch.xlogy(self.a - 1, value) + rest


class Weibull(BaseDistribution):
    """Weibull: ``log p(z) = log(k / s) + (k - 1) log(z / s) - (z / s)^k`` for ``z > 0``.

    Draws are ``z = s e^(1/k)`` with ``e`` exponential.

    Args:
        scale: Positive scale ``s``, ``[*batch]``.
        concentration: Positive shape ``k``, ``[*batch]``.

    Example:
        >>> Weibull(torch.tensor(1.0), torch.tensor(2.0)).mean
        tensor(0.8862)
    """

    arg_constraints = {"scale": constraints.positive, "concentration": constraints.positive}
    fixed_support = constraints.positive
    has_rsample = True

    def __init__(self, scale: Tensor, concentration: Tensor) -> None:
        self.scale, self.concentration = scale, concentration
        super().__init__(scale.shape)

    @property
    def mean(self) -> Tensor:
        return self.scale * torch.lgamma(1 + 1 / self.concentration).exp()

    @property
    def variance(self) -> Tensor:
        return self.scale.square() * in_double(_weibull_variance, self.concentration)

    def rsample(self, sample_shape: _size = Size()) -> Tensor:
        log_wait = (-open_uniform(self._extended_shape(Size(sample_shape)), self.scale).log()).log()
        z = (self.scale.log() + log_wait / self.concentration).exp()
        return z.clamp(min=torch.finfo(z.dtype).tiny)

    def log_prob(self, value: Tensor) -> Tensor:
        return in_double(_weibull_log_prob, self.scale, self.concentration, value)


def _kumaraswamy_moment(a: Tensor, b: Tensor, n: int) -> Tensor:
    first = 1 + n / a
    return (b.log() + torch.lgamma(first) + torch.lgamma(b) - torch.lgamma(first + b)).exp()


def _weibull_log_prob(scale: Tensor, concentration: Tensor, value: Tensor) -> Tensor:
    power = concentration * (value.log() - scale.log())
    # beyond e^80 the density is 0 in every precision; its logarithm stays finite
    return concentration.log() - value.log() + power - power.clamp(max=80).exp()


def _weibull_variance(concentration: Tensor) -> Tensor:
    first = torch.lgamma(1 + 1 / concentration)
    return (torch.lgamma(1 + 2 / concentration) - 2 * first).expm1() * (2 * first).exp()


def log_normal(loc: Tensor, scale: Tensor) -> LogNormal:
    """Log-normal distribution: the exponential of a Gaussian variable.

    Args:
        loc: Mean of the logarithm, ``[*batch]``.
        scale: Standard deviation of the logarithm, ``[*batch]``.

    Returns:
        The distribution with batch shape ``[*batch]``.
    """
    return LogNormal(loc, scale, validate_args=False)


def gaussian(loc: Tensor, scale: Tensor) -> Independent:
    """Independent Gaussian variables over all axes except the first.

    Args:
        loc: Means ``[N, *event]``.
        scale: Standard deviations ``[N, *event]``.

    Returns:
        A distribution with batch shape ``[N]``.

    Example:
        >>> gaussian(torch.zeros(5, 2, 3), torch.ones(5, 2, 3)).batch_shape
        torch.Size([5])
    """
    return Independent(Normal(loc, scale, validate_args=False), loc.dim() - 1, validate_args=False)


def log1mexp(x: Tensor) -> Tensor:
    """``log(1 - e^x)`` for ``x <= 0``, without cancellation; ``x`` is clamped below 0.

    Example:
        >>> log1mexp(torch.tensor([-1e-4, -50.0])).exp()
        tensor([9.9995e-05, 1.0000e+00])
    """
    x = x.clamp(max=-torch.finfo(x.dtype).tiny)
    near, far = x.clamp(min=-1), x.clamp(max=-0.5)  # the branch not taken has a finite gradient
    return torch.where(x > -0.6931, torch.log(-torch.expm1(near)), torch.log1p(-torch.exp(far)))
