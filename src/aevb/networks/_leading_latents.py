"""Networks that take a part of the latent."""

from __future__ import annotations

from torch import Tensor, nn

from .._registry import register
from ..types import Configurable
from ._mlp import check_sizes
from ._registration import NetworkRegistration


@register(
    NetworkRegistration(
        kind="wrapper",
        use_when="a decoder takes the lowest layer of a hierarchy",
        cost="none",
        avoid_when="all latents reach the decoder",
    )
)
class LeadingLatents(Configurable, nn.Module):
    """A decoder network of the first ``size`` latents, as the lowest layer of a hierarchy.

    Args:
        network: Network that takes ``[..., size]``.
        size: Number of latents.

    Raises:
        ArgumentError: ``size`` is below 1.

    Example:
        >>> import torch
        >>> LeadingLatents(nn.Identity(), 2)(torch.zeros(5, 6)).shape
        torch.Size([5, 2])
    """

    def __init__(self, network: nn.Module, size: int) -> None:
        super().__init__()
        check_sizes(self, size=size)
        self.network = network
        self.size = size

    def forward(self, z: Tensor, *context: Tensor) -> Tensor:
        return self.network(z[..., : self.size], *context)
