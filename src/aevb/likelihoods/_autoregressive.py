"""Autoregressive likelihood of tables and sequences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from .. import distributions
from .._registry import register
from ..distributions import IntegerCategorical
from ..distributions._autoregressive import VariableSpec, bernoulli_variable, level_variable
from ..errors import check_choice, check_counts
from ..networks import MADE, Heads
from ..notes import Argument, message
from ._likelihood import Likelihood, as_event_shape
from ._logistic_mixture import check_levels, component_offsets, discretised_logistic_mixture
from ._registration import LikelihoodRegistration

ElementFamily = Literal["bernoulli", "categorical", "logistic_mixture"]


@register(
    LikelihoodRegistration(
        title="autoregressive",
        paper="Gregor et al. 2014",
        kinds=("binary", "level"),
        scaling="levels",
        needs="a choice of masked layers, which decide what the latent is left to explain",
        instead=message("Use {preset}", preset=Argument("preset", "darn")),
        use_when="values depend on each other given the latent",
        cost="one step per value for each draw",
        avoid_when="the latent should carry all information",
    )
)
class Autoregressive(Likelihood):
    """``log p(x|z) = sum_d log p(x_d | x_1 ... x_(d-1), z)`` by a masked network.

    The order of the elements is row-major.

    The network gives the parameters that each element would have alone, and ``features`` that the
    masked layers see beside the preceding elements. A wide masked network may leave the latent
    unused. For images see ``Pixel``, whose masked layers are convolutions.

    A density takes one pass; a draw takes one short step per element. The mean has no formula and
    is averaged over 64 fixed draws. Missing cells are not supported: they would have to be summed
    over.

    Gregor et al., Deep autoregressive networks (2014).

    Args:
        network: Maps latents to features; the parameters are a linear map of the features.
        event_shape: Shape of a row of data.
        output: Family of an element: ``"bernoulli"`` for 0 and 1, ``"logistic_mixture"`` (as in
            ``LogisticMixture``) for ordered levels, ``"categorical"`` for levels without an order.
        levels: Number of values of an element, 0 ... ``levels - 1``.
        components: Number of logistics of a mixture.
        hidden: Widths of the masked layers.
        features: Number of features of ``z`` that the masked layers see.
        latent_rank: Number of axes of a latent.

    Raises:
        ArgumentError: ``output`` is unknown, ``levels`` does not fit it, or a count is less than 1.

    Example:
        >>> Autoregressive(nn.Identity(), (4, 4))(torch.zeros(5, 2)).sample().shape
        torch.Size([5, 4, 4])
    """

    measure = "probability"
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
        check_choice("output", output, get_args(ElementFamily))
        check_levels(levels, output == "bernoulli")
        check_counts(components=components, features=features)
        self.event_shape, self.output, self.levels = as_event_shape(event_shape), output, levels
        self.register_buffer("offset", component_offsets(components), persistent=False)
        size, parameters = math.prod(self.event_shape), self.cell.n_parameters
        self.made = MADE(size, hidden, parameters, "silu", features)
        self.heads = Heads(network, (size, parameters), (features,), input_ndim=latent_rank)

    @property
    def cell(self) -> VariableSpec:
        """Family of one element given the preceding ones."""
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
