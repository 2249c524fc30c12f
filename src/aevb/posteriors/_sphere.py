"""Directions as codes."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from .. import distributions
from .._conditional import Conditional
from ..distributions import to_scale
from ..distributions._sphere import DirectionalDistribution, normalise
from ..networks import Heads
from ..priors._sphere import check_sphere_dimension


class Spherical(Conditional, ABC):
    """A direction in ``latent`` dimensions around one from the network; the tighter, the larger ``kappa``, ``latent - 1`` at first."""

    def __init__(self, network: nn.Module, latent: int) -> None:
        super().__init__()
        self.heads = Heads(network, (check_sphere_dimension(latent),), ())
        self.latent = latent

    @abstractmethod
    def family(self, loc: Tensor, kappa: Tensor) -> DirectionalDistribution: ...

    def forward(self, input: Tensor, context: Tensor | None = None) -> DirectionalDistribution:
        loc, raw = self.heads(input, context)
        return self.family(normalise(loc), (self.latent - 1) * to_scale(raw))


class VonMisesFisher(Spherical):
    """``q(z|x) = C(kappa) exp(kappa mu . z)`` on the unit sphere of ``latent`` dimensions; its mean lies inside of it.

    Exact divergence to ``priors.Sphere``; exact gradients, without rejection. Davidson et al., Hyperspherical VAEs (2018). Raises
    ``ArgumentError`` for less than 2 dimensions.

    >>> import torch
    >>> VonMisesFisher(nn.Identity(), latent=3)(torch.ones(5, 3)).sample().norm(dim=-1).round(
    ...     decimals=4
    ... )
    tensor([1., 1., 1., 1., 1.])
    """

    def family(self, loc: Tensor, kappa: Tensor) -> DirectionalDistribution:
        return distributions.VonMisesFisher(loc, kappa)


class PowerSpherical(Spherical):
    """``q(z|x) = C(kappa) (1 + mu . z)^kappa`` on the unit sphere: near a von Mises-Fisher, and cheaper.

    De Cao and Aziz, The power spherical distribution (2020). Raises ``ArgumentError`` for less than 2 dimensions.

    >>> import torch
    >>> PowerSpherical(nn.Identity(), latent=3)(torch.ones(5, 3)).sample().norm(dim=-1).round(
    ...     decimals=4
    ... )
    tensor([1., 1., 1., 1., 1.])
    """

    def family(self, loc: Tensor, kappa: Tensor) -> DirectionalDistribution:
        return distributions.PowerSpherical(loc, kappa)
