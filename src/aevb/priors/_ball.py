"""Prior on hyperbolic space."""

from __future__ import annotations

import torch
from torch import Tensor

from .. import distributions
from .._conditional import Unconditional
from .._registry import register
from .._shapes import as_shape
from ..errors import ArgumentError
from ._registration import PriorRegistration


@register(
    PriorRegistration(
        title="wrapped normal on the Poincare ball",
        paper="Mathieu et al. 2019",
        support="ball",
        posterior="wrapped_normal",
        use_when="data branch like trees",
        cost="no formula for the KL divergence",
        avoid_when="data have no hierarchy",
    )
)
class WrappedNormal(Unconditional):
    """A Gaussian around the origin of the Poincare ball.

    Mathieu et al., Continuous hierarchical representations with Poincare variational auto-encoders
    (2019).

    Args:
        latent: Dimension of the ball.
        scale: Standard deviation in hyperbolic length, above 0 and at most 2; further out the ball
            has too few floating-point numbers.

    Raises:
        ArgumentError: ``scale`` is out of range.

    Example:
        >>> WrappedNormal(2)().sample((5,)).shape
        torch.Size([5, 2])
    """

    zero: Tensor

    def __init__(self, latent: int, scale: float = 1.0) -> None:
        super().__init__()
        if not 0 < scale <= 2:
            raise ArgumentError(
                "give a number above 0 and at most 2", argument="scale", value=scale
            )
        self.scale = scale
        self.register_buffer("zero", torch.zeros(as_shape("latent", latent)), persistent=False)

    def forward(
        self, input: Tensor | None = None, context: Tensor | None = None
    ) -> distributions.WrappedNormal:
        return distributions.WrappedNormal(self.zero, self.zero + self.scale)
