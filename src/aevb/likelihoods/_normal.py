"""Likelihood of real data."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn
from torch.distributions import Independent
from torch.distributions import Normal as Gaussian

from .._registry import register
from ..distributions._factors import Factors
from ..distributions._output_maps import LOG_SCALE_BOUND
from ._likelihood import Likelihood, as_event_shape
from ._linear_cells import LinearCells
from ._location_scale import LocationScale
from ._registration import LikelihoodRegistration


@register(
    LikelihoodRegistration(
        title="normal",
        paper="Kingma and Welling 2014",
        kinds=("continuous",),
        scaling="standardise",
        defaults={"scale": "per_element"},
        use_when="real numbers with light tails",
        cost='one output per value, two with scale="predicted"',
        avoid_when="data have outliers, or repeated values",
    )
)
class Normal(Likelihood):
    """``p(x|z) = N(mu(z), scale^2)`` per element of the event.

    The values of ``scale``:

    - a number: fixed (``2 ** -0.5`` is the squared error up to a constant);
    - ``"shared"``: learned, one number for all elements;
    - ``"per_element"``: learned, one number per element, as in factor analysis;
    - ``"predicted"``: by the network;
    - ``"optimal"``: the running root mean squared error of training, set between steps. Densities
      use the current value, so they remain densities (Rybkin et al., Simple and effective VAE
      training with calibrated decoders, 2021).

    Args:
        network: Maps latents to features; the parameters are a linear map of the features.
        event_shape: Shape of a row of data.
        scale: The standard deviation of the noise.
        latent_rank: Number of axes of a latent.
        scale_bound: Bound of the absolute logarithm of a learned scale: 6 is 0.0025 to 403.

    Raises:
        ArgumentError: ``scale`` is neither a positive number nor a known word, or ``scale_bound``
            is not positive.

    Example:
        >>> import torch
        >>> Normal(nn.Identity(), (3,), scale=0.5)(torch.zeros(5, 2)).stddev[0]
        tensor([0.5000, 0.5000, 0.5000]...)
    """

    def __init__(
        self,
        network: nn.Module,
        event_shape: Sequence[int],
        scale: float | str = "shared",
        latent_rank: int = 1,
        scale_bound: float = LOG_SCALE_BOUND,
    ) -> None:
        super().__init__()
        self.event_shape = as_event_shape(event_shape)
        self.noise = LocationScale(
            network, self.event_shape, scale, latent_rank, power=2, scale_bound=scale_bound
        )

    def forward(self, input: Tensor, context: Tensor | None = None) -> Independent:
        loc, scale = self.noise(input, context)
        return Independent(
            Gaussian(loc, scale, validate_args=False), len(self.event_shape), validate_args=False
        )

    def linear_cells(self, x: Tensor) -> LinearCells | None:
        if not self.noise.heads.linear_inputs:
            return None
        return LinearCells.from_rows(x, least_scale=math.exp(-self.noise.scale_bound))

    def start_linear(self, factors: Factors) -> None:
        self.noise.start_linear(factors)

    def update_state(
        self, distribution: Independent, value: Tensor, weight: Tensor | None = None
    ) -> None:
        self.noise.update_state(distribution.mean, value, weight)
