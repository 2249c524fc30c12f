"""Posterior of a deterministic autoencoder."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from .. import distributions
from .._conditional import Conditional
from .._registry import register
from .._shapes import as_shape
from ..networks import Heads
from ._registration import PosteriorRegistration


@register(
    PosteriorRegistration(
        title="point: an autoencoder",
        paper="Rumelhart et al. 1986",
        use_when="a deterministic baseline",
        cost="less than normal",
        avoid_when="a likelihood is needed: it has no density",
    )
)
class Dirac(Conditional):
    """``z = f(x)``: a point, without a density and without a KL divergence to the prior.

    Args:
        network: Maps data to features; the parameters are a linear map of the features.
        latent: Shape of the latent: one size or several.

    Raises:
        ArgumentError: ``latent`` is not a shape.

    Example:
        >>> import torch
        >>> Dirac(nn.Identity(), latent=2)(torch.zeros(5, 3)).mean.shape
        torch.Size([5, 2])
    """

    has_density = False

    def __init__(self, network: nn.Module, latent: int | Sequence[int]) -> None:
        super().__init__()
        shape = as_shape("latent", latent)
        self.event_dim = len(shape)
        self.heads = Heads(network, shape)

    def forward(self, input: Tensor, context: Tensor | None = None) -> distributions.Dirac:
        (loc,) = self.heads(input, context)
        return distributions.Dirac(loc, self.event_dim)
