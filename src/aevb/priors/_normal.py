"""The standard normal prior."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import Independent
from torch.distributions import Normal as Gaussian

from .._conditional import Unconditional
from .._registry import register
from .._shapes import as_shape
from ._registration import PriorRegistration


@register(
    PriorRegistration(
        title="standard normal",
        paper="Kingma and Welling 2014",
        use_when="the place to start",
        cost="none: the reference",
        avoid_when="data have clusters, or many latent variables are unused",
    )
)
class Normal(Unconditional):
    """``z ~ N(0, I)``.

    Kingma and Welling, Auto-encoding variational Bayes (2014).

    Args:
        latent: Shape of the latent: one size or several.

    Raises:
        ArgumentError: ``latent`` is not a shape.

    Example:
        >>> Normal(2)().log_prob(torch.zeros(5, 2)).shape
        torch.Size([5])
    """

    loc: Tensor
    scale: Tensor

    def __init__(self, latent: int | Sequence[int]) -> None:
        super().__init__()
        shape = as_shape("latent", latent)
        self.register_buffer("loc", torch.zeros(shape), persistent=False)
        self.register_buffer("scale", torch.ones(shape), persistent=False)

    def forward(self, input: Tensor | None = None, context: Tensor | None = None) -> Independent:
        return Independent(
            Gaussian(self.loc, self.scale, validate_args=False), self.loc.dim(), validate_args=False
        )
