"""Distribution with cells that have one value only."""

from __future__ import annotations

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, constraints
from torch.types import _size

from ._base import BaseDistribution, expectation


class FixedCells(BaseDistribution):
    """Distribution whose fixed cells always have their value and add 0 to the log-density.

    Their value in ``log_prob(x)`` is not read: the density is that of the other cells.

    Args:
        base: Distribution with independent cells.
        cells: Distribution of each cell, batch shape ``[*batch, *event]``: ``marginals(base)``.
        values: The value of each fixed cell, ``[*event]``, NaN for all others.

    Example:
        >>> from torch.distributions import Independent, Normal
        >>> cells = Normal(torch.zeros(2), 1.0)
        >>> p = FixedCells(Independent(cells, 1), cells, torch.tensor([torch.nan, 7.0]))
        >>> (
        ...     p.sample()[1].item(),
        ...     bool(p.log_prob(torch.ones(2)) == cells.log_prob(torch.ones(2))[0]),
        ... )
        (7.0, True)
    """

    def __init__(self, base: Distribution, cells: Distribution, values: Tensor) -> None:
        self.base, self.cells, self.values = base, cells, values
        self.fixed = ~values.isnan()
        self.has_rsample = base.has_rsample
        super().__init__(base.batch_shape, base.event_shape)

    @property
    def support(self) -> constraints.Constraint | None:
        inside = self.cells.support
        if inside is None:
            return None
        return constraints.independent(InsideOrFixed(inside, self.fixed), len(self.event_shape))

    @property
    def mean(self) -> Tensor:
        return self._fix(self.base.mean)

    @property
    def expectation(self) -> Tensor:
        return self._fix(expectation(self.base))

    @property
    def variance(self) -> Tensor:
        return self.base.variance.masked_fill(self.fixed, 0.0)

    def cell_log_prob(self, value: Tensor) -> Tensor:
        """Score each cell, ``[*batch, *event]``; 0 for fixed cells."""
        return self.cells.log_prob(self._fix(value)).masked_fill(self.fixed, 0.0)

    def log_prob(self, value: Tensor) -> Tensor:
        each = self.cell_log_prob(value)
        size = len(self.event_shape)
        return each.flatten(each.dim() - size).sum(-1) if size else each

    def sample(self, sample_shape: _size = Size()) -> Tensor:
        return self._fix(self.base.sample(Size(sample_shape)))

    def rsample(self, sample_shape: _size = Size()) -> Tensor:
        return self._fix(self.base.rsample(Size(sample_shape)))

    def _fix(self, x: Tensor) -> Tensor:
        return torch.where(self.fixed, self.values.to(x.dtype), x)


class InsideOrFixed(constraints.Constraint):
    """A value in the constraint ``inside``, or any value of a fixed cell."""

    def __init__(self, inside: constraints.Constraint, fixed: Tensor) -> None:
        self.inside, self.fixed = inside, fixed
        self.is_discrete, self.event_dim = inside.is_discrete, inside.event_dim
        super().__init__()

    def check(self, value: Tensor) -> Tensor:
        return self.inside.check(value) | self.fixed
