"""Data with empty cells."""

from __future__ import annotations

from torch import Tensor

from ..distributions import PartiallyObserved
from ..errors import IncompatibleError
from ._likelihood import Likelihood


class Missing(Likelihood):
    """``log p(x_observed|z)``: the cells of ``likelihood`` that are there, where NaN says that one is not.

    Cells that are independent given ``z`` can be left out of the sum, and what remains is the exact density of the others, so the bound
    is one on ``log p(x_observed)``. Right where it does not depend on the value itself whether a cell is empty (missing at random). The
    encoder's network needs ``networks.FillMissing``. Mattei and Frellsen, MIWAE (2019). Raises ``IncompatibleError`` around a likelihood
    whose cells depend on each other.

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
        if not likelihood.factorises:
            name = type(likelihood).__name__
            raise IncompatibleError(
                f"`likelihoods.Missing` leaves cells out of a sum, and those of `likelihoods.{name}` depend on each other. "
                f"{_ALTERNATIVES.get(name, 'Use a likelihood of independent cells, as `likelihoods.Normal(...)`.')}"
            )
        self.discrete, self.unbounded, self.value_kind = (
            likelihood.discrete,
            likelihood.unbounded,
            likelihood.value_kind,
        )
        self.event_shape = likelihood.event_shape
        self.likelihood: Likelihood = likelihood

    def forward(self, input: Tensor, context: Tensor | None = None) -> PartiallyObserved:
        return PartiallyObserved(self.likelihood(input, context))

    def update_state(
        self, distribution: PartiallyObserved, value: Tensor, weight: Tensor | None = None
    ) -> None:
        self.likelihood.update_state(distribution.base, value, weight)


_ALTERNATIVES = {
    "Bayesian": "Use `likelihoods.Bayesian(likelihoods.Missing(...))`.",
    "Pixel": "Use one whose pixels are independent given the code, as `likelihoods.Bernoulli(...)` or `likelihoods.LogisticMixture(...)`.",
}
