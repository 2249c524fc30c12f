"""The prior on directions."""

from __future__ import annotations

import torch
from torch import Tensor

from .._conditional import Unconditional
from .._shapes import as_shape
from ..distributions import UniformSphere
from ..errors import ArgumentError


class Sphere(Unconditional):
    """Every direction in ``latent`` dimensions alike: the uniform distribution on the unit sphere.

    Raises ``ArgumentError`` for less than 2 dimensions.

    >>> Sphere(3)().sample((5,)).norm(dim=-1).round(decimals=4)
    tensor([1., 1., 1., 1., 1.])
    """

    zero: Tensor

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.register_buffer("zero", torch.zeros(check_sphere_dimension(latent)), persistent=False)

    def forward(self, input: Tensor | None = None, context: Tensor | None = None) -> UniformSphere:
        return UniformSphere(self.zero)


def check_sphere_dimension(latent: int) -> int:
    """The dimensions around a sphere, at least 2, or an error."""
    (size, *more) = as_shape("latent", latent)
    if size < 2 or more:
        raise ArgumentError(
            f"`latent` is {latent}; a direction has one number of dimensions, at least 2."
        )
    return size
