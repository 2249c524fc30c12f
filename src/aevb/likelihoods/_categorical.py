"""Levels without an order."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.distributions import Independent

from ..distributions import IntegerCategorical
from ..errors import ArgumentError
from ._likelihood import Likelihood, as_event_shape, make_heads


class Categorical(Likelihood):
    """A free probability for each of ``categories`` values 0 ... categories-1 per element, logits from the network.

    >>> import torch
    >>> Categorical(nn.Identity(), (4,), categories=3)(torch.zeros(5, 2)).sample().shape
    torch.Size([5, 4])
    """

    discrete = True
    value_kind = "names"

    def __init__(
        self, network: nn.Module, event_shape: Sequence[int], categories: int, latent_rank: int = 1
    ) -> None:
        super().__init__()
        if categories < 2:
            raise ArgumentError(f"`categories` is {categories}; give at least 2.")
        self.event_shape = as_event_shape(event_shape)
        self.heads = make_heads(
            network, (categories, *self.event_shape), 1, latent_rank
        )  # in front, so that images can come from convolutions

    def forward(self, input: Tensor, context: Tensor | None = None) -> Independent:
        (logits,) = self.heads(input, context)
        return Independent(
            IntegerCategorical(logits.movedim(-1 - len(self.event_shape), -1)),
            len(self.event_shape),
            validate_args=False,
        )
