"""Priors on discrete codes that depend on each other."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from .. import distributions
from .._conditional import Unconditional
from .._shapes import as_shape
from ..distributions._autoregressive import VariableSpec, bernoulli_variable, categorical_variable
from ..errors import ArgumentError
from ..networks import MADE
from ._categorical import as_categorical_shape


class Autoregressive(Unconditional):
    """``p(z) = prod_d p(z_d | z_1 ... z_(d-1))`` by a masked network: bits ``latent``, or one-hot codes ``(variables, categories)``.

    Without ``hidden`` layers each logit is linear in what comes before it. The density of any point takes one pass, a draw one step per
    variable. Mean and variance are estimated. Gregor et al., Deep autoregressive networks (2014); Germain et al., MADE (2015). Raises
    ``ArgumentError`` for a single variable, which has nothing before it, and for fewer than 2 categories.

    >>> Autoregressive(10)().sample((3,)).shape, Autoregressive((20, 10))().sample((3,)).shape
    (torch.Size([3, 10]), torch.Size([3, 20, 10]))
    """

    def __init__(self, latent: int | Sequence[int], hidden: Sequence[int] = (128,)) -> None:
        super().__init__()
        self.variables, self.cell = parse_discrete_latent(latent)
        if math.prod(self.variables) < 2:
            raise ArgumentError(
                f"`latent` is {latent}: a single variable has none before it; give at least 2, or use priors.Bernoulli(1, learned=True)."
            )
        self.made = MADE(
            math.prod(self.variables),
            hidden,
            self.cell.n_parameters,
            "silu",
            input_width=self.cell.encoded_size,
        )

    def forward(
        self, input: Tensor | None = None, context: Tensor | None = None
    ) -> distributions.Autoregressive:
        return distributions.Autoregressive(
            self.made.weights(), self.made.activation, self.cell, self.variables
        )


def parse_discrete_latent(latent: int | Sequence[int]) -> tuple[tuple[int, ...], VariableSpec]:
    """The shape of the variables of a discrete latent, and what each of them is: a bit, or a code of several categories."""
    shape = as_shape("latent", latent)
    if len(shape) == 1:
        return shape, bernoulli_variable()
    *variables, categories = as_categorical_shape(shape)
    return tuple(variables), categorical_variable(categories)
