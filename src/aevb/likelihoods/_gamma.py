"""Positive numbers whose spread grows with their size."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.distributions import Gamma as TorchGamma
from torch.distributions import Independent

from ..distributions import OpenIntervalDistribution, to_rate
from ._likelihood import Likelihood, as_event_shape
from ._location_scale import LocationScale, check_unit


class Gamma(Likelihood):
    """``p(x|z) = Gamma(concentration, concentration / m)`` per element, for ``x > 0``: mean ``m``, variance ``m^2 / concentration``.

    ``m = unit exp(l)`` with ``l`` from the network. ``concentration`` as in ``NegativeBinomial``; 1 is the exponential density. A 0 is
    refused: there the density is 0 or infinite.

    >>> import torch
    >>> Gamma(nn.Identity(), (3,), concentration=4.0, unit=2.0)(torch.zeros(5, 2)).variance[0].round(decimals=4)
    tensor([1., 1., 1.]...)
    """

    def __init__(
        self,
        network: nn.Module,
        event_shape: Sequence[int],
        concentration: float | str = "shared",
        unit: float = 1.0,
        latent_rank: int = 1,
    ) -> None:
        super().__init__()
        self.unit = check_unit(unit)
        self.event_shape = as_event_shape(event_shape)
        self.noise = LocationScale(
            network, self.event_shape, concentration, latent_rank, name="concentration"
        )

    def forward(self, input: Tensor, context: Tensor | None = None) -> Independent:
        raw, concentration = self.noise(input, context)
        density = TorchGamma(
            concentration, concentration / (self.unit * to_rate(raw)), validate_args=False
        )
        return Independent(
            OpenIntervalDistribution(density, 0.0, float("inf")),
            len(self.event_shape),
            validate_args=False,
        )
