"""Grey levels with several peaks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributions import Categorical as Choice
from torch.distributions import Independent, MixtureSameFamily

from .. import distributions
from ..distributions import positive
from ..errors import ArgumentError
from .likelihood import Likelihood, event, heads


class LogisticMixture(Likelihood):
    """Integers 0 ... ``levels``-1 per element: a mixture of ``components`` discretised logistics, all from the network.

    A pixel on an edge is dark or bright and rarely in between, which one logistic cannot say. The components begin side by side over the
    whole range. Salimans et al., PixelCNN++ (2017). Raises ``ArgumentError`` for fewer than 2 levels or no component.

    >>> LogisticMixture(nn.Identity(), (8, 8), levels=17)(torch.zeros(5, 2)).mean[0, 0, 0].item()
    8.0
    """

    discrete = True
    offset: Tensor

    def __init__(
        self, network: nn.Module, event_shape: Sequence[int], levels: int = 256, components: int = 5, latent_rank: int = 1
    ) -> None:
        super().__init__()
        for name, value, least in (("levels", levels, 2), ("components", components, 1)):
            if value < least:
                raise ArgumentError(f"`{name}` is {value}; give at least {least}.")
        self.event_shape = event(event_shape)
        self.levels = levels
        self.register_buffer("offset", (torch.arange(components) + 0.5) / components, persistent=False)
        self.heads = heads(network, (components, *self.event_shape), 3, latent_rank)  # in front, so that images can come from convolutions

    def forward(self, input: Tensor, context: Tensor | None = None) -> Independent:
        logits, loc, raw = (part.movedim(-1 - len(self.event_shape), -1).contiguous() for part in self.heads(input, context))
        top = self.levels - 1
        parts = distributions.DiscretisedLogistic(top * (self.offset + loc), 0.1 * top * positive(raw), self.levels)
        mixture = MixtureSameFamily(Choice(logits=logits, validate_args=False), parts, validate_args=False)
        return Independent(mixture, len(self.event_shape), validate_args=False)
