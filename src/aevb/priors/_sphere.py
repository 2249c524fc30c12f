"""Prior of directions."""

from __future__ import annotations

import torch
from torch import Tensor

from .._conditional import Unconditional
from .._registry import register
from .._shapes import as_shape
from ..distributions import UniformSphere
from ..errors import ArgumentError
from ._registration import PriorRegistration


@register(
    PriorRegistration(
        title="uniform on the sphere",
        paper="Davidson et al. 2018",
        support="sphere",
        posterior="von_mises_fisher",
        use_when="directions matter and lengths do not",
        cost="as normal",
        avoid_when="the latent has more than about 20 variables",
    )
)
class Sphere(Unconditional):
    """The uniform distribution on the unit sphere.

    Davidson et al., Hyperspherical variational auto-encoders (2018).

    Args:
        latent: Dimension of the space around the sphere, at least 2.

    Raises:
        ArgumentError: ``latent`` is less than 2.

    Example:
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
    """Return the dimension around a sphere, or raise an ``ArgumentError`` if it is less than 2."""
    (size, *more) = as_shape("latent", latent)
    if size < 2 or more:
        raise ArgumentError(
            "a direction needs one number of dimensions, at least 2",
            argument="latent",
            value=latent,
        )
    return size
