"""Posterior of categorical latents."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.distributions import Independent

from .._conditional import Conditional
from .._registry import register
from ..distributions._one_hot import one_hot
from ..networks import Heads
from ..priors._categorical import as_categorical_shape
from ._registration import PosteriorRegistration


@register(
    PosteriorRegistration(
        title="categorical",
        support="discrete",
        prior="categorical",
        reparameterised=False,
        use_when="latents that are classes",
        cost="needs a gradient for discrete latents",
        avoid_when="latents vary continuously",
    )
)
class Categorical(Conditional):
    """One-hot codes with logits from the network. Draws cannot be reparameterised.

    Args:
        network: Maps data to features; the parameters are a linear map of the features.
        latent: Shape ``(variables, ..., categories)``.

    Raises:
        ArgumentError: ``latent`` has fewer than 2 axes or fewer than 2 categories.

    Example:
        >>> import torch
        >>> Categorical(nn.Identity(), latent=(20, 10))(torch.zeros(5, 3)).sample().shape
        torch.Size([5, 20, 10])
    """

    def __init__(self, network: nn.Module, latent: Sequence[int]) -> None:
        super().__init__()
        shape = as_categorical_shape(latent)
        self.event_dim = len(shape)
        self.heads = Heads(network, shape)

    def forward(self, input: Tensor, context: Tensor | None = None) -> Independent:
        (logits,) = self.heads(input, context)
        return Independent(one_hot(logits), self.event_dim - 1, validate_args=False)
