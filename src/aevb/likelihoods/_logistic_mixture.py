"""Likelihood of grey levels with several peaks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributions import Categorical as TorchCategorical
from torch.distributions import Independent, MixtureSameFamily

from .._registry import register
from ..distributions import discretised_logistic
from ..errors import ArgumentError, check_counts, one_of
from ._likelihood import Likelihood, as_event_shape, make_heads
from ._registration import LikelihoodRegistration


@register(
    LikelihoodRegistration(
        title="mixture of discretised logistics",
        paper="Salimans et al. 2017",
        kinds=("level", "deep_level"),
        scaling="levels",
        use_when="grey levels with several peaks, as at edges",
        cost="3 outputs per value and component",
        avoid_when="a single logistic reaches the same bound",
    )
)
class LogisticMixture(Likelihood):
    """Integers 0 ... ``levels - 1`` per element: a mixture of discretised logistics.

    A pixel on an edge is dark or bright and rarely in between, which a single logistic cannot
    express. The components start evenly spaced over the whole range.

    Salimans et al., PixelCNN++ (2017).

    Args:
        network: Maps latents to features; the parameters are a linear map of the features.
        event_shape: Shape of a row of data.
        levels: Number of values.
        components: Number of logistics.
        latent_rank: Number of axes of a latent.

    Raises:
        ArgumentError: ``levels`` is less than 2 or ``components`` less than 1.

    Example:
        >>> round(
        ...     LogisticMixture(nn.Identity(), (8, 8), levels=17)(torch.zeros(5, 2))
        ...     .mean[0, 0, 0]
        ...     .item(),
        ...     4,
        ... )
        8.0
    """

    measure = "probability"
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
        check_levels(levels)
        check_counts(components=components)
        self.event_shape = as_event_shape(event_shape)
        self.levels = levels
        self.register_buffer("offset", component_offsets(components), persistent=False)
        # the components are the first axis, so that convolutions can give images
        self.heads = make_heads(network, (components, *self.event_shape), 3, latent_rank)

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
    """The mixture of each element from raw parameters with the components on the last axis."""
    parts = discretised_logistic(loc, raw, levels, offset)
    return MixtureSameFamily(
        TorchCategorical(logits=logits, validate_args=False), parts, validate_args=False
    )


def component_offsets(components: int) -> Tensor:
    """Initial positions of the components as fractions of the range, evenly spaced."""
    return (torch.arange(components) + 0.5) / components


def check_levels(levels: int, binary: bool = False) -> None:
    """Raise an ``ArgumentError`` for fewer than 2 levels, or more than 2 of a Bernoulli."""
    check_counts(2, levels=levels)
    if binary and levels > 2:
        raise ArgumentError(
            "a Bernoulli has 2 levels",
            argument="levels",
            value=levels,
            suggestions=(one_of("output", ["logistic_mixture", "categorical"]),),
        )
