"""Likelihood of angles."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.distributions import Independent

from .. import distributions
from .._registry import register
from ._likelihood import Likelihood, as_event_shape, make_heads
from ._registration import LikelihoodRegistration


@register(
    LikelihoodRegistration(
        title="von Mises",
        kinds=("angle",),
        use_when="angles, hours of the day, days of the year",
        cost="two outputs per value",
        avoid_when="values do not wrap around",
    )
)
class VonMises(Likelihood):
    """``log p(x|z) = a cos x + b sin x - log(2 pi I_0(|(a, b)|))`` per element.

    Angles are in radians and lie in [-pi, pi]; hours of a day are ``2 pi (hour / 24 - 0.5)``. ``a``
    and ``b`` come from the network: the vector points in the mean direction, and its length is the
    concentration.

    Args:
        network: Maps latents to features; the parameters are a linear map of the features.
        event_shape: Shape of a row of data.
        latent_rank: Number of axes of a latent.

    Raises:
        ArgumentError: ``event_shape`` is not a shape.

    Example:
        >>> import torch
        >>> VonMises(nn.Identity(), (3,))(torch.zeros(5, 2)).variance[0].round(decimals=4)
        tensor([1., 1., 1.]...)
    """

    cell_kinds = "angles"

    def __init__(
        self, network: nn.Module, event_shape: Sequence[int], latent_rank: int = 1
    ) -> None:
        super().__init__()
        self.event_shape = as_event_shape(event_shape)
        self.heads = make_heads(network, self.event_shape, 2, latent_rank)

    def forward(self, input: Tensor, context: Tensor | None = None) -> Independent:
        a, b = self.heads(input, context)
        return Independent(distributions.VonMises(a, b), len(self.event_shape), validate_args=False)
