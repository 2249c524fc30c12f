"""Priors on proportions."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Dirichlet as TorchDirichlet

from .. import distributions
from .._conditional import Unconditional
from .._shapes import as_shape
from ..errors import ArgumentError
from ._elementwise import check_positive


class Dirichlet(Unconditional):
    """``latent`` proportions that sum to 1; ``concentration=1`` is uniform, below it they are sparse.

    Raises ``ArgumentError`` for less than 2 proportions or a concentration that is not positive.

    >>> Dirichlet(3)().log_prob(torch.ones(3) / 3).exp().round(decimals=4)
    tensor(2.)
    """

    ones: Tensor

    def __init__(self, latent: int, concentration: float = 1.0) -> None:
        super().__init__()
        self.concentration = check_positive("concentration", concentration)
        self.register_buffer("ones", torch.ones(check_simplex_size(latent)), persistent=False)

    def forward(self, input: Tensor | None = None, context: Tensor | None = None) -> TorchDirichlet:
        return TorchDirichlet(self.concentration * self.ones, validate_args=False)


class LogisticNormal(Unconditional):
    """``latent`` proportions, the softmax of independent Gaussians of standard deviation ``scale``, the last of them 0.

    Raises ``ArgumentError`` for less than 2 proportions or a scale that is not positive.

    >>> LogisticNormal(3)().sample().shape
    torch.Size([3])
    """

    zero: Tensor

    def __init__(self, latent: int, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = check_positive("scale", scale)
        self.register_buffer("zero", torch.zeros(check_simplex_size(latent) - 1), persistent=False)

    def forward(
        self, input: Tensor | None = None, context: Tensor | None = None
    ) -> distributions.LogisticNormal:
        return distributions.LogisticNormal(self.zero, self.zero + self.scale)


def check_simplex_size(latent: int) -> int:
    """A number of proportions, at least 2, or an error."""
    (size, *more) = as_shape("latent", latent)
    if size < 2 or more:
        raise ArgumentError(
            f"`latent` is {latent}; proportions sum to 1, so give one number of them, at least 2."
        )
    return size
