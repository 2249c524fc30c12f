"""A single code per datum: the autoencoder."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from .. import distributions
from .._conditional import Conditional
from .._shapes import as_shape
from ..networks import Heads


class Dirac(Conditional):
    """``z = f(x)``: no spread, no density, no divergence to the prior.

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
