"""Likelihood of grey values in [0, 1]."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.distributions import Independent

from .. import distributions
from .._registry import register
from ._likelihood import Likelihood, as_event_shape, make_heads
from ._registration import LikelihoodRegistration


@register(
    LikelihoodRegistration(
        title="continuous Bernoulli",
        paper="Loaiza-Ganem and Cunningham 2019",
        kinds=("bounded", "level", "deep_level"),
        scaling="unit_interval",
        use_when="grey values in [0, 1]",
        cost="as bernoulli",
        avoid_when="grey levels are integers; use discretised_logistic for bits per dimension",
    )
)
class ContinuousBernoulli(Likelihood):
    """The continuous Bernoulli density on [0, 1] per element, with logits from the network.

    Loaiza-Ganem and Cunningham, The continuous Bernoulli (2019).

    Args:
        network: Maps latents to features; the parameters are a linear map of the features.
        event_shape: Shape of a row of data.
        latent_rank: Number of axes of a latent.

    Raises:
        ArgumentError: ``event_shape`` is not a shape.

    Example:
        >>> import torch
        >>> ContinuousBernoulli(nn.Identity(), (8, 8))(torch.zeros(5, 2)).log_prob(
        ...     torch.zeros(5, 8, 8)
        ... ).exp().round(decimals=3)
        tensor([1., 1., 1., 1., 1.]...)
    """

    def __init__(
        self, network: nn.Module, event_shape: Sequence[int], latent_rank: int = 1
    ) -> None:
        super().__init__()
        self.event_shape = as_event_shape(event_shape)
        self.heads = make_heads(network, self.event_shape, 1, latent_rank)

    def forward(self, input: Tensor, context: Tensor | None = None) -> Independent:
        (logits,) = self.heads(input, context)
        return Independent(
            distributions.ContinuousBernoulli(logits), len(self.event_shape), validate_args=False
        )
