"""Proportions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributions import Beta as TorchBeta
from torch.distributions import Independent

from ..distributions import OpenIntervalDistribution, soft_clip
from ._likelihood import Likelihood, as_event_shape
from ._location_scale import LocationScale

INITIAL_CONCENTRATION = 8.0  # where a learned concentration begins: one hump, and not the two at the ends that small ones have
MEAN_LOGIT_BOUND = 10.0  # of the logit of the mean: between 5e-5 and 1 - 5e-5


class Beta(Likelihood):
    """``p(x|z) = Beta(m c, (1 - m) c)`` per element, for ``0 < x < 1``: mean ``m``, variance ``m (1 - m) / (c + 1)``.

    ``m`` comes from the network by a logistic map; ``concentration`` is ``c``, as in ``NegativeBinomial``; a
    learned one begins at 8. Data that are 0 or 1 are
    refused: there the density is 0 or infinite. Ferrari and Cribari-Neto, Beta regression (2004).

    >>> Beta(nn.Identity(), (3,), concentration=4.0)(torch.zeros(5, 2)).variance[0]
    tensor([0.0500, 0.0500, 0.0500]...)
    """

    def __init__(
        self,
        network: nn.Module,
        event_shape: Sequence[int],
        concentration: float | str = "shared",
        latent_rank: int = 1,
    ) -> None:
        super().__init__()
        self.has_fixed_concentration = not isinstance(concentration, str)
        self.event_shape = as_event_shape(event_shape)
        self.noise = LocationScale(
            network, self.event_shape, concentration, latent_rank, name="concentration"
        )

    def forward(self, input: Tensor, context: Tensor | None = None) -> Independent:
        raw, concentration = self.noise(input, context)
        if not self.has_fixed_concentration:
            concentration = INITIAL_CONCENTRATION * concentration
        logit = soft_clip(raw, MEAN_LOGIT_BOUND)
        density = TorchBeta(
            concentration * torch.sigmoid(logit),
            concentration * torch.sigmoid(-logit),
            validate_args=False,
        )
        return Independent(
            OpenIntervalDistribution(density, 0.0, 1.0), len(self.event_shape), validate_args=False
        )
