"""Posterior on hyperbolic space."""

from __future__ import annotations

from torch import Tensor, nn

from .. import distributions
from .._conditional import Conditional
from .._registry import register
from .._shapes import as_shape
from ..distributions import to_moderate_scale
from ..distributions._poincare_ball import exp_map_origin, soft_clip_norm
from ..networks import Heads
from ._registration import PosteriorRegistration

MAX_CENTRE_DISTANCE = 6.0  # hyperbolic distance of a centre from the origin: |z| = 0.995


@register(
    PosteriorRegistration(
        title="wrapped normal on the Poincare ball",
        paper="Mathieu et al. 2019",
        support="ball",
        prior="wrapped_normal",
        use_when="data branch like trees",
        cost="no formula for the KL divergence",
        avoid_when="data have no hierarchy",
    )
)
class WrappedNormal(Conditional):
    """A Gaussian wrapped onto the Poincare ball, for latents that branch like trees.

    Centres lie within a hyperbolic distance of 6 of the origin and scales below 2. The mean is
    estimated.

    Mathieu et al., Continuous hierarchical representations with Poincare variational auto-encoders
    (2019).

    Args:
        network: Maps data to features; the parameters are a linear map of the features.
        latent: Dimension of the ball.

    Raises:
        ArgumentError: ``latent`` is not a shape.

    Example:
        >>> import torch
        >>> WrappedNormal(nn.Identity(), latent=2)(torch.ones(5, 3)).rsample().norm(
        ...     dim=-1
        ... ).max() < 1
        tensor(True)
    """

    def __init__(self, network: nn.Module, latent: int) -> None:
        super().__init__()
        shape = as_shape("latent", latent)
        self.heads = Heads(network, shape, shape)

    def forward(self, input: Tensor, context: Tensor | None = None) -> distributions.WrappedNormal:
        v, raw = self.heads(input, context)
        return distributions.WrappedNormal(
            exp_map_origin(soft_clip_norm(v, MAX_CENTRE_DISTANCE)), to_moderate_scale(raw)
        )
