"""Real data."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.distributions import Independent
from torch.distributions import Normal as Gaussian

from ._likelihood import Likelihood, as_event_shape
from ._location_scale import LocationScale


class Normal(Likelihood):
    """``p(x|z) = N(mu(z), sigma^2)`` per element of the event, with the noise ``sigma``

    - fixed: ``scale=0.5`` (``scale=2 ** -0.5`` is the squared error, up to a constant),
    - learned, one for all elements: ``scale="shared"``, or one for each: ``scale="per_element"`` (as in factor analysis),
    - put out by the network: ``scale="predicted"``,
    - held at its optimum: ``scale="optimal"``, the running root mean squared error of training, set between steps. Densities use the
      held value, so they stay densities. Rybkin et al., Simple and effective VAE training with calibrated decoders (2021).

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
    ) -> None:
        super().__init__()
        self.event_shape = as_event_shape(event_shape)
        self.noise = LocationScale(network, self.event_shape, scale, latent_rank, power=2)

    def forward(self, input: Tensor, context: Tensor | None = None) -> Independent:
        loc, scale = self.noise(input, context)
        return Independent(
            Gaussian(loc, scale, validate_args=False), len(self.event_shape), validate_args=False
        )

    def update_state(
        self, distribution: Independent, value: Tensor, weight: Tensor | None = None
    ) -> None:
        self.noise.update_state(distribution.mean, value, weight)
