"""Posterior of discrete latents that depend on each other."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .. import distributions
from .._conditional import Conditional
from .._registry import register
from ..errors import check_counts
from ..networks import MADE, Heads
from ..priors._autoregressive import parse_discrete_latent
from ._registration import PosteriorRegistration


@register(
    PosteriorRegistration(
        title="autoregressive",
        paper="Gregor et al. 2014",
        support="discrete",
        prior="autoregressive",
        reparameterised=False,
        use_when="discrete latents that exclude each other",
        cost="one step per variable for each draw",
        avoid_when="the latent is continuous; use iaf",
    )
)
class Autoregressive(Conditional):
    """``q(z|x) = prod_d q(z_d | z_1 ... z_(d-1), x)`` over bits or one-hot codes.

    The network gives the logits that each variable would have alone, and features that a masked
    network sees beside the preceding variables, so that explanations can exclude each other. Draws
    cannot be reparameterised and take one step per variable. Mean and variance are estimated.

    Gregor et al., Deep autoregressive networks (2014).

    Args:
        network: Maps data to features; the parameters are a linear map of the features.
        latent: Number of bits, or ``(variables, categories)``.
        hidden: Widths of the masked layers.
        features: Number of features that the masked layers see.

    Raises:
        ArgumentError: ``features`` is less than 1, or there are fewer than 2 categories.

    Example:
        >>> import torch
        >>> Autoregressive(nn.Identity(), latent=10)(torch.zeros(5, 3)).sample().shape
        torch.Size([5, 10])
    """

    def __init__(
        self,
        network: nn.Module,
        latent: int | Sequence[int],
        hidden: Sequence[int] = (128,),
        features: int = 32,
    ) -> None:
        super().__init__()
        check_counts(features=features)
        self.variables, self.cell = parse_discrete_latent(latent)
        count = math.prod(self.variables)
        self.made = MADE(
            count, hidden, self.cell.n_parameters, "silu", features, self.cell.encoded_size
        )
        self.heads = Heads(network, (count, self.cell.n_parameters), (features,))

    def forward(self, input: Tensor, context: Tensor | None = None) -> distributions.Autoregressive:
        offset, features = self.heads(input, context)
        made, seen = self.made, torch.tanh(features)
        return distributions.Autoregressive(
            made.weights(), made.activation, self.cell, self.variables, seen, offset
        )
