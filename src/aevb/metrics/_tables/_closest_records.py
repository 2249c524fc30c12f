"""Distances of synthetic rows to the training rows, and exact copies of these."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..._memory import default_block_size
from ...data import Rows, Schema
from ...data._fingerprints import find_duplicates
from ...networks import Column
from .._intervals import JACKKNIFE_GROUPS, Interval, jackknife, proportion_interval
from ._cells import CATEGORIES, encoded_cells, level_indicators, random_cells

MAX_ROWS = 5000
"""Most rows of a set whose distances are computed."""

MAX_OPERATIONS = 1e9
"""Most differences of cells; wide tables use fewer rows."""


@dataclass(frozen=True)
class DistanceQuantiles:
    """Quantiles of the distances to the closest training row.

    Args:
        low: A twentieth of the rows is closer.
        median: Half of the rows are closer.
    """

    low: float
    median: float


@dataclass(frozen=True)
class ClosestRecords:
    """How close synthetic rows are to training rows, compared with held-out rows.

    Args:
        synthetic: Distances of synthetic rows to the closest training row.
        held_out: The same of held-out rows: what rows of the same source have that no model saw.
        closer_to_training: Share of synthetic rows that are closer to one of as many training rows
            than to any held-out row; 1/2 without memory. The jackknife leaves out rows of all three
            sets.
        copies: Share of synthetic rows that equal a training row in every modelled cell.
        duplicates: The same share of held-out rows.
        n_train: Number of training rows whose distances were computed.
        n_held_out: Number of held-out rows.
        n_synthetic: Number of synthetic rows.
    """

    synthetic: DistanceQuantiles
    held_out: DistanceQuantiles
    closer_to_training: Interval
    copies: Interval
    duplicates: Interval
    n_train: int
    n_held_out: int
    n_synthetic: int


def closest_records(
    synthetic: Any,
    train: Any,
    held_out: Any,
    schema: Schema,
    *,
    max_rows: int = MAX_ROWS,
    seed: int = 0,
) -> ClosestRecords:
    """Measure whether synthetic rows are closer to the training rows than unseen rows are.

    The distance of two rows is the mean over columns of Gower's coefficients: for numbers and
    ordered values the difference of the encoded cells over their range in the training rows, at
    most 1; for categories 0 or 1. A missing cell is a category of its own, and in a column of
    numbers half the range and more away: half, and the distance from the middle of the range. Gower
    (1971).

    Copies are searched among all rows, distances computed for at most ``max_rows`` rows of a set.

    Args:
        synthetic: A data frame, or cells ``[M, D]`` that the schema has encoded.
        train: The training rows.
        held_out: Rows of the same source that were not used for training.
        schema: The schema of all.
        max_rows: Most rows of a set, chosen at random; fewer for wide tables.
        seed: Seed of the choice.

    Returns:
        Distances and copies.

    Raises:
        DataError: There are fewer than 2 rows, or other columns than those of the schema.

    Example:
        >>> schema = Schema((Column("x", "continuous", "normal"),), 4)
        >>> found = closest_records([[0.0], [3.0]], [[0.0], [10.0]], [[1.0], [2.0]], schema)
        >>> found.synthetic.median, found.held_out.median, found.copies.value
        (0.15, 0.15, 0.5)
    """
    tables = [
        encoded_cells(name, rows, schema)
        for name, rows in (("synthetic", synthetic), ("train", train), ("held_out", held_out))
    ]
    new, known, unseen = (Rows.from_array(table) for table in tables)
    most = _rows_that_fit(max_rows, schema)
    drawn, seen, other = used = [random_cells(table, most, seed) for table in tables]
    features = _GowerFeatures(schema.modelled, tables[1], np.concatenate(used))
    of_new, of_seen, of_other = (features(table) for table in used)
    return ClosestRecords(
        _quantiles(of_new.closest(of_seen)),
        _quantiles(of_other.closest(of_seen)),
        _closer_to_training(of_new, of_seen, of_other),
        proportion_interval(find_duplicates(new, known)),
        proportion_interval(find_duplicates(unseen, known)),
        len(seen),
        len(other),
        len(drawn),
    )


def _rows_that_fit(max_rows: int, schema: Schema) -> int:
    """At most ``max_rows`` rows, fewer for many columns."""
    return max(2, min(max_rows, int((MAX_OPERATIONS / len(schema.modelled)) ** 0.5)))


def _closer_to_training(new: _Gower, seen: _Gower, other: _Gower) -> Interval:
    """The share of rows that are closer to training rows than to as many held-out rows."""
    size = min(len(seen.levels), len(other.levels), len(new.levels))
    groups = min(JACKKNIFE_GROUPS, size // 2)
    size = min(len(seen.levels), len(other.levels))
    near, far = (new.closest_of_groups(each.first(size), max(groups, 1)) for each in (seen, other))
    value = _share_closer(near, far)
    if groups < 2:
        return Interval(value, -math.inf, math.inf, "too few rows")
    without = []
    for group in range(groups):
        kept = torch.arange(groups) != group
        rows = torch.arange(len(near)) % groups != group
        without.append(_share_closer(near[rows][:, kept], far[rows][:, kept]))
    return jackknife(value, torch.tensor(without, dtype=torch.float64), (0.0, 1.0)).plug_in


def _share_closer(near: Tensor, far: Tensor) -> float:
    """How often the least distance ``[N, groups]`` is smaller than another one; ties count half."""
    a, b = near.amin(1), far.amin(1)
    return ((a < b).double() + 0.5 * (a == b).double()).mean().item()


@dataclass(frozen=True)
class _Gower:
    """Rows as features with which Gower's coefficients are fast to add up.

    Args:
        numbers: Numbers over their ranges and over the number of columns, ``[N, a]``: their
            absolute differences add up.
        levels: Indicators of the levels of categories, ``[N, L]``: their products count agreements.
        n_names: Number of columns of categories.
        n_columns: Number of columns.
    """

    numbers: Tensor
    levels: Tensor
    n_names: int
    n_columns: int

    def first(self, size: int) -> _Gower:
        """The first rows."""
        return replace(self, numbers=self.numbers[:size], levels=self.levels[:size])

    def closest(self, reference: _Gower) -> Tensor:
        """The distance ``[N]`` of each row to the closest one of another table."""
        return self.closest_of_groups(reference, 1)[:, 0]

    def closest_of_groups(self, reference: _Gower, groups: int) -> Tensor:
        """The same within every ``groups``-th row of a table, ``[N, groups]``."""
        block = default_block_size(len(reference.levels))
        parts = zip(self.numbers.split(block), self.levels.split(block), strict=True)
        found = []
        for numbers, levels in parts:
            distances = torch.cdist(numbers, reference.numbers, p=1.0)
            distances += (self.n_names - levels @ reference.levels.T) / self.n_columns
            nearest = [distances[:, group::groups].amin(1) for group in range(groups)]
            found.append(torch.stack(nearest, 1))
        return torch.cat(found)


class _GowerFeatures:
    """Makes the features of encoded cells.

    Args:
        columns: The columns of the cells.
        train: Encoded cells ``[N, D]`` from which the ranges are computed.
        used: The cells whose features are asked for, ``[M, D]``.
    """

    def __init__(self, columns: tuple[Column, ...], train: np.ndarray, used: np.ndarray) -> None:
        self.size = len(columns)
        is_category = np.array([column.likelihood in CATEGORIES for column in columns])
        self.numbers, self.names = np.flatnonzero(~is_category), np.flatnonzero(is_category)
        self.counts = [columns[place].n_levels + 1 for place in self.names]
        cells = train[:, self.numbers].astype(np.float64)
        low = np.where(np.isnan(cells), np.inf, cells).min(0, initial=np.inf)
        high = np.where(np.isnan(cells), -np.inf, cells).max(0, initial=-np.inf)
        self.low = np.where(np.isfinite(low), low, 0.0)
        self.span = np.where(high > low, high - low, 1.0)
        self.has_holes = np.isnan(used[:, self.numbers]).any(0)

    def __call__(self, cells: np.ndarray) -> _Gower:
        """The features of encoded cells."""
        numbers = ((cells[:, self.numbers] - self.low) / self.span).clip(0.0, 1.0)
        missing = np.isnan(numbers)
        numbers = np.concatenate(
            [np.where(missing, 0.5, numbers), 0.5 * missing[:, self.has_holes]], 1
        )
        codes = cells[:, self.names]
        codes = np.where(np.isnan(codes), np.array(self.counts) - 1.0, codes)
        levels, _ = level_indicators(codes, self.counts)
        return _Gower(
            torch.from_numpy((numbers / self.size).astype(np.float32)),
            torch.from_numpy(levels),
            len(self.names),
            self.size,
        )


def _quantiles(distances: Tensor) -> DistanceQuantiles:
    """The quantiles that are reported; float32 has no more than six digits."""
    low, median = distances.double().quantile(torch.tensor([0.05, 0.5], dtype=torch.float64))
    return DistanceQuantiles(round(low.item(), 6), round(median.item(), 6))
