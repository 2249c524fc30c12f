"""Independent latent variables of one family, none of whose parameters is learned."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import Beta as TorchBeta
from torch.distributions import Distribution, Independent
from torch.distributions import Exponential as TorchExponential
from torch.distributions import Gamma as TorchGamma
from torch.distributions import Laplace as TorchLaplace
from torch.distributions import StudentT as TorchStudentT

from .. import distributions
from .._conditional import Unconditional
from .._shapes import as_shape
from ..errors import ArgumentError


class Elementwise(Unconditional, ABC):
    """Variables ``[*latent]``, each of one family."""

    ones: Tensor

    def __init__(self, latent: int | Sequence[int]) -> None:
        super().__init__()
        self.register_buffer("ones", torch.ones(as_shape("latent", latent)), persistent=False)

    @abstractmethod
    def family(self, ones: Tensor) -> Distribution:
        """The distribution of each variable; ``one`` is 1 for each of them."""

    def forward(self, input: Tensor | None = None, context: Tensor | None = None) -> Independent:
        return Independent(self.family(self.ones), self.ones.dim(), validate_args=False)


class Laplace(Elementwise):
    """``p(z) = exp(-|z|) / 2``.

    >>> Laplace(2)().log_prob(torch.zeros(2)).exp()
    tensor(0.2500)
    """

    def family(self, ones: Tensor) -> Distribution:
        return TorchLaplace(0 * ones, ones, validate_args=False)


class Logistic(Elementwise):
    """The standard logistic distribution.

    >>> Logistic(2)().log_prob(torch.zeros(2)).exp()
    tensor(0.0625)
    """

    def family(self, ones: Tensor) -> Distribution:
        return distributions.Logistic(0 * ones, ones)


class StudentT(Elementwise):
    """Student's t with ``degrees`` of freedom, more than 2. Raises ``ArgumentError`` for fewer.

    >>> StudentT(2, degrees=4.0)().log_prob(torch.zeros(2)).exp()
    tensor(0.1406)
    """

    def __init__(self, latent: int | Sequence[int], dof: float = 5.0) -> None:
        super().__init__(latent)
        self.dof = check_dof(dof)

    def family(self, ones: Tensor) -> Distribution:
        return TorchStudentT(self.dof * ones, 0 * ones, ones, validate_args=False)


class LogNormal(Elementwise):
    """Positive numbers whose logarithms are standard normal.

    >>> LogNormal(2)().log_prob(torch.ones(2)).exp()
    tensor(0.1592)
    """

    def family(self, ones: Tensor) -> Distribution:
        return distributions.log_normal(0 * ones, ones)


class Exponential(Elementwise):
    """``p(z) = rate exp(-rate z)``. Raises ``ArgumentError`` for a rate that is not positive.

    >>> Exponential(2, rate=2.0)().mean
    tensor([0.5000, 0.5000])
    """

    def __init__(self, latent: int | Sequence[int], rate: float = 1.0) -> None:
        super().__init__(latent)
        self.rate = check_positive("rate", rate)

    def family(self, ones: Tensor) -> Distribution:
        return TorchExponential(self.rate * ones, validate_args=False)


class Gamma(Elementwise):
    """``p(z) = r^a z^(a-1) exp(-r z) / Gamma(a)``; for posteriors that are gamma, Weibull, exponential or log-normal.

    Raises ``ArgumentError`` for a parameter that is not positive.

    >>> Gamma(2, concentration=3.0, rate=2.0)().mean
    tensor([1.5000, 1.5000])
    """

    def __init__(
        self, latent: int | Sequence[int], concentration: float = 1.0, rate: float = 1.0
    ) -> None:
        super().__init__(latent)
        self.concentration, self.rate = (
            check_positive("concentration", concentration),
            check_positive("rate", rate),
        )

    def family(self, ones: Tensor) -> Distribution:
        return TorchGamma(self.concentration * ones, self.rate * ones, validate_args=False)


class Beta(Elementwise):
    """``p(z) = z^(a-1) (1 - z)^(b-1) / B(a, b)``, uniform at first; for posteriors that are beta or Kumaraswamy.

    Raises ``ArgumentError`` for a parameter that is not positive.

    >>> Beta(2)().log_prob(torch.tensor([0.2, 0.7])).exp().round(decimals=4)
    tensor(1.)
    """

    def __init__(self, latent: int | Sequence[int], a: float = 1.0, b: float = 1.0) -> None:
        super().__init__(latent)
        self.a, self.b = check_positive("a", a), check_positive("b", b)

    def family(self, ones: Tensor) -> Distribution:
        return TorchBeta(self.a * ones, self.b * ones, validate_args=False)


def check_positive(argument: str, value: float) -> float:
    """A positive number, or an error."""
    if not 0 < value < float("inf"):
        raise ArgumentError(f"`{argument}` is {value}; give a number above 0.")
    return value


def check_dof(dof: float) -> float:
    """Degrees of freedom of a Student's t that has a variance, or an error."""
    if not dof > 2:
        raise ArgumentError(
            f"`degrees` is {dof}; a Student's t has a variance above 2 only: give more, as in degrees=5.0."
        )
    return dof
