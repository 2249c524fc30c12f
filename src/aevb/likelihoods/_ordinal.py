"""Levels with an order."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributions import Independent

from ..distributions import ordinal, to_scale
from ..errors import ArgumentError
from ._likelihood import Likelihood, as_event_shape, make_heads


class Ordinal(Likelihood):
    """``P(x <= k | z) = sigmoid(cut_k - l)`` for ``x`` in 0 ... ``levels``-1 per element, with ``l`` from the network.

    The cut points are learned and stay in order: ``cuts="per_element"``, some for each element, or ``"shared"``, the same for all. They
    say how far apart answers are, which ``DiscretisedLogistic`` takes as equal; one output per element, where ``Categorical`` takes
    ``levels``. McCullagh, Regression models for ordinal data (1980).

    >>> Ordinal(nn.Identity(), (4,), levels=5)(torch.zeros(5, 2)).mean[0].round(decimals=4)
    tensor([2., 2., 2., 2.]...)
    """

    discrete = True

    def __init__(
        self,
        network: nn.Module,
        event_shape: Sequence[int],
        levels: int,
        cuts: str = "per_element",
        latent_rank: int = 1,
    ) -> None:
        super().__init__()
        if levels < 2:
            raise ArgumentError(f"`levels` is {levels}; give at least 2.")
        self.event_shape = as_event_shape(event_shape)
        shapes = {"shared": (), "per_element": self.event_shape}
        if cuts not in shapes:
            raise ArgumentError(f"`cuts` is {cuts!r}; give shared or per_element.")
        self.first_cut = -(levels - 2) / 2  # gaps of 1 at the start, around 0
        self.cuts_raw = nn.Parameter(torch.zeros(*shapes[cuts], levels - 1))
        self.heads = make_heads(network, self.event_shape, 1, latent_rank)

    def forward(self, input: Tensor, context: Tensor | None = None) -> Independent:
        (location,) = self.heads(input, context)
        first, gaps = self.first_cut + self.cuts_raw[..., :1], to_scale(self.cuts_raw[..., 1:])
        return Independent(
            ordinal(location, first, gaps), len(self.event_shape), validate_args=False
        )
