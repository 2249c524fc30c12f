"""Real data with outliers."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.distributions import Independent
from torch.distributions import Laplace as TwoSided

from .likelihood import Likelihood, event
from .noise import LocationScale


class Laplace(Likelihood):
    """``p(x|z) = Laplace(loc(z), scale)`` per element; ``scale`` as in ``likelihoods.Normal`` (its optimum is the mean absolute error).

    >>> import torch
    >>> Laplace(nn.Identity(), (3,))(torch.zeros(5, 2)).log_prob(torch.zeros(5, 3)).shape
    torch.Size([5])
    """

    def __init__(self, network: nn.Module, event_shape: Sequence[int], scale: float | str = "shared", latent_rank: int = 1) -> None:
        super().__init__()
        self.event_shape = event(event_shape)
        self.noise = LocationScale(network, self.event_shape, scale, latent_rank, power=1)

    def forward(self, input: Tensor, context: Tensor | None = None) -> Independent:
        loc, scale = self.noise(input, context)
        return Independent(TwoSided(loc, scale, validate_args=False), len(self.event_shape), validate_args=False)

    def adapt(self, distribution: Independent, value: Tensor, weight: Tensor | None = None) -> None:
        self.noise.adapt(distribution.mean, value, weight)
