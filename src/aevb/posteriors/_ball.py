"""Points of hyperbolic space as codes."""

from __future__ import annotations

from torch import Tensor, nn

from .. import distributions
from .._conditional import Conditional
from .._shapes import as_shape
from ..distributions import to_moderate_scale
from ..distributions._poincare_ball import exp_map_origin, soft_clip_norm
from ..networks import Heads

MAX_CENTRE_DISTANCE = 6.0  # hyperbolic distance of a centre from the origin: |z| = 0.995


class WrappedNormal(Conditional):
    """A Gaussian wrapped onto the Poincare ball of ``latent`` dimensions, for codes that branch like trees. Its mean is estimated.

    Centres come from the network within a hyperbolic distance of 6 of the origin, scales below 2. Mathieu et al., Poincare VAEs (2019).

    >>> import torch
    >>> WrappedNormal(nn.Identity(), latent=2)(torch.ones(5, 3)).rsample().norm(dim=-1).max() < 1
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
