"""Evaluation in double precision of what cancels in single precision, and families that need it.

``x log r - r - log Gamma(x + 1)`` has terms of 1e7 at a rate of 1e6 and a value of about -8.
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
        return in_double(_gamma_log_prob, self.concentration, self.rate, value)


class Beta(TorchBeta):
    """Beta distribution with ``a log x + b log(1 - x) - log B(a, b)`` in double precision.

    Args:
        concentration1: Positive concentration ``a``, ``[*batch]``.
        concentration0: Positive concentration ``b``, ``[*batch]``.

    Example:
        >>> p = Beta(torch.tensor(1e6), torch.tensor(1e6), validate_args=False)
        >>> p.log_prob(torch.tensor(0.5)).round(decimals=4)
        tensor(7.0279)
    """

    def log_prob(self, value: Tensor) -> Tensor:
        return in_double(_beta_log_prob, self.concentration1, self.concentration0, value)


class Dirichlet(TorchDirichlet):
    """Dirichlet distribution with its log-gammas in double precision.

    Args:
        concentration: Positive concentrations ``[*batch, K]``.

    Example:
        >>> p = Dirichlet(torch.full((2,), 1e6), validate_args=False)
        >>> p.log_prob(torch.full((2,), 0.5)).round(decimals=4)
        tensor(7.0279)
    """

    def log_prob(self, value: Tensor) -> Tensor:
        return in_double(_dirichlet_log_prob, self.concentration, value)


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
        # `cov_factor` is stored without the batch axes that `loc` alone has
        return in_double(
            _low_rank_log_prob, self.loc, self._unbroadcasted_cov_factor, self.cov_diag, value
        )


def _gamma_log_prob(concentration: Tensor, rate: Tensor, value: Tensor) -> Tensor:
    return TorchGamma(concentration, rate, validate_args=False).log_prob(value)


def _beta_log_prob(a: Tensor, b: Tensor, value: Tensor) -> Tensor:
    return TorchBeta(a, b, validate_args=False).log_prob(value)


def _dirichlet_log_prob(concentration: Tensor, value: Tensor) -> Tensor:
    return TorchDirichlet(concentration, validate_args=False).log_prob(value)


def _low_rank_log_prob(loc: Tensor, factor: Tensor, diagonal: Tensor, value: Tensor) -> Tensor:
    return TorchLowRankNormal(loc, factor, diagonal, validate_args=False).log_prob(value)
