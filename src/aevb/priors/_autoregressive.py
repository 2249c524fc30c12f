"""Priors of discrete latents that depend on each other."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from .. import distributions
from .._conditional import Unconditional
from .._registry import register
from .._shapes import as_shape
from ..distributions._autoregressive import VariableSpec, bernoulli_variable, categorical_variable
from ..errors import ArgumentError
from ..networks import MADE
from ..notes import Part, message
from ._categorical import as_categorical_shape
from ._registration import PriorRegistration


@register(
    PriorRegistration(
        title="autoregressive",
        paper="Gregor et al. 2014, Germain et al. 2015",
        support="discrete",
        posterior="autoregressive",
        use_when="discrete latents that depend on each other",
        cost="one step per variable for each draw",
        avoid_when="the latent is continuous; use flow",
    )
)
class Autoregressive(Unconditional):
    """``p(z) = prod_d p(z_d | z_1 ... z_(d-1))`` by a masked network over bits or one-hot codes.

    Without ``hidden`` layers each logit is linear in the preceding variables. A density takes one
    pass, a draw one step per variable. Mean and variance are estimated.

    Gregor et al., Deep autoregressive networks (2014); Germain et al., MADE (2015).

    Args:
        latent: Number of bits, or ``(variables, categories)``.
        hidden: Widths of the masked layers.

    Raises:
        ArgumentError: There is a single variable, or fewer than 2 categories.

    Example:
        >>> Autoregressive(10)().sample((3,)).shape, Autoregressive((20, 10))().sample((3,)).shape
        (torch.Size([3, 10]), torch.Size([3, 20, 10]))
    """

    def __init__(self, latent: int | Sequence[int], hidden: Sequence[int] = (128,)) -> None:
        super().__init__()
        self.variables, self.cell = parse_discrete_latent(latent)
        if math.prod(self.variables) < 2:
            raise ArgumentError(
                "a single variable has no preceding ones; give at least 2",
                argument="latent",
                value=latent,
                suggestions=(
                    message(
                        "Use {bernoulli}",
                        bernoulli=Part("priors.Bernoulli", {"latent": 1, "learned": True}),
                    ),
                ),
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
    """Shape of the variables of a discrete latent, and their kind: bits or categories."""
    shape = as_shape("latent", latent)
    if len(shape) == 1:
        return shape, bernoulli_variable()
    *variables, categories = as_categorical_shape(shape)
    return tuple(variables), categorical_variable(categories)
