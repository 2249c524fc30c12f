"""Likelihood of data with missing cells."""

from __future__ import annotations

from torch import Tensor

from .._registry import register
from ..distributions import PartiallyObserved
from ..distributions._factors import Factors
from ..errors import IncompatibleError
from ..notes import Part, message
from ._likelihood import INDEPENDENT_CELLS, Likelihood
from ._linear_cells import LinearCells
from ._product import check_not_product
from ._registration import LikelihoodRegistration


@register(
    LikelihoodRegistration(
        title="missing cells",
        paper="Mattei and Frellsen 2019",
        needs="another likelihood, of which it sums the observed cells",
        instead=message(
            "Build it in Python, by {part}",
            part=Part("likelihoods.Missing", {"likelihood": Part("likelihoods.Normal")}),
        ),
        use_when="cells are missing at random",
        cost="none",
        avoid_when="whether a cell is missing depends on its value",
    )
)
class Missing(Likelihood):
    """``log p(x_observed|z)``: the likelihood of the observed cells; missing cells are NaN.

    Cells that are independent given ``z`` can be left out of the sum; the remainder is the exact
    density of the others, so that the bound is one on ``log p(x_observed)``. This is right where
    the probability that a cell is missing does not depend on its value (missing at random). The
    network of the encoder needs ``networks.FillMissing``.

    Mattei and Frellsen, MIWAE: deep generative modelling and imputation of incomplete data sets
    (2019).

    Args:
        likelihood: The likelihood of complete rows.

    Raises:
        IncompatibleError: The cells of ``likelihood`` depend on each other.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from aevb import likelihoods
        >>> likelihood = Missing(likelihoods.Normal(nn.Identity(), (2,), scale=1.0))
        >>> likelihood(torch.zeros(1, 3)).log_prob(torch.tensor([[torch.nan, torch.nan]]))
        tensor([0.]...)
    """

    allows_missing = True

    def __init__(self, likelihood: Likelihood) -> None:
        super().__init__()
        check_not_product(likelihood)
        if not likelihood.factorises:
            name = f"likelihoods.{type(likelihood).__name__}"
            raise IncompatibleError(
                message("the cells of {part} depend on each other", part=Part(name)),
                argument="likelihood",
                suggestions=(_ALTERNATIVES.get(name, INDEPENDENT_CELLS),),
            )
        self._describe_data_as(likelihood)
        self.likelihood: Likelihood = likelihood

    def linear_cells(self, x: Tensor) -> LinearCells | None:
        return self.likelihood.linear_cells(x)

    def start_linear(self, factors: Factors) -> None:
        self.likelihood.start_linear(factors)

    def forward(self, input: Tensor, context: Tensor | None = None) -> PartiallyObserved:
        return PartiallyObserved(self.likelihood(input, context))

    def update_state(
        self, distribution: PartiallyObserved, value: Tensor, weight: Tensor | None = None
    ) -> None:
        self.likelihood.update_state(distribution.base, value, weight)


_ALTERNATIVES = {
    "likelihoods.Bayesian": message(
        "Use {bayesian}",
        bayesian=Part("likelihoods.Bayesian", {"likelihood": Part("likelihoods.Missing")}),
    )
}
