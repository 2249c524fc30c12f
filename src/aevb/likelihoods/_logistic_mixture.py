"""Grey levels with several peaks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributions import Categorical as TorchCategorical
from torch.distributions import Independent, MixtureSameFamily

from ..distributions import discretised_logistic
from ..errors import ArgumentError
from ._likelihood import Likelihood, as_event_shape, make_heads


class LogisticMixture(Likelihood):
    """Integers 0 ... ``levels``-1 per element: a mixture of ``components`` discretised logistics, all from the network.

    A pixel on an edge is dark or bright and rarely in between, which one logistic cannot say. The components begin side by side over the
    whole range. Salimans et al., PixelCNN++ (2017). Raises ``ArgumentError`` for fewer than 2 levels or no component.

    >>> round(LogisticMixture(nn.Identity(), (8, 8), levels=17)(torch.zeros(5, 2)).mean[0, 0, 0].item(), 4)
    8.0
    """

    discrete = True
    offset: Tensor

    def __init__(
        self,
        network: nn.Module,
        event_shape: Sequence[int],
        levels: int = 256,
        components: int = 5,
        latent_rank: int = 1,
    ) -> None:
        super().__init__()
        for name, value, least in (("levels", levels, 2), ("components", components, 1)):
            if value < least:
                raise ArgumentError(f"`{name}` is {value}; give at least {least}.")
        self.event_shape = as_event_shape(event_shape)
        self.levels = levels
        self.register_buffer("offset", component_offsets(components), persistent=False)
        self.heads = make_heads(
            network, (components, *self.event_shape), 3, latent_rank
        )  # in front, so that images can come from convolutions

    def forward(self, input: Tensor, context: Tensor | None = None) -> Independent:
        logits, loc, raw = (
            part.movedim(-1 - len(self.event_shape), -1).contiguous()
            for part in self.heads(input, context)
        )
        return Independent(
            discretised_logistic_mixture(logits, loc, raw, self.offset, self.levels),
            len(self.event_shape),
            validate_args=False,
        )


def discretised_logistic_mixture(
    logits: Tensor, loc: Tensor, raw: Tensor, offset: Tensor, levels: int
) -> MixtureSameFamily:
    """The mixture of each element from what a network puts out, the components on the last axis."""
    parts = discretised_logistic(loc, raw, levels, offset)
    return MixtureSameFamily(
        TorchCategorical(logits=logits, validate_args=False), parts, validate_args=False
    )


def component_offsets(components: int) -> Tensor:
    """Where the components begin, as parts of the range: side by side."""
    return (torch.arange(components) + 0.5) / components
