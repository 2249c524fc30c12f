"""Distributions on an open interval."""

from __future__ import annotations

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, constraints
from torch.types import _size

from ._base import BaseDistribution


class OpenIntervalDistribution(BaseDistribution):
    """Restriction of the support of ``base`` to the open interval (``low``, ``high``).

    At the ends a density may be 0 or infinite, so they are no valid data. Draws that rounding puts
    on an end are moved inside, and so is the mean.

    Args:
        base: Distribution with this interval as its support.
        low: Lower end.
        high: Upper end; may be infinite.

    Example:
        >>> from torch.distributions import Beta
        >>> p = OpenIntervalDistribution(Beta(torch.tensor(1e-4), torch.tensor(1e-4)), 0.0, 1.0)
        >>> (
        ...     bool(p.log_prob(p.sample((100,))).isfinite().all()),
        ...     p.support.check(torch.tensor([0.0, 0.5, 1.0])).tolist(),
        ... )
        (True, [False, True, False])
    """

    def __init__(self, base: Distribution, low: float, high: float) -> None:
        self.base, self.low, self.high = base, low, high
        super().__init__(base.batch_shape, base.event_shape)

    def expand(
        self, batch_shape: _size, _instance: Distribution | None = None
    ) -> OpenIntervalDistribution:
        return OpenIntervalDistribution(self.base.expand(batch_shape), self.low, self.high)

    @property
    def support(self) -> constraints.Constraint:
        return OpenInterval(self.low, self.high)

    @property
    def mean(self) -> Tensor:
        return self._clamp(self.base.mean)

    @property
    def variance(self) -> Tensor:
        return self.base.variance

    def log_prob(self, value: Tensor) -> Tensor:
        return self.base.log_prob(value)

    def sample(self, sample_shape: _size = Size()) -> Tensor:
        return self._clamp(self.base.sample(Size(sample_shape)))

    def _clamp(self, value: Tensor) -> Tensor:
        numbers = torch.finfo(value.dtype)
        return value.clamp(
            max(self.low + numbers.tiny, numbers.min),
            min(self.high * (1 - numbers.eps), numbers.max),
        )


class OpenInterval(constraints.Constraint):
    """``low < x < high``."""

    def __init__(self, low: float, high: float) -> None:
        self.lower_bound, self.upper_bound = low, high
        super().__init__()

    def check(self, value: Tensor) -> Tensor:
        return (value > self.lower_bound) & (value < self.upper_bound)
