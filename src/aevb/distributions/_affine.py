"""Distribution of a shifted and scaled variable."""

from __future__ import annotations

from typing import Any

from torch import Size, Tensor
from torch.distributions import Distribution, biject_to, constraints
from torch.distributions.transforms import AffineTransform, ComposeTransform, Transform
from torch.types import _size

from ._base import BaseDistribution, expectation


class Affine(BaseDistribution):
    """Distribution of ``x = shift + scale * y`` with ``y ~ base``, elementwise.

    The density is in the units of ``x`` and includes the log-Jacobian. Unlike
    ``TransformedDistribution`` this distribution has a mean.

    Args:
        base: Distribution of ``y``.
        shift: Shift; broadcasts against the event.
        scale: Positive scale; broadcasts against the event.

    Example:
        >>> import torch
        >>> base = torch.distributions.Independent(
        ...     torch.distributions.Normal(torch.zeros(2), 1.0), 1
        ... )
        >>> x = torch.tensor([3.0, 5.0])
        >>> moved = Affine(base, torch.tensor(1.0), torch.tensor(2.0))
        >>> bool(
        ...     (moved.log_prob(x) - torch.distributions.Normal(1.0, 2.0).log_prob(x).sum()).abs()
        ...     < 1e-6
        ... )
        True
    """

    arg_constraints = {"shift": constraints.real, "scale": constraints.positive}

    def __init__(self, base: Distribution, shift: Tensor, scale: Tensor) -> None:
        self.base = base
        self.shift = shift
        self.scale = scale
        self.has_rsample = base.has_rsample
        super().__init__(base.batch_shape, base.event_shape)

    @property
    def support(self) -> constraints.Constraint:
        base = constraints.real if self.base.support is None else self.base.support
        return _AffineSupport(base, self.shift, self.scale, self.event_shape)

    @property
    def mean(self) -> Tensor:
        return self.shift + self.scale * self.base.mean

    @property
    def expectation(self) -> Tensor:
        return self.shift + self.scale * expectation(self.base)

    @property
    def variance(self) -> Tensor:
        return self.scale**2 * self.base.variance

    def sample(self, sample_shape: _size = Size()) -> Tensor:
        return self.shift + self.scale * self.base.sample(Size(sample_shape))

    def rsample(self, sample_shape: _size = Size()) -> Tensor:
        return self.shift + self.scale * self.base.rsample(Size(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        log_jacobian = self.scale.log()
        if self.event_shape:
            log_jacobian = log_jacobian.expand(self.event_shape).sum()
        return self.base.log_prob((value - self.shift) / self.scale) - log_jacobian


class _AffineSupport(constraints.Constraint):
    """The image of the base's support."""

    def __init__(
        self, base: constraints.Constraint, shift: Tensor, scale: Tensor, shape: Size
    ) -> None:
        self.base, self.shift, self.scale, self.shape = base, shift, scale, shape
        self.is_discrete, self.event_dim = base.is_discrete, base.event_dim
        super().__init__()

    def check(self, value: Tensor) -> Tensor:
        return self.base.check((value - self.shift) / self.scale)


@biject_to.register(_AffineSupport)
def _biject_to_affine(support: Any) -> Transform:
    # torch counts the Jacobian of a scale by its own axes
    scale = support.scale.expand(support.shape)
    return ComposeTransform(
        [
            biject_to(support.base),
            AffineTransform(support.shift, scale, event_dim=support.event_dim),
        ]
    )
