"""Likelihoods of data with missing cells."""

from __future__ import annotations

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, constraints
from torch.types import _size

from ._base import BaseDistribution, expectation
from ._moments import marginals


class PartiallyObserved(BaseDistribution):
    """Distribution of the observed cells: sums ``log p(x_d)`` over the cells that are not NaN.

    A missing cell is filled with a value inside the support before its density is computed and
    dropped, because NaN times 0 is NaN, in the gradient too. Draws, mean and variance are those of
    complete data.

    Args:
        base: Distribution with independent cells.

    Example:
        >>> from torch.distributions import Independent, Normal
        >>> p = PartiallyObserved(Independent(Normal(torch.zeros(2), 1.0), 1))
        >>> x = torch.tensor([1.0, torch.nan])
        >>> bool(p.log_prob(x) == Normal(0.0, 1.0).log_prob(torch.tensor(1.0)))
        True
    """

    def __init__(self, base: Distribution) -> None:
        self.base = base
        self.has_rsample = base.has_rsample
        super().__init__(base.batch_shape, base.event_shape)

    @property
    def cells(self) -> Distribution:
        """Marginal distribution of each cell, batch shape ``[*batch, *event]``."""
        cells = marginals(self.base)
        assert cells is not None, "a likelihood that factorises over cells"
        return cells

    @property
    def support(self) -> constraints.Constraint | None:
        inside = self.cells.support
        return (
            None
            if inside is None
            else constraints.independent(OrNaN(inside), len(self.event_shape))
        )

    @property
    def mean(self) -> Tensor:
        return self.base.mean

    @property
    def expectation(self) -> Tensor:
        return expectation(self.base)

    @property
    def variance(self) -> Tensor:
        return self.base.variance

    def cell_log_prob(self, value: Tensor) -> Tensor:
        """Score each cell, ``[*batch, *event]``; 0 for missing cells."""
        cells, missing = self.cells, value.isnan()
        each = cells.log_prob(torch.where(missing, _fill_value(cells), value))
        return torch.where(missing, torch.zeros_like(each), each)

    def log_prob(self, value: Tensor) -> Tensor:
        each = self.cell_log_prob(value)
        return each.flatten(each.dim() - len(self.event_shape)).sum(-1)

    def sample(self, sample_shape: _size = Size()) -> Tensor:
        return self.base.sample(Size(sample_shape))

    def rsample(self, sample_shape: _size = Size()) -> Tensor:
        return self.base.rsample(Size(sample_shape))


def _fill_value(cells: Distribution) -> Tensor:
    """A value inside the support of every cell: 0 for discrete cells, otherwise the mean."""
    support = cells.support
    if support is not None and support.is_discrete:
        return torch.zeros(())
    return cells.mean.detach()


class OrNaN(constraints.Constraint):
    """A value in the constraint ``base``, or NaN."""

    def __init__(self, base: constraints.Constraint) -> None:
        self.base, self.is_discrete, self.event_dim = base, base.is_discrete, base.event_dim
        super().__init__()

    def check(self, value: Tensor) -> Tensor:
        return self.base.check(value) | value.isnan()
