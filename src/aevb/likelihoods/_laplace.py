"""Likelihood of real data with some outliers."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.distributions import Independent
from torch.distributions import Laplace as TorchLaplace

from .._registry import register
from ._likelihood import Likelihood, as_event_shape
from ._location_scale import LocationScale
from ._registration import LikelihoodRegistration


@register(
    LikelihoodRegistration(
        title="Laplace",
        kinds=("continuous",),
        scaling="standardise",
        defaults={"scale": "per_element"},
        use_when="real numbers with some outliers",
        cost="as normal",
        avoid_when="outliers are extreme; use student_t",
    )
)
class Laplace(Likelihood):
    """``p(x|z) = Laplace(loc(z), scale)`` per element.

    Args:
        network: Maps latents to features; the parameters are a linear map of the features.
        event_shape: Shape of a row of data.
        scale: The scale of the noise, as in ``likelihoods.Normal``. The optimal scale is the mean
            absolute error.
        latent_rank: Number of axes of a latent.

    Raises:
        ArgumentError: ``scale`` is neither a positive number nor a known word.

    Example:
        >>> import torch
        >>> Laplace(nn.Identity(), (3,))(torch.zeros(5, 2)).log_prob(torch.zeros(5, 3)).shape
        torch.Size([5])
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
        self.noise = LocationScale(network, self.event_shape, scale, latent_rank, power=1)

    def forward(self, input: Tensor, context: Tensor | None = None) -> Independent:
        loc, scale = self.noise(input, context)
        return Independent(
            TorchLaplace(loc, scale, validate_args=False),
            len(self.event_shape),
            validate_args=False,
        )

    def update_state(
        self, distribution: Independent, value: Tensor, weight: Tensor | None = None
    ) -> None:
        self.noise.update_state(distribution.mean, value, weight)
