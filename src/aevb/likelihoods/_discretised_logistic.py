"""Likelihood of grey levels."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.distributions import Independent

from .._registry import register
from ..distributions import discretised_logistic
from ..errors import check_counts
from ._likelihood import Likelihood, as_event_shape, make_heads
from ._registration import LikelihoodRegistration


@register(
    LikelihoodRegistration(
        title="discretised logistic",
        paper="Salimans et al. 2017",
        kinds=("level", "deep_level"),
        scaling="levels",
        use_when="images of 8 to 16 bits and other integer levels at equal distances",
        cost="two outputs per value",
        avoid_when="levels have no order, or several peaks",
    )
)
class DiscretisedLogistic(Likelihood):
    """Integers 0 ... ``levels - 1`` per element: a logistic integrated over bins of width 1.

    Mean and scale come from the network in units of the full range, the mean relative to its middle
    and the scale relative to a tenth of it, so that the same initial weights suit 17 levels and
    256.

    Salimans et al., PixelCNN++ (2017).

    Args:
        network: Maps latents to features; the parameters are a linear map of the features.
        event_shape: Shape of a row of data.
        levels: Number of values.
        latent_rank: Number of axes of a latent.

    Raises:
        ArgumentError: ``levels`` is less than 2.

    Example:
        >>> import torch
        >>> DiscretisedLogistic(nn.Identity(), (8, 8), levels=17)(
        ...     torch.zeros(5, 2)
        ... ).sample().max() <= 16
        tensor(True)
    """

    measure = "probability"

    def __init__(
        self,
        network: nn.Module,
        event_shape: Sequence[int],
        levels: int = 256,
        latent_rank: int = 1,
    ) -> None:
        super().__init__()
        check_counts(2, levels=levels)
        self.event_shape = as_event_shape(event_shape)
        self.levels = levels
        self.heads = make_heads(network, self.event_shape, 2, latent_rank)

    def forward(self, input: Tensor, context: Tensor | None = None) -> Independent:
        loc, raw = self.heads(input, context)
        return Independent(
            discretised_logistic(loc, raw, self.levels), len(self.event_shape), validate_args=False
        )
