"""Likelihood of proportions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributions import Independent

from .. import distributions
from .._registry import register
from ..distributions import OpenIntervalDistribution, soft_clip
from ._likelihood import Likelihood, as_event_shape
from ._location_scale import LocationScale
from ._registration import LikelihoodRegistration

INITIAL_CONCENTRATION = 8.0  # one mode; a small concentration has two, at 0 and 1
MEAN_LOGIT_BOUND = 10.0  # the mean lies between 5e-5 and 1 - 5e-5


@register(
    LikelihoodRegistration(
        title="beta",
        paper="Ferrari and Cribari-Neto 2004",
        kinds=("proportion",),
        defaults={"concentration": "per_element"},
        use_when="proportions strictly between 0 and 1",
        cost="one output per value",
        avoid_when="values may be 0 or 1; use continuous_bernoulli",
    )
)
class Beta(Likelihood):
    """``p(x|z) = Beta(m c, (1 - m) c)`` per element, for ``0 < x < 1``.

    The mean ``m`` comes from the network by a logistic map; the variance is
    ``m (1 - m) / (c + 1)``. Values that are exactly 0 or 1 are refused: the density there is 0 or
    infinite.

    Ferrari and Cribari-Neto, Beta regression for modelling rates and proportions (2004).

    Args:
        network: Maps latents to features; the parameters are a linear map of the features.
        event_shape: Shape of a row of data.
        concentration: The concentration ``c``, as in ``NegativeBinomial``; a learned one starts at
            8.
        latent_rank: Number of axes of a latent.

    Raises:
        ArgumentError: ``concentration`` is neither a positive number nor a known word.

    Example:
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
        return Independent(
            bounded_beta(raw, concentration), len(self.event_shape), validate_args=False
        )


def bounded_beta(raw: Tensor, concentration: Tensor) -> OpenIntervalDistribution:
    """Beta distribution with the mean ``sigmoid(raw)``, which stays inside the interval."""
    logit = soft_clip(raw, MEAN_LOGIT_BOUND)
    density = distributions.Beta(
        concentration * torch.sigmoid(logit),
        concentration * torch.sigmoid(-logit),
        validate_args=False,
    )
    return OpenIntervalDistribution(density, 0.0, 1.0)
