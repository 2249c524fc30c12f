"""Cells that are restricted to a set of values: its probability, and draws from it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Distribution, Independent, Normal

from ..data._cell_conditions import Intervals
from ..distributions import (
    Affine,
    ColumnsDistribution,
    FixedCells,
    IntegerCategorical,
    MemberSelection,
)
from ..distributions._columns import BinaryCells, CodeCells, GivenNumbers, GridCells, NumberCells
from ..distributions._discrete import open_uniform
from ..distributions._families import Logistic
from ..distributions._linear_transform import GivenCells
from ..distributions._partially_observed import PartiallyObserved

REJECTION_DRAWS = 32  # draws of a cell for each latent where no formula is known


class Cell(Protocol):
    """The distribution of one cell of each row, as far as regions need it."""

    def restrict(self, intervals: Intervals) -> tuple[Tensor, Tensor]:
        """The log-probability of a set, and a draw from it, ``[*batch]`` each, float64."""
        ...


@dataclass(frozen=True)
class LevelCell:
    """A cell with the codes 0, 1, ...

    Args:
        log_mass: Log-probabilities ``[*batch, codes]``.
    """

    log_mass: Tensor

    def restrict(self, intervals: Intervals) -> tuple[Tensor, Tensor]:
        codes = torch.arange(self.log_mass.shape[-1], device=self.log_mass.device)
        log_mass = self.log_mass.double().masked_fill(~contains(intervals, codes), -math.inf)
        below, uniform = log_mass.exp().cumsum(-1), open_uniform(log_mass.shape[:-1], log_mass)
        place = torch.searchsorted(below, (uniform.double() * below[..., -1])[..., None])
        code = place.squeeze(-1).clamp(max=len(codes) - 1)
        return log_mass.logsumexp(-1), code.double()


@dataclass(frozen=True)
class SymmetricCell:
    """A number with a normal or logistic distribution, or a multiple of a step nearest to it.

    Args:
        loc: Location ``[*batch]``, float64.
        scale: Scale ``[*batch]``.
        is_normal: Whether it is normal, otherwise logistic.
        grid: A value on the grid and the step; ``None`` for real numbers.
    """

    loc: Tensor
    scale: Tensor
    is_normal: bool
    grid: tuple[float, float] | None = None

    def restrict(self, intervals: Intervals) -> tuple[Tensor, Tensor]:
        if self.grid is not None:
            intervals = _cover_grid(intervals, *self.grid)
        ends = torch.tensor(intervals, dtype=torch.float64, device=self.loc.device)
        low, high = ((end - self.loc[..., None]) / self.scale[..., None] for end in ends.unbind(-1))
        # the tail on the right has no digits near 1: its mirror image on the left has
        flipped = low > 0
        low, high = torch.where(flipped, -high, low), torch.where(flipped, -low, high)
        below, above = self._log_cdf(low), self._log_cdf(high)
        log_mass = above + torch.log(-torch.expm1((below - above).nan_to_num(nan=0.0).clamp(max=0)))
        total = log_mass.logsumexp(-1)
        shares = (log_mass - total[..., None]).exp().cumsum(-1)
        chosen = torch.searchsorted(shares, self._uniform()[..., None])
        below, above, flipped, low, high = (
            each.gather(-1, chosen.clamp(max=shares.shape[-1] - 1)).squeeze(-1)
            for each in (below.exp(), above.exp(), flipped, low, high)
        )
        share = below + self._uniform() * (above - below)
        share = share.clamp(min=torch.finfo(share.dtype).tiny)
        y = torch.maximum(torch.minimum(self._inverse(share), high), low)
        return total, self._place(self.loc + self.scale * torch.where(flipped, -y, y))

    def _uniform(self) -> Tensor:
        return open_uniform(tuple(self.loc.shape), self.loc)

    def _log_cdf(self, y: Tensor) -> Tensor:
        own = torch.special.log_ndtr if self.is_normal else torch.nn.functional.logsigmoid
        return own(y)

    def _inverse(self, share: Tensor) -> Tensor:
        return torch.special.ndtri(share) if self.is_normal else torch.logit(share)

    def _place(self, x: Tensor) -> Tensor:
        if self.grid is None:
            return x
        origin, step = self.grid
        return origin + step * ((x - origin) / step).round()


@dataclass(frozen=True)
class ScaledCell:
    """``shift + scale * cell``."""

    cell: Cell
    shift: float
    scale: float

    def restrict(self, intervals: Intervals) -> tuple[Tensor, Tensor]:
        inner = tuple(
            ((low - self.shift) / self.scale, (high - self.shift) / self.scale)
            for low, high in intervals
        )
        log_mass, drawn = self.cell.restrict(inner)
        return log_mass, self.shift + self.scale * drawn


@dataclass(frozen=True)
class RejectionCell:
    """A cell that can only be drawn: the share of draws in a set estimates its probability.

    Args:
        p: The distribution of the rows, batch shape ``[*batch]``.
        cell: The place of the cell.
    """

    p: Distribution
    cell: int

    def restrict(self, intervals: Intervals) -> tuple[Tensor, Tensor]:
        axes = 1 + len(self.p.batch_shape)
        drawn = self.p.sample(torch.Size((REJECTION_DRAWS,))).flatten(axes)[..., self.cell].double()
        inside = contains(intervals, drawn)
        place = inside.to(torch.uint8).argmax(0, keepdim=True)  # the first hit
        return inside.double().mean(0).log(), drawn.gather(0, place).squeeze(0)


def contains(intervals: Intervals, values: Tensor) -> Tensor:
    """Whether values lie in one of the intervals."""
    inside = torch.zeros_like(values, dtype=torch.bool)
    for low, high in intervals:
        inside = inside | ((values >= low) & (values <= high))
    return inside


def restrict_cell(p: Distribution, cell: int, intervals: Intervals) -> tuple[Tensor, Tensor]:
    """The probability that a cell lies in a set, and a draw of the cell from the set.

    Exact for normal and logistic numbers and for codes. For other families the probability is the
    share of ``REJECTION_DRAWS`` draws, which is unbiased, and the draw one of them.

    Args:
        p: Distribution of rows, batch shape ``[*batch]``.
        cell: The place of the cell in the event.
        intervals: The set.

    Returns:
        The log-probability ``[*batch]``, and the draw ``[*batch]``, of no meaning where the
        probability is 0; float64.

    Example:
        >>> p = Independent(Normal(torch.zeros(1, 2), 1.0), 1)
        >>> restrict_cell(p, 1, ((0.0, math.inf),))[0].exp()
        tensor([0.5000], dtype=torch.float64)
    """
    if isinstance(p, MemberSelection):
        found = p.draw_each(lambda part: torch.stack(restrict_cell(part, cell, intervals), -1))
        log_mass, drawn = found.unbind(-1)
        return log_mass, drawn
    return (find_cell(p, cell) or RejectionCell(p, cell)).restrict(intervals)


def find_cell(p: Distribution, cell: int) -> Cell | None:
    """The distribution of a cell of each row; ``None`` where no formula is known."""
    if isinstance(p, PartiallyObserved):
        return find_cell(p.base, cell)
    if isinstance(p, FixedCells):
        return None if p.fixed.flatten()[cell] else find_cell(p.base, cell)
    if isinstance(p, Affine):
        inner = find_cell(p.base, cell)
        shift, scale = (each.expand(p.event_shape).flatten()[cell] for each in (p.shift, p.scale))
        return None if inner is None else ScaledCell(inner, shift.item(), scale.item())
    if isinstance(p, GivenCells):
        return _find_leaf(p.cells, cell, len(p.batch_shape))
    if isinstance(p, Independent):
        return _find_leaf(p.base_dist, cell, len(p.batch_shape))
    if isinstance(p, ColumnsDistribution):
        return _find_column(p, cell)
    return None


def _find_leaf(cells: Distribution, cell: int, axes: int) -> Cell | None:
    """The cell of independent cells with batch shape ``[*batch, *event]``."""

    def pick(values: Tensor) -> Tensor:
        whole = values.expand(*cells.batch_shape, *values.shape[len(cells.batch_shape) :])
        return whole.flatten(axes, len(cells.batch_shape) - 1).select(axes, cell).double()

    if isinstance(cells, Normal | Logistic):
        return SymmetricCell(pick(cells.loc), pick(cells.scale), isinstance(cells, Normal))
    if isinstance(cells, IntegerCategorical):
        return LevelCell(pick(cells.logits))
    if isinstance(cells, Bernoulli):
        logits = pick(cells.logits)
        pair = (torch.nn.functional.logsigmoid(side * logits) for side in (-1, 1))
        return LevelCell(torch.stack(list(pair), -1))
    if isinstance(cells, CodeCells):
        return LevelCell(pick(cells.log_probs))
    if isinstance(cells, NumberCells | BinaryCells | GivenNumbers):
        return _find_leaf(cells.base, cell, axes)
    if isinstance(cells, GridCells):
        grid = cells.origin.flatten()[cell].item(), cells.step.flatten()[cell].item()
        return SymmetricCell(pick(cells.loc), pick(cells.scale), False, grid)
    return None


def _find_column(p: ColumnsDistribution, cell: int) -> Cell | None:
    """The cell of a table of mixed columns."""
    place = int((p.order == cell).nonzero())
    for group in p.groups:
        count = group.batch_shape[-1]
        if place < count:
            leaf = _find_leaf(group, place, len(p.batch_shape))
            return leaf or RejectionCell(Independent(group, 1, validate_args=False), place)
        place -= count
    return None


def _cover_grid(intervals: Sequence[tuple[float, float]], origin: float, step: float) -> Intervals:
    """Intervals that reach half a step beyond the values on the grid that they contain."""
    slack = 1e-3  # encoded values are rounded to float32

    def move(end: float, side: float) -> float:
        if math.isinf(end):
            return end
        steps = (end - origin) / step
        nearest = math.floor(steps + slack) if side > 0 else math.ceil(steps - slack)
        return origin + step * (nearest + side)

    covers = [(move(low, -0.5), move(high, 0.5)) for low, high in intervals]
    # an interval without a value on the grid has the probability 0
    return tuple((low, max(low, high)) for low, high in covers)
