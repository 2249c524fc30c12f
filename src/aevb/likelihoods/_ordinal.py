"""Likelihood of ordered levels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributions import Independent

from .._registry import register
from ..distributions import ordinal, to_scale
from ..errors import check_choice, check_counts
from ._likelihood import Likelihood, as_event_shape, make_heads
from ._registration import LikelihoodRegistration


@register(
    LikelihoodRegistration(
        title="ordinal",
        paper="McCullagh 1980",
        kinds=("ordinal", "level"),
        scaling="levels",
        use_when="ordered answers at unknown distances, such as ratings",
        cost="one output per value and learned cut points",
        avoid_when="values are measured on a scale with equal steps",
    )
)
class Ordinal(Likelihood):
    """``P(x <= k | z) = sigmoid(cut_k - l)`` for ``x`` in 0 ... ``levels - 1``.

    ``l`` comes from the network. The cut points are learned and stay in order. They measure the
    distances between levels, which ``DiscretisedLogistic`` assumes to be equal; there is one output
    per element, and ``Categorical`` has ``levels``.

    McCullagh, Regression models for ordinal data (1980).

    Args:
        network: Maps latents to features; the parameters are a linear map of the features.
        event_shape: Shape of a row of data.
        levels: Number of values.
        cuts: ``"per_element"`` or ``"shared"`` cut points.
        latent_rank: Number of axes of a latent.

    Raises:
        ArgumentError: ``levels`` is less than 2 or ``cuts`` is unknown.

    Example:
        >>> Ordinal(nn.Identity(), (4,), levels=5)(torch.zeros(5, 2)).mean[0].round(decimals=4)
        tensor([2., 2., 2., 2.]...)
    """

    measure = "probability"

    def __init__(
        self,
        network: nn.Module,
        event_shape: Sequence[int],
        levels: int,
        cuts: str = "per_element",
        latent_rank: int = 1,
    ) -> None:
        super().__init__()
        check_counts(2, levels=levels)
        self.event_shape = as_event_shape(event_shape)
        shapes = {"shared": (), "per_element": self.event_shape}
        check_choice("cuts", cuts, tuple(shapes))
        self.first_cut = -(levels - 2) / 2  # gaps of 1 at the start, around 0
        self.cuts_raw = nn.Parameter(torch.zeros(*shapes[cuts], levels - 1))
        self.heads = make_heads(network, self.event_shape, 1, latent_rank)

    def forward(self, input: Tensor, context: Tensor | None = None) -> Independent:
        (location,) = self.heads(input, context)
        first, gaps = self.first_cut + self.cuts_raw[..., :1], to_scale(self.cuts_raw[..., 1:])
        return Independent(
            ordinal(location, first, gaps), len(self.event_shape), validate_args=False
        )
