"""Discrete codes that depend on each other."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .. import distributions
from .._conditional import Conditional
from ..errors import ArgumentError
from ..networks import MADE, Heads
from ..priors._autoregressive import parse_discrete_latent


class Autoregressive(Conditional):
    """``q(z|x) = prod_d q(z_d | z_1 ... z_(d-1), x)``: bits ``latent``, or one-hot codes ``(variables, categories)``.

    The network says the logits that each variable would have by itself, and ``features`` numbers that a masked network with ``hidden``
    layers sees beside the variables drawn before: explanations that exclude each other can be told apart. Draws cannot be
    reparameterised, and take one step per variable. Mean and variance are estimated. Gregor et al., Deep autoregressive networks (2014).
    Raises ``ArgumentError`` for no features and for fewer than 2 categories.

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
        if features < 1:
            raise ArgumentError(f"`features` is {features}; give at least 1.")
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
