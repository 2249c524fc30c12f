"""Counts."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.distributions import Independent
from torch.distributions import Poisson as TorchPoisson

from ..distributions import to_rate
from ._likelihood import Likelihood, as_event_shape, make_heads
from ._location_scale import check_unit


class Poisson(Likelihood):
    """``log p(x|z) = x log r - r - log x!`` per element, the mean ``r = unit exp(l)`` with ``l`` from the network: 0, 1, 2, ...

    ``unit`` is about the mean of the data, where the network begins; ``r`` lies between 3e-7 and 3e6 of it. Its variance is its mean:
    counts that vary more are for ``NegativeBinomial``. Raises ``ArgumentError`` for a ``unit`` that is not positive.

    >>> import torch
    >>> Poisson(nn.Identity(), (3,), unit=7.0)(torch.zeros(5, 2)).mean[0].round(decimals=4)
    tensor([7., 7., 7.]...)
    """

    discrete = True
    unbounded = True

    def __init__(
        self,
        network: nn.Module,
        event_shape: Sequence[int],
        unit: float = 1.0,
        latent_rank: int = 1,
    ) -> None:
        super().__init__()
        self.unit = check_unit(unit)
        self.event_shape = as_event_shape(event_shape)
        self.heads = make_heads(network, self.event_shape, 1, latent_rank)

    def forward(self, input: Tensor, context: Tensor | None = None) -> Independent:
        (raw,) = self.heads(input, context)
        return Independent(
            TorchPoisson(self.unit * to_rate(raw), validate_args=False),
            len(self.event_shape),
            validate_args=False,
        )
