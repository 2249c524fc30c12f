"""Grey levels."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.distributions import Independent

from ..distributions import discretised_logistic
from ..errors import ArgumentError
from ._likelihood import Likelihood, as_event_shape, make_heads


class DiscretisedLogistic(Likelihood):
    """Integers 0 ... ``levels``-1 per element: a logistic with mean and scale from the network, cut into bins of width 1.

    The network's outputs are read in units of the full range, the mean from its middle, the scale from a tenth of it, so that the same
    initial weights suit 17 levels and 256. Salimans et al. (2017).

    >>> import torch
    >>> DiscretisedLogistic(nn.Identity(), (8, 8), levels=17)(
    ...     torch.zeros(5, 2)
    ... ).sample().max() <= 16
    tensor(True)
    """

    discrete = True

    def __init__(
        self,
        network: nn.Module,
        event_shape: Sequence[int],
        levels: int = 256,
        latent_rank: int = 1,
    ) -> None:
        super().__init__()
        if levels < 2:
            raise ArgumentError(f"`levels` is {levels}; give at least 2.")
        self.event_shape = as_event_shape(event_shape)
        self.levels = levels
        self.heads = make_heads(network, self.event_shape, 2, latent_rank)

    def forward(self, input: Tensor, context: Tensor | None = None) -> Independent:
        loc, raw = self.heads(input, context)
        return Independent(
            discretised_logistic(loc, raw, self.levels), len(self.event_shape), validate_args=False
        )
