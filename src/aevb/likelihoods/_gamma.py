"""Likelihood of positive numbers whose spread grows with their size."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.distributions import Independent

from .. import distributions
from .._registry import register
from ..distributions import OpenIntervalDistribution, to_rate
from ._likelihood import Likelihood, as_event_shape
from ._location_scale import LocationScale, check_unit
from ._registration import LikelihoodRegistration


@register(
    LikelihoodRegistration(
        title="gamma",
        kinds=("positive",),
        scaling="size",
        defaults={"concentration": "per_element"},
        use_when="positive numbers whose spread grows with their size",
        cost="one output per value",
        avoid_when="values may be 0",
    )
)
class Gamma(Likelihood):
    """``p(x|z) = Gamma(concentration, concentration / m)`` per element, for ``x > 0``.

    The mean is ``m = unit * exp(l)`` with ``l`` from the network, the variance
    ``m^2 / concentration``; a concentration of 1 is the exponential density. Zeros are refused: the
    density there is 0 or infinite.

    Args:
        network: Maps latents to features; the parameters are a linear map of the features.
        event_shape: Shape of a row of data.
        concentration: As in ``NegativeBinomial``.
        unit: Mean of the data, approximately; the mean of the likelihood starts there.
        latent_rank: Number of axes of a latent.

    Raises:
        ArgumentError: ``concentration`` or ``unit`` is not positive.

    Example:
        >>> import torch
        >>> Gamma(nn.Identity(), (3,), concentration=4.0, unit=2.0)(torch.zeros(5, 2)).variance[
        ...     0
        ... ].round(decimals=4)
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
        density = distributions.Gamma(
            concentration, concentration / (self.unit * to_rate(raw)), validate_args=False
        )
        return Independent(
            OpenIntervalDistribution(density, 0.0, float("inf")),
            len(self.event_shape),
            validate_args=False,
        )
