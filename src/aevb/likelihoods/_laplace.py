"""Real data with outliers."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.distributions import Independent
from torch.distributions import Laplace as TorchLaplace

from ._likelihood import Likelihood, as_event_shape
from ._location_scale import LocationScale


class Laplace(Likelihood):
    """``p(x|z) = Laplace(loc(z), scale)`` per element; ``scale`` as in ``likelihoods.Normal`` (its optimum is the mean absolute error).

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
