"""The prior on hyperbolic space."""

from __future__ import annotations

import torch
from torch import Tensor

from .. import distributions
from .._conditional import Unconditional
from .._shapes import as_shape
from ..errors import ArgumentError


class WrappedNormal(Unconditional):
    """A Gaussian around the origin of the Poincare ball of ``latent`` dimensions, of standard deviation ``scale`` in hyperbolic length.

    Raises ``ArgumentError`` for a scale outside of (0, 2]: further out there is too little room between the numbers.

    >>> WrappedNormal(2)().sample((5,)).shape
    torch.Size([5, 2])
    """

    zero: Tensor

    def __init__(self, latent: int, scale: float = 1.0) -> None:
        super().__init__()
        if not 0 < scale <= 2:
            raise ArgumentError(
                f"`scale` is {scale}; give a number above 0 and at most 2, as in scale=1.0."
            )
        self.scale = scale
        self.register_buffer("zero", torch.zeros(as_shape("latent", latent)), persistent=False)

    def forward(
        self, input: Tensor | None = None, context: Tensor | None = None
    ) -> distributions.WrappedNormal:
        return distributions.WrappedNormal(self.zero, self.zero + self.scale)
