"""Priors of proportions."""

from __future__ import annotations

import torch
from torch import Tensor

from .. import distributions
from .._conditional import Unconditional
from .._registry import register
from .._shapes import as_shape
from ..errors import ArgumentError
from ._elementwise import check_positive
from ._registration import PriorRegistration


@register(
    PriorRegistration(
        title="Dirichlet",
        support="simplex",
        posterior="dirichlet",
        use_when="sparse proportions that sum to 1",
        cost="implicit gradients",
        avoid_when="latents are not parts of a whole",
    )
)
class Dirichlet(Unconditional):
    """Proportions that sum to 1: uniform for a concentration of 1, sparse below.

    Args:
        latent: Number of proportions, at least 2.
        concentration: A positive number.

    Raises:
        ArgumentError: ``latent`` is less than 2 or ``concentration`` is not positive.

    Example:
        >>> Dirichlet(3)().log_prob(torch.ones(3) / 3).exp().round(decimals=4)
        tensor(2.)
    """

    ones: Tensor

    def __init__(self, latent: int, concentration: float = 1.0) -> None:
        super().__init__()
        self.concentration = check_positive("concentration", concentration)
        self.register_buffer("ones", torch.ones(check_simplex_size(latent)), persistent=False)

    def forward(
        self, input: Tensor | None = None, context: Tensor | None = None
    ) -> distributions.Dirichlet:
        return distributions.Dirichlet(self.concentration * self.ones, validate_args=False)


@register(
    PriorRegistration(
        title="logistic normal",
        paper="Srivastava and Sutton 2017",
        support="simplex",
        posterior="logistic_normal",
        use_when="topics and other proportions that sum to 1",
        cost="as normal",
        avoid_when="proportions should be sparse; use dirichlet",
    )
)
class LogisticNormal(Unconditional):
    """Proportions that sum to 1: the softmax of independent Gaussians, the last of which is 0.

    Srivastava and Sutton, Autoencoding variational inference for topic models (2017).

    Args:
        latent: Number of proportions, at least 2.
        scale: Standard deviation of the Gaussians.

    Raises:
        ArgumentError: ``latent`` is less than 2 or ``scale`` is not positive.

    Example:
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
    """Return a number of proportions, or raise an ``ArgumentError`` if it is less than 2."""
    (size, *more) = as_shape("latent", latent)
    if size < 2 or more:
        raise ArgumentError(
            "proportions sum to 1: give one number, at least 2", argument="latent", value=latent
        )
    return size
