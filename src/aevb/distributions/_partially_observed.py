"""The cells of a datum that are there."""

from __future__ import annotations

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, constraints

from ._moments import marginals


class PartiallyObserved(Distribution):
    """``log p(x_observed) = sum over the cells that are not NaN of log p(x_d)``, for a ``base`` whose cells are independent.

    An empty cell is filled with a number inside the support before it is scored, and its density is left out afterwards: NaN times 0
    would be NaN, in a gradient too. Draws, mean and variance are those of whole data.

    >>> from torch.distributions import Independent, Normal
    >>> p = PartiallyObserved(Independent(Normal(torch.zeros(2), 1.0), 1))
    >>> x = torch.tensor([1.0, torch.nan])
    >>> bool(p.log_prob(x) == Normal(0.0, 1.0).log_prob(torch.tensor(1.0)))
    True
    """

    arg_constraints = {}  # pyright: ignore[reportAssignmentType]

    def __init__(self, base: Distribution) -> None:
        self.base = base
        self.has_rsample = base.has_rsample
        super().__init__(base.batch_shape, base.event_shape, validate_args=False)

    @property
    def cells(self) -> Distribution:
        """One distribution for each cell, batch shape ``[*batch, *event]``."""
        cells = marginals(self.base)
        assert cells is not None, "a likelihood that factorises over cells"
        return cells

    @constraints.dependent_property
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
    def variance(self) -> Tensor:
        return self.base.variance

    def log_prob(self, value: Tensor) -> Tensor:
        cells, missing = self.cells, value.isnan()
        each = cells.log_prob(torch.where(missing, _fill_value(cells), value))
        each = torch.where(missing, torch.zeros_like(each), each)
        return each.flatten(each.dim() - len(self.event_shape)).sum(-1)

    def sample(self, sample_shape: tuple[int, ...] | Size = Size()) -> Tensor:
        return self.base.sample(Size(sample_shape))

    def rsample(self, sample_shape: tuple[int, ...] | Size = Size()) -> Tensor:
        return self.base.rsample(Size(sample_shape))


def _fill_value(cells: Distribution) -> Tensor:
    """A value that every cell can take: 0 of levels and counts, whose means may cost much and are none of their values; else the mean."""
    support = cells.support
    if support is not None and support.is_discrete:
        return torch.zeros(())
    return cells.mean.detach()


class OrNaN(constraints.Constraint):
    """A value ``inside`` a set, or NaN."""

    def __init__(self, base: constraints.Constraint) -> None:
        self.base, self.is_discrete, self.event_dim = base, base.is_discrete, base.event_dim
        super().__init__()

    def check(self, value: Tensor) -> Tensor:
        return self.base.check(value) | value.isnan()
