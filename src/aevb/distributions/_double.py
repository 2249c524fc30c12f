"""Evaluation in double precision of what cancels in single precision, and families that need it.

``a log x + b log(1 - x) - log B(a, b)`` has terms of 1e6 at concentrations of 1e6, and a value of
about 7.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import Beta as TorchBeta
from torch.distributions import Dirichlet as TorchDirichlet
from torch.distributions import Gamma as TorchGamma
from torch.distributions import LowRankMultivariateNormal as TorchLowRankNormal

from ._saddle_point import LogFactorialRemainder


def in_double(function: Callable[..., Tensor], *values: Tensor) -> Tensor:
    """The function of the values in float64, rounded to their own precision.

    Apple's GPUs have no float64; there the function is evaluated in the precision of the values.

    Example:
        >>> in_double(lambda x: (1 + x) - 1, torch.tensor(1e-9))
        tensor(1.0000e-09)
    """
    dtype = functools.reduce(torch.promote_types, (value.dtype for value in values))
    return function(*map(_to_double, values)).to(dtype)


def _to_double(value: Tensor) -> Tensor:
    return value if value.device.type == "mps" else value.double()


def log_gamma(value: Tensor, dtype: torch.dtype) -> Tensor:
    """``log Gamma`` of positive float64 values, to the precision of a result of this ``dtype``.

    For float32 it takes half the time of ``torch.lgamma``, and its gradient a fourth.

    Example:
        >>> log_gamma(torch.tensor([0.5, 1e8]).double(), torch.float32).round(decimals=4)
        tensor([5.7240e-01, 1.7421e+09], dtype=torch.float64)
    """
    if dtype == torch.float64:
        return torch.lgamma(value)
    remainder = LogFactorialRemainder.apply(value.float())
    return (value - 1) * value.log() - value + remainder


def collapse(value: Tensor) -> Tensor:
    """The value without copies along axes that were expanded.

    Example:
        >>> collapse(torch.ones(3).expand(100, 3)).shape
        torch.Size([1, 3])
    """
    for axis, (size, stride) in enumerate(zip(value.shape, value.stride(), strict=True)):
        if size > 1 and stride == 0:
            value = value.narrow(axis, 0, 1)
    return value


class Gamma(TorchGamma):
    """Gamma distribution with ``a log(r x) - r x - log Gamma(a)`` in double precision.

    Args:
        concentration: Positive concentration ``a``, ``[*batch]``.
        rate: Positive rate ``r``, ``[*batch]``.

    Example:
        >>> p = Gamma(torch.tensor(1e6), torch.tensor(1e6), validate_args=False)
        >>> p.log_prob(torch.tensor(1.0)).round(decimals=4)
        tensor(5.9888)
    """

    def log_prob(self, value: Tensor) -> Tensor:
        dtype = torch.promote_types(self.concentration.dtype, value.dtype)

        def log_density(a: Tensor, rate: Tensor, x: Tensor) -> Tensor:
            return a * rate.log() + torch.xlogy(a - 1, x) - rate * x - log_gamma(a, dtype)

        return in_double(log_density, collapse(self.concentration), self.rate, value)


class Beta(TorchBeta):
    """Beta distribution with ``a log x + b log(1 - x) - log B(a, b)`` in double precision.

    Args:
        concentration1: Positive concentration ``a``, ``[*batch]``.
        concentration0: Positive concentration ``b``, ``[*batch]``.

    Example:
        >>> p = Beta(torch.tensor(1e6), torch.tensor(1e6), validate_args=False)
        >>> p.log_prob(torch.tensor(0.5)).round(decimals=4)
        tensor(7.0285)
    """

    def log_prob(self, value: Tensor) -> Tensor:
        dtype = torch.promote_types(self.concentration1.dtype, value.dtype)

        def log_density(a: Tensor, b: Tensor, x: Tensor) -> Tensor:
            inverse_mass = log_gamma(a + b, dtype) - log_gamma(a, dtype) - log_gamma(b, dtype)
            return torch.xlogy(a - 1, x) + torch.xlogy(b - 1, 1 - x) + inverse_mass

        return in_double(log_density, self.concentration1, self.concentration0, value)


class Dirichlet(TorchDirichlet):
    """Dirichlet distribution with its log-gammas in double precision.

    Args:
        concentration: Positive concentrations ``[*batch, K]``.

    Example:
        >>> p = Dirichlet(torch.full((2,), 1e6), validate_args=False)
        >>> p.log_prob(torch.full((2,), 0.5)).round(decimals=4)
        tensor(7.0285)
    """

    def log_prob(self, value: Tensor) -> Tensor:
        return in_double(
            lambda a, x: TorchDirichlet(a, validate_args=False).log_prob(x),
            self.concentration,
            value,
        )


class LowRankNormal(TorchLowRankNormal):
    """Gaussian with covariance ``W W^T + diag(d)`` and a density in double precision.

    The squared Mahalanobis distance is a difference, which cancels where ``W W^T`` is much larger
    than ``d``.

    Args:
        loc: Mean ``[*batch, D]``.
        cov_factor: Factor ``W``, ``[*batch, D, R]``.
        cov_diag: Positive diagonal ``d``, ``[*batch, D]``.

    Example:
        >>> LowRankNormal(torch.zeros(2), torch.zeros(2, 1), torch.ones(2)).log_prob(torch.zeros(2))
        tensor(-1.8379)
    """

    def log_prob(self, value: Tensor) -> Tensor:
        return in_double(
            lambda loc, factor, diagonal, x: TorchLowRankNormal(
                loc, factor, diagonal, validate_args=False
            ).log_prob(x),
            self.loc,
            self._unbroadcasted_cov_factor,  # without the batch axes that `loc` alone has
            self._unbroadcasted_cov_diag,
            value,
        )
