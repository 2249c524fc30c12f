"""Distributions of rows of a table whose columns have different families.

Cells are encoded numbers, as ``networks.Column`` describes them; log-densities are those of the
data in their own units. Cells of one family are one group, evaluated together.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Size, Tensor
from torch.distributions import Bernoulli, Distribution, constraints
from torch.types import _size

from ._base import BaseDistribution
from ._discrete import open_uniform
from ._discretised_logistic import log_bin_masses
from ._double import in_double
from ._gaussian_cells import has_missing
from ._integer_categorical import IntegerCategorical, pick_level
from ._linear_transform import GivenCells, LinearTransform

MAJORITY = 0.5  # an atom with a higher probability is the point value of its cell
NARROW_LOGISTIC = 1.0  # in steps: below, moments are sums over the grid; above, Sheppard's
GRID_TERMS = 24  # of these sums, on each side: the next ones are below exp(-24)


class CellGroup(BaseDistribution, ABC):
    """Cells of one family, as a distribution with batch shape ``[*batch, n]``.

    Attributes:
        is_discrete: Whether every cell has a probability and not a density.
        scores_missing: Whether that a cell is missing has a probability, which is its score.
    """

    is_discrete: bool = True
    scores_missing: bool = False

    @property
    def point(self) -> Tensor:
        """The value that stands for a cell, ``[*batch, n]``: the mean of numbers."""
        return self.mean

    def conditional_log_prob(self, value: Tensor) -> tuple[Tensor, Tensor]:
        """Score each cell given all others; the same where the cell is drawn again given them."""
        return self.log_prob(value), self.log_prob(self.sample())

    def given(self, value: Tensor) -> CellGroup:
        """The distribution of the cells given those that are not missing in ``value``."""
        return self

    def given_missing(self, value: Tensor) -> CellGroup:
        """As ``given``, and that the cells which are NaN in ``value`` are missing in the data."""
        return self.given(value)

    def without_gaps(self) -> CellGroup:
        """The cells for rows without missing ones, whose sum of scores may take less time."""
        return self

    @abstractmethod
    def contains(self, value: Tensor) -> Tensor:
        """Whether encoded numbers ``[*, n]`` are possible values."""


class WrappedCells(CellGroup, ABC):
    """Cells whose encoded numbers have a known distribution.

    Args:
        base: Distribution of the encoded numbers ``y``, batch shape ``[*batch, n]``.
    """

    def __init__(self, base: Distribution) -> None:
        self.base = base
        super().__init__(base.batch_shape)

    @property
    def mean(self) -> Tensor:
        return self.base.mean

    @property
    def variance(self) -> Tensor:
        return self.base.variance

    def log_prob(self, value: Tensor) -> Tensor:
        return self.base.log_prob(value)

    def sample(self, sample_shape: _size = Size()) -> Tensor:
        return self.base.sample(Size(sample_shape))


class NumberCells(WrappedCells):
    """Numbers with a known distribution of the encoded numbers.

    Args:
        base: Distribution of the encoded numbers ``y``, batch shape ``[*batch, n]``.
        log_unit: ``log |dx/dy|`` of the data ``x``, ``[n]``; ``None`` for probabilities.
        growth: What ``log |dx/dy|`` gains with ``y``, ``[n]``: 0 except for logarithms.
    """

    def __init__(
        self, base: Distribution, log_unit: Tensor | None = None, growth: Tensor | None = None
    ) -> None:
        self.log_unit, self.growth = log_unit, growth
        self.is_discrete = log_unit is None
        super().__init__(base)

    def log_prob(self, value: Tensor) -> Tensor:
        log_prob = super().log_prob(value)
        if self.growth is not None:
            log_prob = log_prob - self.growth * value
        return log_prob if self.log_unit is None else log_prob - self.log_unit

    def contains(self, value: Tensor) -> Tensor:
        support = self.base.support
        return value.isfinite() if support is None else support.check(value) & value.isfinite()


class CorrelatedCells(CellGroup):
    """Numbers that depend on each other: a linear map of independent normal numbers.

    Args:
        rows: Distribution of the encoded numbers, batch shape ``[*batch]``, event shape ``[n]``.
        log_unit: As for ``NumberCells``.
        growth: As for ``NumberCells``.
        complete: Whether no cell is missing. The parts of ``log_prob`` then belong to directions,
            and not to cells, which takes less time; they have the same sum.
    """

    is_discrete = False

    def __init__(
        self, rows: LinearTransform, log_unit: Tensor, growth: Tensor, complete: bool
    ) -> None:
        self.rows, self.log_unit, self.growth, self.complete = rows, log_unit, growth, complete
        super().__init__(rows.batch_shape + rows.event_shape)

    @property
    def mean(self) -> Tensor:
        return self.rows.mean

    @property
    def variance(self) -> Tensor:
        return self.rows.variance

    def without_gaps(self) -> CellGroup:
        return CorrelatedCells(self.rows, self.log_unit, self.growth, complete=True)

    def log_prob(self, value: Tensor) -> Tensor:
        """The log-density of each cell given those before it; missing cells are NaN."""
        each = self.rows.direction_log_prob(value) if self.complete else None
        each = self.rows.cell_log_prob(value) if each is None else each
        return each - self.growth * value - self.log_unit

    def conditional_log_prob(self, value: Tensor) -> tuple[Tensor, Tensor]:
        cells = self.rows.observe(value)
        score = cells.conditional_log_prob - self.growth * value
        usual = cells.expected_log_prob - self.growth * cells.conditional_mean
        return (score - self.log_unit).to(value.dtype), (usual - self.log_unit).to(value.dtype)

    def sample(self, sample_shape: _size = Size()) -> Tensor:
        return self.rows.sample(Size(sample_shape))

    def given(self, value: Tensor) -> CellGroup:
        return GivenNumbers(self.rows.given(value))

    def contains(self, value: Tensor) -> Tensor:
        return value.isfinite()


class GivenNumbers(WrappedCells):
    """Correlated numbers given some of them; draws are joint.

    Args:
        rows: Distribution of the encoded numbers given some of them.
    """

    is_discrete = False

    def __init__(self, rows: GivenCells) -> None:
        self.rows = rows
        super().__init__(rows.cells)

    def sample(self, sample_shape: _size = Size()) -> Tensor:
        return self.rows.sample(Size(sample_shape))

    @property
    def mean(self) -> Tensor:
        return self.rows.mean

    @property
    def variance(self) -> Tensor:
        return self.rows.variance

    def contains(self, value: Tensor) -> Tensor:
        return value.isfinite()


class GridCells(CellGroup):
    """Numbers on a grid without ends: a logistic integrated over bins of one step.

    Args:
        loc: Location ``[*batch, n]``.
        scale: Positive scale ``[*batch, n]``.
        step: Distance between the encoded values, ``[n]``.
        origin: One of the encoded values, ``[n]``.
    """

    def __init__(self, loc: Tensor, scale: Tensor, step: Tensor, origin: Tensor) -> None:
        self.loc, self.scale, self.step, self.origin = loc, scale, step, origin
        super().__init__(loc.shape)

    def log_prob(self, value: Tensor) -> Tensor:
        width = self.step / self.scale
        # the difference of close numbers first: it is exact
        _, _, inner = log_bin_masses((value - self.loc) / self.scale - 0.5 * width, width)
        return inner

    @property
    def mean(self) -> Tensor:
        return in_double(_grid_mean, self.loc, self.scale, self.step, self.origin)

    @property
    def variance(self) -> Tensor:
        return in_double(_grid_variance, self.loc, self.scale, self.step, self.origin)

    def sample(self, sample_shape: _size = Size()) -> Tensor:
        uniform = open_uniform(self._extended_shape(Size(sample_shape)), self.loc)
        with torch.no_grad():
            drawn = self.loc + self.scale * torch.logit(uniform)
            return self.origin + self.step * ((drawn - self.origin) / self.step).round()

    def contains(self, value: Tensor) -> Tensor:
        place = (value - self.origin) / self.step
        rounding = 4 * torch.finfo(torch.float32).eps * (value.abs() + self.origin.abs())
        return (place - place.round()).abs() <= 1e-3 + rounding / self.step


def _grid_moments(
    loc: Tensor, scale: Tensor, step: Tensor, origin: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The nearest value, and the first two moments of the distance from it in steps."""
    centre = ((loc - origin) / step).round()
    away, s = (loc - origin) / step - centre, (scale / step).clamp(max=NARROW_LOGISTIC)
    first, second = torch.zeros_like(away), torch.zeros_like(away)
    for t in range(GRID_TERMS):
        above, below = (torch.sigmoid((side * away - t - 0.5) / s) for side in (1, -1))
        first, second = first + above - below, second + (2 * t + 1) * (above + below)
    return origin + step * centre, first, second


def _grid_mean(loc: Tensor, scale: Tensor, step: Tensor, origin: Tensor) -> Tensor:
    centre, first, _ = _grid_moments(loc, scale, step, origin)
    return torch.where(scale < NARROW_LOGISTIC * step, centre + step * first, loc)


def _grid_variance(loc: Tensor, scale: Tensor, step: Tensor, origin: Tensor) -> Tensor:
    _, first, second = _grid_moments(loc, scale, step, origin)
    wide = (math.pi * scale).square() / 3 + step.square() / 12
    narrow = step.square() * (second - first.square())
    return torch.where(scale < NARROW_LOGISTIC * step, narrow, wide)


class BinaryCells(WrappedCells):
    """Cells with the codes 0 and 1.

    Args:
        logits: Logits of the code 1, ``[*batch, n]``.
    """

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits
        super().__init__(Bernoulli(logits=logits, validate_args=False))

    @property
    def point(self) -> Tensor:
        """The more probable code."""
        return (self.logits > 0).to(self.logits.dtype)

    def contains(self, value: Tensor) -> Tensor:
        return (value == 0) | (value == 1)


class CodeCells(CellGroup):
    """Cells with the codes ``0 ... levels - 1``.

    Args:
        log_probs: Log-probabilities of the codes, ``[*batch, n, most]``; ``-inf`` for those that a
            column does not have.
        levels: Number of levels, ``[n]``.
    """

    def __init__(self, log_probs: Tensor, levels: Tensor) -> None:
        self.log_probs, self.levels = log_probs, levels
        super().__init__(log_probs.shape[:-1])

    @property
    def codes(self) -> IntegerCategorical:
        """The distribution of the codes."""
        return IntegerCategorical(self.log_probs)

    @property
    def mean(self) -> Tensor:
        return self.codes.mean

    @property
    def variance(self) -> Tensor:
        return self.codes.variance

    @property
    def point(self) -> Tensor:
        """The most probable code."""
        return self.log_probs.argmax(-1).to(self.log_probs.dtype)

    def log_prob(self, value: Tensor) -> Tensor:
        return pick_level(self.log_probs, value)

    def sample(self, sample_shape: _size = Size()) -> Tensor:
        return self.codes.sample(Size(sample_shape))

    def contains(self, value: Tensor) -> Tensor:
        return (value >= 0) & (value < self.levels) & (value == value.round())


class SpikyCells(CellGroup):
    """Numbers of which some values, the atoms, have a probability of their own.

    All other numbers lie in bins, which are uniform; the two outermost are open and exponential.
    The categories are the atoms, then the bins.

    Args:
        log_probs: Log-probabilities of the categories, ``[*batch, n, atoms + bins]``; ``-inf`` for
            those that a column does not have.
        atoms: Encoded atoms in ascending order, ``[n, atoms]``, then NaN.
        inner_edges: Encoded edges between bins, ``[n, bins - 1]``, then infinity.
        log_volume: Logarithm of the size of a category, ``[n, atoms + bins]``: 0 for atoms.
        tails: Where the open bins begin and their rates, left and then right, ``[n, 4]``: encoded
            numbers, or ranks on the grid.
        draws: Least value, width and signed scale of the tail of a category, ``[n, atoms + bins,
            3]``: as ``tails``, and encoded numbers for atoms.
        moments: Mean and variance of a category, ``[n, atoms + bins, 2]``, encoded.
        grid: Origin and step of the encoded grid, ``[n, 2]``; ``None`` for real numbers.
    """

    def __init__(
        self,
        log_probs: Tensor,
        atoms: Tensor,
        inner_edges: Tensor,
        log_volume: Tensor,
        tails: Tensor,
        draws: Tensor,
        moments: Tensor,
        grid: Tensor | None,
    ) -> None:
        self.log_probs = log_probs
        self.atoms, self.inner_edges, self.log_volume = atoms, inner_edges, log_volume
        self.tails, self.draws, self.moments, self.grid = tails, draws, moments, grid
        self.is_discrete = grid is not None
        super().__init__(log_probs.shape[:-1])

    @property
    def mean(self) -> Tensor:
        return (self.log_probs.exp() * self.moments[..., 0]).sum(-1)

    @property
    def variance(self) -> Tensor:
        centre, spread = self.moments.unbind(-1)
        away = centre - self.mean.unsqueeze(-1)
        return (self.log_probs.exp() * (spread + away.square())).sum(-1)

    @property
    def point(self) -> Tensor:
        """The mean, or an atom that has more than half of the probability."""
        log_mass, place = self.log_probs[..., : self.atoms.shape[-1]].max(-1)
        atom = self.atoms.expand(*place.shape, -1).gather(-1, place.unsqueeze(-1)).squeeze(-1)
        return torch.where(log_mass > math.log(MAJORITY), atom, self.mean)

    def log_prob(self, value: Tensor) -> Tensor:
        category, volume = self.locate(value)
        return pick_level(self.log_probs, category) - volume

    def locate(self, value: Tensor) -> tuple[Tensor, Tensor]:
        """The category of each value, and the log-volume over which its mass is spread."""
        cell = value.unsqueeze(-1)
        is_atom = cell == self.atoms
        hit, count = is_atom.any(-1), is_atom.shape[-1]
        bins = (cell >= self.inner_edges).sum(-1) + count
        category = torch.where(hit, is_atom.to(torch.uint8).argmax(-1), bins)
        volume = self.log_volume.expand(*category.shape, -1).gather(-1, category.unsqueeze(-1))
        at = value if self.grid is None else self._rank(value)
        left, left_rate, right, right_rate = self.tails.unbind(-1)
        tail = left_rate * (left - at).clamp(min=0) + right_rate * (at - right).clamp(min=0)
        return category, volume.squeeze(-1) + tail.masked_fill(hit, 0.0)

    def _rank(self, value: Tensor) -> Tensor:
        """The place on the grid, counted without the atoms."""
        assert self.grid is not None
        origin, step = self.grid.unbind(-1)
        place = ((value - origin) / step).round()
        return place - (self.atoms < value.unsqueeze(-1)).sum(-1)

    def sample(self, sample_shape: _size = Size()) -> Tensor:
        category = self._sample_category(Size(sample_shape))
        index = category[..., None, None].expand(*category.shape, 1, 3)
        table = self.draws.expand(*category.shape, *self.draws.shape[-2:])
        least, width, tail = table.gather(-2, index).squeeze(-2).unbind(-1)
        u = open_uniform(tuple(category.shape), least)
        if self.grid is None:
            return least + width * u - tail * u.log()
        inside = (width * u).floor().minimum((width - 1).clamp(min=0))
        at = least + inside + tail.sign() * (-tail.abs() * u.log()).floor()
        return torch.where(category < self.atoms.shape[-1], least, self._value(at))

    def _sample_category(self, sample_shape: Size) -> Tensor:
        """Categories by the inverse of their distribution function, one uniform number each."""
        below = self.log_probs.exp().cumsum(-1)
        uniform = open_uniform(self._extended_shape(sample_shape), below) * below[..., -1]
        return (below < uniform.unsqueeze(-1)).sum(-1)

    def _value(self, rank: Tensor) -> Tensor:
        """The encoded number with this place on the grid, counted without the atoms."""
        assert self.grid is not None
        origin, step = self.grid.unbind(-1)
        atom_ranks = ((self.atoms - origin[..., None]) / step[..., None]).round()
        atom_ranks = atom_ranks - torch.arange(self.atoms.shape[-1], device=rank.device)
        return origin + step * (rank + (atom_ranks <= rank.unsqueeze(-1)).sum(-1))

    def contains(self, value: Tensor) -> Tensor:
        if self.grid is None:
            return value.isfinite()
        place = (value - self.grid[..., 0]) / self.grid[..., 1]
        rounding = 4 * torch.finfo(torch.float32).eps * place.abs()
        return (place - place.round()).abs() <= 1e-3 + rounding


class EncodedCells(constraints.Constraint):
    """Possible encoded values of each cell, or NaN.

    Args:
        groups: The cells by family.
        order: The column of each cell of the groups, ``[D]``.
    """

    def __init__(self, groups: Sequence[CellGroup], order: Tensor) -> None:
        self.groups, self.order = list(groups), order
        self.is_discrete = all(group.is_discrete for group in groups)
        super().__init__()

    def check(self, value: Tensor) -> Tensor:
        parts = split_columns(value, self.groups, self.order)
        inside = [group.contains(part) for group, part in zip(self.groups, parts, strict=True)]
        joined = inside[0] if len(inside) == 1 else torch.cat(inside, -1)
        return joined[..., self.order.argsort()] | value.isnan()


def split_columns(value: Tensor, groups: Sequence[CellGroup], order: Tensor) -> list[Tensor]:
    """The encoded rows ``[*, D]`` as one tensor ``[*, n]`` per group."""
    sizes = [group.batch_shape[-1] for group in groups]
    return list(value.index_select(-1, order).split(sizes, -1))


class ColumnsDistribution(BaseDistribution):
    """Rows ``[*batch, D]`` of encoded cells, independent and of different families.

    Missing cells (NaN) add exactly 0 to ``log_prob``, which is then the density of the others;
    except in groups that score them. Draws and moments are those of complete rows. ``mean`` holds
    the point value of each cell: the mean of a number, the mode of a category, and an atom with
    more than half of the probability; ``expectation`` is the mean of the encoded number for every
    cell.

    Args:
        groups: The cells by family.
        order: The column of each cell of the groups, ``[D]``.
        fill: A possible value of each cell of the groups, ``[D]``, for missing cells.

    Example:
        >>> binary = BinaryCells(torch.zeros(5, 2))
        >>> p = ColumnsDistribution([binary], torch.tensor([1, 0]), torch.zeros(2))
        >>> x = torch.tensor([1.0, torch.nan])
        >>> p.cell_log_prob(x)[0], p.log_prob(x)[0]
        (tensor([-0.6931,  0.0000]), tensor(-0.6931))
    """

    def __init__(self, groups: Sequence[CellGroup], order: Tensor, fill: Tensor) -> None:
        self.groups, self.order, self.fill = list(groups), order, fill
        super().__init__(self.groups[0].batch_shape[:-1], Size((len(order),)))

    @property
    def cells(self) -> ColumnCells:
        """The distribution of each cell, batch shape ``[*batch, D]``."""
        return ColumnCells(self)

    @property
    def support(self) -> constraints.Constraint:
        return constraints.independent(EncodedCells(self.groups, self.order), 1)

    @property
    def mean(self) -> Tensor:
        return self._in_order([group.point for group in self.groups])

    @property
    def expectation(self) -> Tensor:
        """The mean of the encoded number of each cell, ``[*batch, D]``."""
        return self._in_order([group.mean for group in self.groups])

    @property
    def variance(self) -> Tensor:
        return self._in_order([group.variance for group in self.groups])

    def log_prob(self, value: Tensor) -> Tensor:
        groups = (
            self.groups if has_missing(value) else [each.without_gaps() for each in self.groups]
        )
        return ColumnsDistribution(groups, self.order, self.fill)._grouped_log_prob(value).sum(-1)

    def cell_log_prob(self, value: Tensor) -> Tensor:
        """The log-density of each cell in the units of the data; 0 where it is missing.

        Args:
            value: Encoded rows ``[*batch, D]``.

        Returns:
            ``[*batch, D]``.
        """
        return self._ungroup(self._grouped_log_prob(value))

    def conditional_log_prob(self, value: Tensor) -> tuple[Tensor, Tensor]:
        """Score each cell given all others; the same where the cell is drawn again given them.

        Args:
            value: Encoded rows ``[*batch, D]``.

        Returns:
            ``[*batch, D]`` each; 0 for missing cells.
        """
        parts = zip(self.groups, self._filled_parts(value), strict=True)
        found = [group.conditional_log_prob(part) for group, part in parts]
        missing = value.isnan()
        score, usual = (self._in_order(each) for each in zip(*found, strict=True))
        return score.masked_fill(missing, 0.0), usual.masked_fill(missing, 0.0)

    def given(self, value: Tensor) -> ColumnsDistribution:
        """The distribution given the cells that are not missing in ``value``."""
        parts = zip(self.groups, split_columns(value, self.groups, self.order), strict=True)
        groups = [group.given(part) for group, part in parts]
        return ColumnsDistribution(groups, self.order, self.fill)

    def given_missing(self, value: Tensor) -> ColumnsDistribution:
        """As ``given``, and that the cells which are NaN in ``value`` are missing in the data."""
        parts = zip(self.groups, split_columns(value, self.groups, self.order), strict=True)
        groups = [group.given_missing(part) for group, part in parts]
        return ColumnsDistribution(groups, self.order, self.fill)

    def sample(self, sample_shape: _size = Size()) -> Tensor:
        return self._in_order([group.sample(Size(sample_shape)) for group in self.groups])

    def _grouped_log_prob(self, value: Tensor) -> Tensor:
        pairs = zip(self.groups, self._filled_parts(value), strict=True)
        missing = value.index_select(-1, self.order).isnan()
        if any(group.scores_missing for group in self.groups):
            scored = [
                torch.full(group.batch_shape[-1:], group.scores_missing) for group in self.groups
            ]
            missing = missing & ~torch.cat(scored).to(missing.device)
        return torch.cat([group.log_prob(part) for group, part in pairs], -1).masked_fill(
            missing, 0.0
        )

    def _filled_parts(self, value: Tensor) -> Sequence[Tensor]:
        """The cells of each group, with a possible value in those that are missing."""
        cells = value.index_select(-1, self.order)
        return torch.where(cells.isnan(), self.fill, cells).split(
            [group.batch_shape[-1] for group in self.groups], -1
        )

    def _in_order(self, values: Sequence[Tensor]) -> Tensor:
        return self._ungroup(torch.cat(list(values), -1))

    def _ungroup(self, values: Tensor) -> Tensor:
        return values.index_select(-1, self.order.argsort())


class ColumnCells(BaseDistribution):
    """The cells of a ``ColumnsDistribution``, each on its own.

    Args:
        rows: The distribution of the rows.
    """

    def __init__(self, rows: ColumnsDistribution) -> None:
        self.rows = rows
        super().__init__(rows.batch_shape + rows.event_shape)

    @property
    def support(self) -> constraints.Constraint:
        return EncodedCells(self.rows.groups, self.rows.order)

    @property
    def mean(self) -> Tensor:
        return self.rows.mean

    @property
    def variance(self) -> Tensor:
        return self.rows.variance

    def log_prob(self, value: Tensor) -> Tensor:
        return self.rows.cell_log_prob(value)

    def sample(self, sample_shape: _size = Size()) -> Tensor:
        return self.rows.sample(Size(sample_shape))
