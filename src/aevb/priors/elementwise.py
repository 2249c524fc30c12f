"""Independent latent variables of one family, none of whose parameters is learned."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import Beta as BetaLaw
from torch.distributions import Distribution, Independent
from torch.distributions import Exponential as Waits
from torch.distributions import Gamma as GammaLaw
from torch.distributions import Laplace as DoubleExponential
from torch.distributions import StudentT as T

from .. import distributions
from ..conditional import Unconditional
from ..errors import ArgumentError
from ..shapes import as_shape


class Elementwise(Unconditional, ABC):
    """Variables ``[*latent]``, each of one family."""

    one: Tensor

    def __init__(self, latent: int | Sequence[int]) -> None:
        super().__init__()
        self.register_buffer("one", torch.ones(as_shape("latent", latent)), persistent=False)

    @abstractmethod
    def family(self, one: Tensor) -> Distribution:
        """The distribution of each variable; ``one`` is 1 for each of them."""

    def forward(self, input: Tensor | None = None, context: Tensor | None = None) -> Independent:
        return Independent(self.family(self.one), self.one.dim(), validate_args=False)


class Laplace(Elementwise):
    """``p(z) = exp(-|z|) / 2``.

    >>> Laplace(2)().log_prob(torch.zeros(2)).exp()
    tensor(0.2500)
    """

    def family(self, one: Tensor) -> Distribution:
        return DoubleExponential(0 * one, one, validate_args=False)


class Logistic(Elementwise):
    """The standard logistic distribution.

    >>> Logistic(2)().log_prob(torch.zeros(2)).exp()
    tensor(0.0625)
    """

    def family(self, one: Tensor) -> Distribution:
        return distributions.Logistic(0 * one, one)


class StudentT(Elementwise):
    """Student's t with ``degrees`` of freedom, more than 2. Raises ``ArgumentError`` for fewer.

    >>> StudentT(2, degrees=4.0)().log_prob(torch.zeros(2)).exp()
    tensor(0.1406)
    """

    def __init__(self, latent: int | Sequence[int], degrees: float = 5.0) -> None:
        super().__init__(latent)
        self.degrees = checked_degrees(degrees)

    def family(self, one: Tensor) -> Distribution:
        return T(self.degrees * one, 0 * one, one, validate_args=False)


class LogNormal(Elementwise):
    """Positive numbers whose logarithms are standard normal.

    >>> LogNormal(2)().log_prob(torch.ones(2)).exp()
    tensor(0.1592)
    """

    def family(self, one: Tensor) -> Distribution:
        return distributions.log_normal(0 * one, one)


class Exponential(Elementwise):
    """``p(z) = rate exp(-rate z)``. Raises ``ArgumentError`` for a rate that is not positive.

    >>> Exponential(2, rate=2.0)().mean
    tensor([0.5000, 0.5000])
    """

    def __init__(self, latent: int | Sequence[int], rate: float = 1.0) -> None:
        super().__init__(latent)
        self.rate = above_zero("rate", rate)

    def family(self, one: Tensor) -> Distribution:
        return Waits(self.rate * one, validate_args=False)


class Gamma(Elementwise):
    """``p(z) = r^a z^(a-1) exp(-r z) / Gamma(a)``; for posteriors that are gamma, Weibull, exponential or log-normal.

    Raises ``ArgumentError`` for a parameter that is not positive.

    >>> Gamma(2, concentration=3.0, rate=2.0)().mean
    tensor([1.5000, 1.5000])
    """

    def __init__(self, latent: int | Sequence[int], concentration: float = 1.0, rate: float = 1.0) -> None:
        super().__init__(latent)
        self.concentration, self.rate = above_zero("concentration", concentration), above_zero("rate", rate)

    def family(self, one: Tensor) -> Distribution:
        return GammaLaw(self.concentration * one, self.rate * one, validate_args=False)


class Beta(Elementwise):
    """``p(z) = z^(a-1) (1 - z)^(b-1) / B(a, b)``, uniform at first; for posteriors that are beta or Kumaraswamy.

    Raises ``ArgumentError`` for a parameter that is not positive.

    >>> Beta(2)().log_prob(torch.tensor([0.2, 0.7])).exp().round(decimals=4)
    tensor(1.)
    """

    def __init__(self, latent: int | Sequence[int], a: float = 1.0, b: float = 1.0) -> None:
        super().__init__(latent)
        self.a, self.b = above_zero("a", a), above_zero("b", b)

    def family(self, one: Tensor) -> Distribution:
        return BetaLaw(self.a * one, self.b * one, validate_args=False)


def above_zero(argument: str, value: float) -> float:
    """A positive number, or an error."""
    if not 0 < value < float("inf"):
        raise ArgumentError(f"`{argument}` is {value}; give a number above 0.")
    return value


def checked_degrees(degrees: float) -> float:
    """Degrees of freedom of a Student's t that has a variance, or an error."""
    if not degrees > 2:
        raise ArgumentError(f"`degrees` is {degrees}; a Student's t has a variance above 2 only: give more, as in degrees=5.0.")
    return degrees
