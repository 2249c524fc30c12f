"""Data whose elements are drawn one after the other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from .. import distributions
from ..distributions import IntegerCategorical
from ..distributions._autoregressive import VariableSpec, bernoulli_variable, level_variable
from ..errors import ArgumentError
from ..networks import MADE, Heads
from ._likelihood import Likelihood, as_event_shape
from ._logistic_mixture import component_offsets, discretised_logistic_mixture

ElementFamily = Literal["bernoulli", "categorical", "logistic_mixture"]


class Autoregressive(Likelihood):
    """``log p(x|z) = sum_d log p(x_d | x_1 ... x_(d-1), z)`` by a masked network over the elements of a datum, in row-major order.

    The network says what each element would have by itself, and ``features`` numbers that masked layers with ``hidden`` units see beside
    the elements before. What these explain, codes need not: a wide masked network may leave them idle. ``output`` is the family of an
    element: ``"bernoulli"`` for 0 and 1; for ``levels`` values from 0 on ``"logistic_mixture"`` with ``components`` as in
    ``LogisticMixture``, or ``"categorical"``, which knows no order. For images see ``Pixel``, whose masked layers are convolutions.

    A density takes one pass, a draw one short step per element. The mean has no formula and is averaged over 64 draws, always the same
    ones. Not for empty cells: what is missing would have to be summed over. Gregor et al., Deep autoregressive networks (2014). Raises
    ``ArgumentError`` for an unknown output, levels that do not fit it, no component and no features.

    >>> Autoregressive(nn.Identity(), (4, 4))(torch.zeros(5, 2)).sample().shape
    torch.Size([5, 4, 4])
    """

    discrete = True
    factorises = False
    offset: Tensor

    def __init__(
        self,
        network: nn.Module,
        event_shape: Sequence[int],
        output: ElementFamily = "bernoulli",
        levels: int = 2,
        components: int = 5,
        hidden: Sequence[int] = (128,),
        features: int = 32,
        latent_rank: int = 1,
    ) -> None:
        super().__init__()
        if output not in ("bernoulli", "categorical", "logistic_mixture"):
            raise ArgumentError(
                f"`output` is {output!r}; use one of bernoulli, categorical, logistic_mixture."
            )
        if levels < 2 or (output == "bernoulli" and levels > 2):
            instead = (
                'give output="logistic_mixture" for more than 2'
                if levels > 2
                else "give at least 2"
            )
            raise ArgumentError(f"`levels` is {levels}; {instead}.")
        for name, value in (("components", components), ("features", features)):
            if value < 1:
                raise ArgumentError(f"`{name}` is {value}; give at least 1.")
        self.event_shape, self.output, self.levels = as_event_shape(event_shape), output, levels
        self.register_buffer("offset", component_offsets(components), persistent=False)
        size, parameters = math.prod(self.event_shape), self.cell.n_parameters
        self.made = MADE(size, hidden, parameters, "silu", features)
        self.heads = Heads(network, (size, parameters), (features,), input_ndim=latent_rank)

    @property
    def cell(self) -> VariableSpec:
        """One element given those before it."""
        if self.output == "bernoulli":
            return bernoulli_variable()
        if self.output == "categorical":
            return level_variable(self.levels, self.levels, IntegerCategorical)
        return level_variable(self.levels, 3 * len(self.offset), self._mixture)

    def _mixture(self, raw: Tensor) -> Distribution:
        logits, loc, scale = raw.chunk(3, -1)
        return discretised_logistic_mixture(logits, loc, scale, self.offset, self.levels)

    def forward(self, input: Tensor, context: Tensor | None = None) -> distributions.Autoregressive:
        alone, features = self.heads(input, context)
        made, seen = self.made, torch.tanh(features)
        return distributions.Autoregressive(
            made.weights(), made.activation, self.cell, self.event_shape, seen, alone
        )
