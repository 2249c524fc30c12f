"""Likelihood of categories."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.distributions import Independent

from .._registry import register
from ..distributions import IntegerCategorical
from ..errors import check_counts
from ._likelihood import Likelihood, as_event_shape, make_heads
from ._registration import LikelihoodRegistration


@register(
    LikelihoodRegistration(
        title="categorical",
        kinds=("categorical", "level"),
        scaling="levels",
        use_when="values are codes of categories without an order",
        cost="one output per value and category",
        avoid_when="values have an order; use ordinal or discretised_logistic",
    )
)
class Categorical(Likelihood):
    """Categories 0 ... ``categories - 1`` per element, with logits from the network.

    Args:
        network: Maps latents to features; the parameters are a linear map of the features.
        event_shape: Shape of a row of data.
        categories: Number of values.
        latent_rank: Number of axes of a latent.

    Raises:
        ArgumentError: ``categories`` is less than 2.

    Example:
        >>> import torch
        >>> Categorical(nn.Identity(), (4,), categories=3)(torch.zeros(5, 2)).sample().shape
        torch.Size([5, 4])
    """

    measure = "probability"
    cell_kinds = "names"

    def __init__(
        self, network: nn.Module, event_shape: Sequence[int], categories: int, latent_rank: int = 1
    ) -> None:
        super().__init__()
        check_counts(2, categories=categories)
        self.event_shape = as_event_shape(event_shape)
        # the categories are the first axis, so that convolutions can give images
        self.heads = make_heads(network, (categories, *self.event_shape), 1, latent_rank)

    def forward(self, input: Tensor, context: Tensor | None = None) -> Independent:
        (logits,) = self.heads(input, context)
        return Independent(
            IntegerCategorical(logits.movedim(-1 - len(self.event_shape), -1)),
            len(self.event_shape),
            validate_args=False,
        )
