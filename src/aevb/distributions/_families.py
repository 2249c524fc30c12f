"""Families that ``torch.distributions`` lacks or gives no moments of, one variable at a time."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Size, Tensor
from torch.distributions import Distribution, Independent, LogNormal, Normal, constraints

from ._discrete import open_uniform


class Logistic(Distribution):
    """``log p(z) = -y - 2 softplus(-y) - log s`` with ``y = (z - m) / s``; ``z = m + s logit(u)``, ``u`` uniform.

    >>> Logistic(torch.tensor(0.0), torch.tensor(1.0)).log_prob(torch.tensor(0.0)).exp()
    tensor(0.2500)
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}  # pyright: ignore[reportAssignmentType]
    support = constraints.real  # pyright: ignore[reportAssignmentType]
    has_rsample = True

    def __init__(self, loc: Tensor, scale: Tensor) -> None:
        self.loc, self.scale = loc, scale
        super().__init__(loc.shape, validate_args=False)

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return (torch.pi * self.scale) ** 2 / 3

    def rsample(self, sample_shape: tuple[int, ...] | Size = Size()) -> Tensor:
        return self.loc + self.scale * torch.logit(
            open_uniform(self._extended_shape(Size(sample_shape)), self.loc)
        )

    def log_prob(self, value: Tensor) -> Tensor:
        y = (value - self.loc) / self.scale
        return -y - 2 * F.softplus(-y) - self.scale.log()


class Kumaraswamy(Distribution):
    """``p(z) = a b z^(a-1) (1 - z^a)^(b-1)`` on (0, 1); ``z = (1 - u^(1/b))^(1/a)``, ``u`` uniform.

    Near a Beta of the same parameters, with a draw that is a formula. Kumaraswamy (1980). Draws are kept off the edges.

    >>> Kumaraswamy(torch.tensor(1.0), torch.tensor(1.0)).mean
    tensor(0.5000)
    """

    arg_constraints = {"a": constraints.positive, "b": constraints.positive}  # pyright: ignore[reportAssignmentType]
    support = constraints.unit_interval  # pyright: ignore[reportAssignmentType]
    has_rsample = True

    def __init__(self, a: Tensor, b: Tensor) -> None:
        self.a, self.b = a, b
        super().__init__(a.shape, validate_args=False)

    def _moment(self, n: int) -> Tensor:
        first = 1 + n / self.a
        return (
            self.b.log() + torch.lgamma(first) + torch.lgamma(self.b) - torch.lgamma(first + self.b)
        ).exp()

    @property
    def mean(self) -> Tensor:
        return self._moment(1)

    @property
    def variance(self) -> Tensor:
        return self._moment(2) - self._moment(1).square()

    def rsample(self, sample_shape: tuple[int, ...] | Size = Size()) -> Tensor:
        log_rest = open_uniform(self._extended_shape(Size(sample_shape)), self.a).log() / self.b
        z = (log1mexp(log_rest) / self.a).exp()
        return z.clamp(torch.finfo(z.dtype).tiny, 1 - torch.finfo(z.dtype).eps / 2)

    def log_prob(self, value: Tensor) -> Tensor:
        # value^a may round to 1 or to 0, where the logarithms below still have their limits; at 1 itself the limit is (1 - b) infinities
        end = ((1 - self.b.detach()) * torch.inf).nan_to_num(
            nan=0.0, posinf=torch.inf, neginf=-torch.inf
        )
        rest = torch.where(value < 1, (self.b - 1) * log1mexp(self.a * value.log()), end)
        return self.a.log() + self.b.log() + torch.xlogy(self.a - 1, value) + rest


class Weibull(Distribution):
    """``log p(z) = log(k / s) + (k - 1) log(z / s) - (z / s)^k`` for ``z > 0``; ``z = s e^(1/k)``, ``e`` exponential.

    >>> Weibull(torch.tensor(1.0), torch.tensor(2.0)).mean
    tensor(0.8862)
    """

    arg_constraints = {"scale": constraints.positive, "concentration": constraints.positive}  # pyright: ignore[reportAssignmentType]
    support = constraints.positive  # pyright: ignore[reportAssignmentType]
    has_rsample = True

    def __init__(self, scale: Tensor, concentration: Tensor) -> None:
        self.scale, self.concentration = scale, concentration
        super().__init__(scale.shape, validate_args=False)

    def _moment(self, n: int) -> Tensor:
        return self.scale**n * torch.lgamma(1 + n / self.concentration).exp()

    @property
    def mean(self) -> Tensor:
        return self._moment(1)

    @property
    def variance(self) -> Tensor:
        return self._moment(2) - self._moment(1).square()

    def rsample(self, sample_shape: tuple[int, ...] | Size = Size()) -> Tensor:
        log_wait = (-open_uniform(self._extended_shape(Size(sample_shape)), self.scale).log()).log()
        z = (self.scale.log() + log_wait / self.concentration).exp()
        return z.clamp(min=torch.finfo(z.dtype).tiny)

    def log_prob(self, value: Tensor) -> Tensor:
        far = value.log() - self.scale.log()
        # beyond e^80 the density is 0 in every precision; its logarithm stays a number
        return (
            self.concentration.log()
            - value.log()
            + self.concentration * far
            - (self.concentration * far).clamp(max=80).exp()
        )


def log_normal(loc: Tensor, scale: Tensor) -> LogNormal:
    """The exponential of a Gaussian."""
    return LogNormal(loc, scale, validate_args=False)


def gaussian(loc: Tensor, scale: Tensor) -> Independent:
    """Independent Gaussians over all axes but the first: ``[N, *event]`` numbers to batch shape ``[N]``.

    >>> gaussian(torch.zeros(5, 2, 3), torch.ones(5, 2, 3)).batch_shape
    torch.Size([5])
    """
    return Independent(Normal(loc, scale, validate_args=False), loc.dim() - 1, validate_args=False)


def log1mexp(x: Tensor) -> Tensor:
    """``log(1 - e^x)`` for ``x <= 0``, without cancellation on either side of ``x = -log 2``; ``x`` is kept below 0.

    >>> log1mexp(torch.tensor([-1e-4, -50.0])).exp()
    tensor([9.9995e-05, 1.0000e+00])
    """
    x = x.clamp(max=-torch.finfo(x.dtype).tiny)
    near, far = x.clamp(min=-1), x.clamp(max=-0.5)  # the branch not taken has a finite gradient
    return torch.where(x > -0.6931, torch.log(-torch.expm1(near)), torch.log1p(-torch.exp(far)))
