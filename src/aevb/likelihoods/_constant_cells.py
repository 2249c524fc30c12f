"""Likelihood of data with constant cells."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .._registry import register
from ..distributions import FixedCells, marginals
from ..errors import IncompatibleError
from ..notes import Part, message
from ._likelihood import Likelihood
from ._product import check_not_product
from ._registration import LikelihoodRegistration


@register(
    LikelihoodRegistration(
        title="constant cells",
        needs="another likelihood, of all cells",
        instead=message(
            "Build it in Python, by {part}",
            part=Part("likelihoods.ConstantCells", {"likelihood": Part("likelihoods.Normal")}),
        ),
        use_when="columns are constant, which `load` finds",
        cost="none",
        avoid_when="new data have other values there",
    )
)
class ConstantCells(Likelihood):
    """Likelihood of the cells that are not constant; the others are put back on output.

    The density of a constant grows without bound as the decoder's scale shrinks, so that it would
    hide what the model knows of the other cells. Here a constant cell adds exactly 0 to ``log
    p(x|z)`` and has its value in every draw and mean.

    Args:
        likelihood: The likelihood of complete rows.
        values: The value of each constant cell in row-major order, ``None`` for all others.

    Raises:
        IncompatibleError: The cells of ``likelihood`` depend on each other or may be missing.

    Example:
        >>> from torch import nn
        >>> from aevb import likelihoods
        >>> inner = likelihoods.Normal(nn.Identity(), (2,), scale=1.0)
        >>> ConstantCells(inner, [None, 7.0])(torch.zeros(1, 3)).sample()[0, 1]
        tensor(7.)
    """

    values: Tensor

    def __init__(self, likelihood: Likelihood, values: Sequence[float | None]) -> None:
        super().__init__()
        _check_inner(likelihood)
        self._describe_data_as(likelihood)
        self.likelihood: Likelihood = likelihood
        numbers = torch.tensor([math.nan if value is None else float(value) for value in values])
        self.register_buffer("values", numbers.reshape(self.event_shape), persistent=False)

    @property
    def constant_values(self) -> Tensor | None:
        """The values of constant cells, NaN for all others."""
        return self.values

    def forward(self, input: Tensor, context: Tensor | None = None) -> FixedCells:
        base = self.likelihood(input, context)
        cells = marginals(base)
        assert cells is not None, "a likelihood that factorises over cells"
        return FixedCells(base, cells, self.values)

    def update_state(
        self, distribution: FixedCells, value: Tensor, weight: Tensor | None = None
    ) -> None:
        if distribution.fixed.all():
            return
        observed = value.masked_fill(distribution.fixed, math.nan)
        self.likelihood.update_state(distribution.base, observed, weight)


def _check_inner(likelihood: Likelihood) -> None:
    """Refuse likelihoods without independent, complete cells."""
    part = Part(f"likelihoods.{type(likelihood).__name__}")
    if likelihood.allows_missing:
        outside = Part("likelihoods.Missing", {"likelihood": Part("likelihoods.ConstantCells")})
        raise IncompatibleError(
            message("{part} leaves cells out", part=part),
            argument="likelihood",
            suggestions=(message("Use {missing}", missing=outside),),
        )
    check_not_product(likelihood)
    if not likelihood.factorises:
        raise IncompatibleError(
            message("the cells of {part} depend on each other", part=part),
            argument="likelihood",
            suggestions=("Remove the constant columns from the data",),
        )
