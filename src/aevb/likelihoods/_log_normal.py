"""Likelihood of positive numbers over several orders of magnitude."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.distributions import Independent
from torch.distributions import LogNormal as TorchLogNormal

from .._registry import register
from ..distributions import OpenIntervalDistribution
from ._likelihood import Likelihood, as_event_shape
from ._location_scale import LocationScale
from ._registration import LikelihoodRegistration


@register(
    LikelihoodRegistration(
        title="log-normal",
        kinds=("positive",),
        scaling="size",
        defaults={"scale": "per_element"},
        use_when="positive numbers over several orders of magnitude",
        cost="as normal",
        avoid_when="values may be 0",
    )
)
class LogNormal(Likelihood):
    """``log x ~ N(loc(z), scale^2)`` per element, for ``x > 0``.

    The density is that of ``x`` in its own units. Zeros are refused: the density there is 0.

    Args:
        network: Maps latents to features; the parameters are a linear map of the features.
        event_shape: Shape of a row of data.
        scale: The scale of the logarithm, as in ``likelihoods.Normal``.
        latent_rank: Number of axes of a latent.

    Raises:
        ArgumentError: ``scale`` is neither a positive number nor a known word.

    Example:
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
