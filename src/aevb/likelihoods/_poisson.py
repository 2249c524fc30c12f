"""Likelihood of counts."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.distributions import Independent

from .. import distributions
from .._registry import register
from ..networks._condition import Condition
from ._count_means import CountMeans
from ._likelihood import Likelihood, as_event_shape, make_heads
from ._registration import LikelihoodRegistration


@register(
    LikelihoodRegistration(
        title="Poisson",
        kinds=("count",),
        scaling="mean",
        use_when="counts whose variance is about their mean",
        cost="one output per value",
        avoid_when="counts vary more than their mean; use negative_binomial",
    )
)
class Poisson(Likelihood):
    """``log p(x|z) = x log r - r - log x!`` with ``r = unit * exp(l)``, per element.

    ``l`` comes from the network. The rate lies between 3e-7 and 3e6 times ``unit``. The variance
    equals the mean; for counts that vary more see ``NegativeBinomial``.

    Args:
        network: Maps latents to features; the parameters are a linear map of the features.
        event_shape: Shape of a row of data.
        unit: Mean of the data, approximately; the mean of the likelihood starts there.
        latent_rank: Number of axes of a latent.
        condition: A condition with a ``networks.LibrarySize``: the mean is this size times shares
            that sum to 1, and ``log p(x|z)`` is that given the library size.

    Raises:
        ArgumentError: ``unit`` is not positive.

    Example:
        >>> import torch
        >>> Poisson(nn.Identity(), (3,), unit=7.0)(torch.zeros(5, 2)).mean[0].round(decimals=4)
        tensor([7., 7., 7.]...)
    """

    measure = "probability"
    unbounded = True

    def __init__(
        self,
        network: nn.Module,
        event_shape: Sequence[int],
        unit: float = 1.0,
        latent_rank: int = 1,
        condition: Condition | None = None,
    ) -> None:
        super().__init__()
        self.event_shape = as_event_shape(event_shape)
        self.means = CountMeans.for_condition(unit, self.event_shape, condition)
        self.unit = self.means.unit
        self.heads = make_heads(network, self.event_shape, 1, latent_rank)

    def forward(self, input: Tensor, context: Tensor | None = None) -> Independent:
        (raw,) = self.heads(input, self.means.without_library(context))
        return Independent(
            distributions.Poisson(self.means(raw, context)),
            len(self.event_shape),
            validate_args=False,
        )
