"""Student's t distribution with a normaliser that is accurate in float32."""

from __future__ import annotations

import math

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, constraints
from torch.distributions import StudentT as TorchStudentT
from torch.types import _size

from ._base import BaseDistribution

# from here on the series is accurate to 1e-12, and the difference of log-gammas would cancel
GAMMA_SERIES_THRESHOLD = 20.0


class StudentT(BaseDistribution):
    """Student's t: ``p(x) ~ (1 + y^2 / dof)^(-(dof + 1) / 2)`` with ``y = (x - loc) / scale``.

    Args:
        loc: Location ``[*batch]``.
        scale: Positive scale ``[*batch]``.
        dof: Degrees of freedom ``[*batch]``, above 2, so that the variance is finite.

    Example:
        >>> p = StudentT(torch.zeros(()), torch.ones(()), torch.tensor(4.0))
        >>> round(p.log_prob(torch.zeros(())).exp().item(), 4), round(p.variance.item(), 4)
        (0.375, 2.0)
    """

    arg_constraints = {
        "loc": constraints.real,
        "scale": constraints.positive,
        "dof": constraints.greater_than(2),
    }
    fixed_support = constraints.real
    has_rsample = True

    def __init__(self, loc: Tensor, scale: Tensor, dof: Tensor) -> None:
        self.loc, self.scale, self.dof = torch.broadcast_tensors(loc, scale, dof)
        super().__init__(self.loc.shape)

    def expand(self, batch_shape: _size, _instance: Distribution | None = None) -> StudentT:
        return StudentT(
            self.loc.expand(batch_shape),
            self.scale.expand(batch_shape),
            self.dof.expand(batch_shape),
        )

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return self.scale.square() * self.dof / (self.dof - 2)

    def log_prob(self, value: Tensor) -> Tensor:
        y = (value - self.loc) / self.scale
        normaliser = (
            log_gamma_ratio(self.dof / 2) - 0.5 * torch.log(math.pi * self.dof) - self.scale.log()
        )
        return normaliser - 0.5 * (self.dof + 1) * torch.log1p(y.square() / self.dof)

    def rsample(self, sample_shape: _size = Size()) -> Tensor:
        return TorchStudentT(self.dof, self.loc, self.scale, validate_args=False).rsample(
            Size(sample_shape)
        )


def log_gamma_ratio(a: Tensor) -> Tensor:
    """``log Gamma(a + 1/2) - log Gamma(a)``, without cancellation for large ``a``.

    Example:
        >>> log_gamma_ratio(torch.tensor([0.5, 1e6], dtype=torch.float64)).round(
        ...     decimals=6
        ... ).tolist()
        [-0.572365, 6.907755]
    """
    near, far = a.clamp(max=GAMMA_SERIES_THRESHOLD), a.clamp(min=GAMMA_SERIES_THRESHOLD)
    series = 0.5 * far.log() - 1 / (8 * far) + 1 / (192 * far**3) - 1 / (640 * far**5)
    return torch.where(
        a < GAMMA_SERIES_THRESHOLD, torch.lgamma(near + 0.5) - torch.lgamma(near), series
    )
