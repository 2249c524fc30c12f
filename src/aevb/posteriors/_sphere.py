"""Posteriors of directions."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from .. import distributions
from .._conditional import Conditional
from .._registry import register
from ..distributions import to_scale
from ..distributions._sphere import DirectionalDistribution, normalise
from ..networks import Heads
from ..priors._sphere import check_sphere_dimension
from ._registration import PosteriorRegistration


class Spherical(Conditional, ABC):
    """A direction around a mean direction; the concentration starts at ``latent - 1``."""

    def __init__(self, network: nn.Module, latent: int) -> None:
        super().__init__()
        self.heads = Heads(network, (check_sphere_dimension(latent),), ())
        self.latent = latent

    @abstractmethod
    def family(self, loc: Tensor, kappa: Tensor) -> DirectionalDistribution:
        """The distribution with this mean direction and concentration."""
        ...

    def forward(self, input: Tensor, context: Tensor | None = None) -> DirectionalDistribution:
        loc, raw = self.heads(input, context)
        return self.family(normalise(loc), (self.latent - 1) * to_scale(raw))


@register(
    PosteriorRegistration(
        title="von Mises-Fisher",
        paper="Davidson et al. 2018",
        support="sphere",
        prior="sphere",
        use_when="directions matter and lengths do not",
        cost="as normal",
        avoid_when="the latent has more than about 20 variables; use power_spherical",
    )
)
class VonMisesFisher(Spherical):
    """``q(z|x) = C(kappa) exp(kappa mu . z)`` on the unit sphere.

    The KL divergence to ``priors.Sphere`` is exact, and so are the gradients, without rejection.
    The mean lies inside the sphere.

    Davidson et al., Hyperspherical variational auto-encoders (2018).

    Args:
        network: Maps data to features; the parameters are a linear map of the features.
        latent: Dimension of the space around the sphere, at least 2.

    Raises:
        ArgumentError: ``latent`` is less than 2.

    Example:
        >>> import torch
        >>> VonMisesFisher(nn.Identity(), latent=3)(torch.ones(5, 3)).sample().norm(dim=-1).round(
        ...     decimals=4
        ... )
        tensor([1., 1., 1., 1., 1.])
    """

    def family(self, loc: Tensor, kappa: Tensor) -> DirectionalDistribution:
        return distributions.VonMisesFisher(loc, kappa)


@register(
    PosteriorRegistration(
        title="power spherical",
        paper="De Cao and Aziz 2020",
        support="sphere",
        prior="sphere",
        use_when="directions in many dimensions",
        cost="less than von_mises_fisher",
        avoid_when="lengths matter",
    )
)
class PowerSpherical(Spherical):
    """``q(z|x) = C(kappa) (1 + mu . z)^kappa`` on the unit sphere.

    Close to ``VonMisesFisher`` and cheaper. De Cao and Aziz, The power spherical distribution
    (2020).

    Args:
        network: Maps data to features; the parameters are a linear map of the features.
        latent: Dimension of the space around the sphere, at least 2.

    Raises:
        ArgumentError: ``latent`` is less than 2.

    Example:
        >>> import torch
        >>> PowerSpherical(nn.Identity(), latent=3)(torch.ones(5, 3)).sample().norm(dim=-1).round(
        ...     decimals=4
        ... )
        tensor([1., 1., 1., 1., 1.])
    """

    def family(self, loc: Tensor, kappa: Tensor) -> DirectionalDistribution:
        return distributions.PowerSpherical(loc, kappa)
