"""Priors of independent latent variables without learned parameters."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent
from torch.distributions import Exponential as TorchExponential
from torch.distributions import Laplace as TorchLaplace

from .. import distributions
from .._conditional import Unconditional
from .._registry import register
from .._shapes import as_shape
from ..errors import ArgumentError
from ._registration import PriorRegistration


class Elementwise(Unconditional, ABC):
    """Independent variables ``[*latent]`` of one family."""

    ones: Tensor

    def __init__(self, latent: int | Sequence[int]) -> None:
        super().__init__()
        self.register_buffer("ones", torch.ones(as_shape("latent", latent)), persistent=False)

    @abstractmethod
    def family(self, ones: Tensor) -> Distribution:
        """The distribution of each variable; ``ones`` is 1 for each of them."""

    def forward(self, input: Tensor | None = None, context: Tensor | None = None) -> Independent:
        return Independent(self.family(self.ones), self.ones.dim(), validate_args=False)


@register(
    PriorRegistration(
        title="Laplace",
        use_when="most latents should be close to 0",
        cost="as normal",
        avoid_when="rotations of the latent should not matter",
    )
)
class Laplace(Elementwise):
    """``p(z) = exp(-|z|) / 2`` per latent variable.

    Args:
        latent: Shape of the latent: one size or several.

    Example:
        >>> Laplace(2)().log_prob(torch.zeros(2)).exp()
        tensor(0.2500)
    """

    def family(self, ones: Tensor) -> Distribution:
        return TorchLaplace(0 * ones, ones, validate_args=False)


@register(
    PriorRegistration(
        title="logistic",
        use_when="to compare with the normal prior",
        cost="as normal, without a formula for the KL divergence",
        avoid_when="the KL divergence should be exact",
    )
)
class Logistic(Elementwise):
    """The standard logistic density per latent variable.

    Args:
        latent: Shape of the latent: one size or several.

    Example:
        >>> Logistic(2)().log_prob(torch.zeros(2)).exp()
        tensor(0.0625)
    """

    def family(self, ones: Tensor) -> Distribution:
        return distributions.Logistic(0 * ones, ones)


@register(
    PriorRegistration(
        title="Student t",
        use_when="a few latents may be far away",
        cost="as normal, without a formula for the KL divergence",
        avoid_when="the KL divergence should be exact",
    )
)
class StudentT(Elementwise):
    """Student's t density per latent variable.

    Args:
        latent: Shape of the latent: one size or several.
        dof: Degrees of freedom, more than 2.

    Raises:
        ArgumentError: ``dof`` is 2 or less.

    Example:
        >>> StudentT(2, dof=4.0)().log_prob(torch.zeros(2)).exp()
        tensor(0.1406)
    """

    def __init__(self, latent: int | Sequence[int], dof: float = 5.0) -> None:
        super().__init__(latent)
        self.dof = check_dof(dof)

    def family(self, ones: Tensor) -> Distribution:
        return distributions.StudentT(0 * ones, ones, self.dof * ones)


@register(
    PriorRegistration(
        title="log-normal",
        support="positive",
        posterior="log_normal",
        use_when="amounts over orders of magnitude",
        cost="as normal",
        avoid_when="there is no reason for positive latents",
    )
)
class LogNormal(Elementwise):
    """Positive latent variables whose logarithms are standard normal.

    Args:
        latent: Shape of the latent: one size or several.

    Example:
        >>> LogNormal(2)().log_prob(torch.ones(2)).exp()
        tensor(0.1592)
    """

    def family(self, ones: Tensor) -> Distribution:
        return distributions.log_normal(0 * ones, ones)


@register(
    PriorRegistration(
        title="exponential",
        support="positive",
        posterior="gamma",
        use_when="amounts most of which are small",
        cost="as normal",
        avoid_when="there is no reason for positive latents",
    )
)
class Exponential(Elementwise):
    """``p(z) = rate * exp(-rate * z)`` per latent variable.

    Args:
        latent: Shape of the latent: one size or several.
        rate: A positive number.

    Raises:
        ArgumentError: ``rate`` is not positive.

    Example:
        >>> Exponential(2, rate=2.0)().mean
        tensor([0.5000, 0.5000])
    """

    def __init__(self, latent: int | Sequence[int], rate: float = 1.0) -> None:
        super().__init__(latent)
        self.rate = check_positive("rate", rate)

    def family(self, ones: Tensor) -> Distribution:
        return TorchExponential(self.rate * ones, validate_args=False)


@register(
    PriorRegistration(
        title="gamma",
        support="positive",
        posterior="gamma",
        use_when="latents that are amounts",
        cost="as normal",
        avoid_when="there is no reason for positive latents",
    )
)
class Gamma(Elementwise):
    """``p(z) = r^a z^(a-1) exp(-r z) / Gamma(a)`` with concentration ``a`` and rate ``r``.

    For posteriors that are gamma, Weibull, exponential or log-normal.

    Args:
        latent: Shape of the latent: one size or several.
        concentration: A positive number.
        rate: A positive number.

    Raises:
        ArgumentError: A parameter is not positive.

    Example:
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
        return distributions.Gamma(self.concentration * ones, self.rate * ones, validate_args=False)


@register(
    PriorRegistration(
        title="beta",
        support="unit_interval",
        posterior="beta",
        use_when="latents that are shares between 0 and 1",
        cost="as normal",
        avoid_when="there is no reason for bounds",
    )
)
class Beta(Elementwise):
    """``p(z) = z^(a-1) (1 - z)^(b-1) / B(a, b)`` per latent variable, uniform by default.

    For posteriors that are beta or Kumaraswamy.

    Args:
        latent: Shape of the latent: one size or several.
        a: A positive number.
        b: A positive number.

    Raises:
        ArgumentError: A parameter is not positive.

    Example:
        >>> Beta(2)().log_prob(torch.tensor([0.2, 0.7])).exp().round(decimals=4)
        tensor(1.)
    """

    def __init__(self, latent: int | Sequence[int], a: float = 1.0, b: float = 1.0) -> None:
        super().__init__(latent)
        self.a, self.b = check_positive("a", a), check_positive("b", b)

    def family(self, ones: Tensor) -> Distribution:
        return distributions.Beta(self.a * ones, self.b * ones, validate_args=False)


def check_positive(argument: str, value: float) -> float:
    """Return a positive number, or raise an ``ArgumentError``."""
    if not 0 < value < float("inf"):
        raise ArgumentError("give a number above 0", argument=argument, value=value)
    return value


def check_dof(dof: float) -> float:
    """Return degrees of freedom above 2, or raise an ``ArgumentError``."""
    if not dof > 2:
        raise ArgumentError(
            "give a number above 2, below which the density has no variance",
            argument="dof",
            value=dof,
        )
    return dof
