"""Posterior of bits."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.distributions import Bernoulli as TorchBernoulli
from torch.distributions import Independent

from .._conditional import Conditional
from .._registry import register
from .._shapes import as_shape
from ..networks import Heads
from ._registration import PosteriorRegistration


@register(
    PosteriorRegistration(
        title="bits",
        support="discrete",
        prior="bernoulli",
        reparameterised=False,
        use_when="independent binary latents",
        cost="needs a gradient for discrete latents",
        avoid_when="latents vary continuously",
    )
)
class Bernoulli(Conditional):
    """Independent bits with logits from the network. Draws cannot be reparameterised.

    Args:
        network: Maps data to features; the parameters are a linear map of the features.
        latent: Shape of the latent: one size or several.

    Raises:
        ArgumentError: ``latent`` is not a shape.

    Example:
        >>> import torch
        >>> Bernoulli(nn.Identity(), latent=2)(torch.zeros(5, 3)).sample().shape
        torch.Size([5, 2])
    """

    def __init__(self, network: nn.Module, latent: int | Sequence[int]) -> None:
        super().__init__()
        shape = as_shape("latent", latent)
        self.event_dim = len(shape)
        self.heads = Heads(network, shape)

    def forward(self, input: Tensor, context: Tensor | None = None) -> Independent:
        (logits,) = self.heads(input, context)
        return Independent(
            TorchBernoulli(logits=logits, validate_args=False), self.event_dim, validate_args=False
        )
