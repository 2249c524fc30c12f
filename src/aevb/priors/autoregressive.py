"""Priors on discrete codes that depend on each other."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from .. import distributions
from ..conditional import Unconditional
from ..distributions.autoregressive import Cell, bit, code
from ..errors import ArgumentError
from ..networks import MADE
from ..shapes import as_shape
from .categorical import code_shape


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
        self.variables, self.cell = cells(latent)
        if math.prod(self.variables) < 2:
            raise ArgumentError(
                f"`latent` is {latent}: a single variable has none before it; give at least 2, or use priors.Bernoulli(1, learned=True)."
            )
        self.made = MADE(math.prod(self.variables), hidden, self.cell.parameters, "silu", size=self.cell.size)

    def forward(self, input: Tensor | None = None, context: Tensor | None = None) -> distributions.Autoregressive:
        return distributions.Autoregressive(self.made.weights(), self.made.activation, self.cell, self.variables)


def cells(latent: int | Sequence[int]) -> tuple[tuple[int, ...], Cell]:
    """The shape of the variables of a discrete latent, and what each of them is: a bit, or a code of several categories."""
    shape = as_shape("latent", latent)
    if len(shape) == 1:
        return shape, bit()
    *variables, categories = code_shape(shape)
    return tuple(variables), code(categories)
