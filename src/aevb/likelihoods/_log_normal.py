"""Positive numbers over several orders of magnitude."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.distributions import Independent
from torch.distributions import LogNormal as TorchLogNormal

from ..distributions import OpenIntervalDistribution
from ._likelihood import Likelihood, as_event_shape
from ._location_scale import LocationScale


class LogNormal(Likelihood):
    """``log x ~ N(loc(z), scale^2)`` per element, for ``x > 0``; ``scale`` as in ``likelihoods.Normal``, of the logarithm.

    The density is that of ``x``, in its units. A 0 is refused: there the density is 0.

    >>> import torch
    >>> LogNormal(nn.Identity(), (3,), scale=1.0)(torch.zeros(5, 2)).mean[0]
    tensor([1.6487, 1.6487, 1.6487]...)
    """

    def __init__(
        self,
        network: nn.Module,
        event_shape: Sequence[int],
        scale: float | str = "shared",
        latent_rank: int = 1,
    ) -> None:
        super().__init__()
        self.event_shape = as_event_shape(event_shape)
        self.noise = LocationScale(network, self.event_shape, scale, latent_rank, power=2)

    def forward(self, input: Tensor, context: Tensor | None = None) -> Independent:
        loc, scale = self.noise(input, context)
        density = OpenIntervalDistribution(
            TorchLogNormal(loc, scale, validate_args=False), 0.0, float("inf")
        )
        return Independent(density, len(self.event_shape), validate_args=False)

    def update_state(
        self, distribution: Independent, value: Tensor, weight: Tensor | None = None
    ) -> None:
        base = distribution.base_dist
        assert isinstance(base, OpenIntervalDistribution)
        assert isinstance(base.base, TorchLogNormal)
        self.noise.update_state(base.base.loc, value.log(), weight)
