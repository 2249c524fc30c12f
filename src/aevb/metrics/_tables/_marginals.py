"""Distances of the columns of two tables, one by one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ...data import Schema
from ...networks import Column
from ...networks._column import ColumnKind, atom_cells
from ._cells import encoded_cells

DistanceName = Literal["kolmogorov_smirnov", "total_variation"]


@dataclass(frozen=True)
class ColumnMarginal:
    """How far two sets of cells of a column are apart.

    Args:
        name: The name of the column.
        kind: What the column holds.
        statistic: Which distance is used: of Kolmogorov and Smirnov for numbers, total variation
            for categories and ordinal numbers.
        distance: The distance, from 0 (equal) to 1; ``None`` where a set has no cell.
        atoms: For a spiky column the total variation of its repeated values, with all others as one
            value; otherwise ``None``.
        missing_real: Share of missing cells in the real rows.
        missing_synthetic: Share of missing cells in the synthetic rows.
    """

    name: str
    kind: ColumnKind
    statistic: DistanceName
    distance: float | None
    atoms: float | None
    missing_real: float
    missing_synthetic: float

    @property
    def largest(self) -> float:
        """The larger one of the distances; -1 where there is none."""
        return max(-1.0 if each is None else each for each in (self.distance, self.atoms))


@dataclass(frozen=True)
class MarginalComparison:
    """Distances of the columns of two tables.

    Args:
        columns: One record for each modelled column, in the order of the schema.
        n_real: Number of real rows.
        n_synthetic: Number of synthetic rows.
    """

    columns: tuple[ColumnMarginal, ...]
    n_real: int
    n_synthetic: int

    @property
    def worst_first(self) -> tuple[ColumnMarginal, ...]:
        """The columns in falling order of their distance."""
        return tuple(sorted(self.columns, key=lambda column: -column.largest))

    @property
    def mean_distance(self) -> float | None:
        """The mean over columns; ``None`` without any distance."""
        known = [each.distance for each in self.columns if each.distance is not None]
        return sum(known) / len(known) if known else None


def compare_marginals(real: Any, synthetic: Any, schema: Schema) -> MarginalComparison:
    """Compare the columns of two tables, one by one.

    Numbers and dates: the largest difference of the distribution functions (Kolmogorov-Smirnov
    distance). Binary, categorical and ordinal columns: half the sum of the differences of the
    shares (total variation distance). Missing cells do not count; their shares are compared.

    Args:
        real: A data frame, or cells ``[N, D]`` that the schema has encoded.
        synthetic: Another one, ``[M, D]``.
        schema: The schema of both.

    Returns:
        The distances.

    Raises:
        DataError: There are fewer than 2 rows, or other columns than those of the schema.

    Example:
        >>> schema = Schema((Column("sex", "binary", "bernoulli", levels=("f", "m")),), 100)
        >>> found = compare_marginals([[0], [0], [1], [1]], [[0], [1], [1], [1]], schema)
        >>> found.columns[0].distance
        0.25
    """
    a, b = encoded_cells("real", real, schema), encoded_cells("synthetic", synthetic, schema)
    columns = schema.modelled
    distances = np.full(len(columns), np.nan)
    has_levels = np.array([column.n_levels > 0 for column in columns])
    numbers, levels = np.flatnonzero(~has_levels), np.flatnonzero(has_levels)
    distances[numbers] = kolmogorov_smirnov_distances(a[:, numbers], b[:, numbers])
    for place in levels:
        distances[place] = total_variation(a[:, place], b[:, place], columns[place].n_levels)
    missing = [np.isnan(cells).mean(0) for cells in (a, b)]
    return MarginalComparison(
        tuple(
            ColumnMarginal(
                column.name,
                column.kind,
                "total_variation" if has_levels[place] else "kolmogorov_smirnov",
                _known(distances[place]),
                _atom_distance(column, a[:, place], b[:, place]),
                *(float(shares[place]) for shares in missing),
            )
            for place, column in enumerate(columns)
        ),
        len(a),
        len(b),
    )


def kolmogorov_smirnov_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The largest difference of the distribution functions of each column ``[N, K]``, ``[M, K]``.

    NaN does not count; a column without other cells has the distance NaN.
    """
    values = np.concatenate([a, b]).T.copy()  # one column after the other in memory
    weights = np.concatenate([_weights(a), -_weights(b)]).T
    order = np.argsort(values, axis=1)  # NaN comes last
    values, weights = (np.take_along_axis(each, order, 1) for each in (values, weights))
    last = np.ones_like(values, dtype=bool)  # of equal values
    last[:, :-1] = values[:, 1:] != values[:, :-1]
    apart = np.abs(np.cumsum(weights, 1))
    found = np.where(last & ~np.isnan(values), apart, 0.0).max(1, initial=0.0)
    empty = np.isnan(a).all(0) | np.isnan(b).all(0)
    return np.where(empty, np.nan, found)


def _weights(cells: np.ndarray) -> np.ndarray:
    """The weight of each cell in the distribution function of its column, 0 for NaN."""
    known = ~np.isnan(cells)
    return known / np.maximum(known.sum(0), 1)


def total_variation(a: np.ndarray, b: np.ndarray, n_levels: int) -> float:
    """Half the sum of the differences of the shares of codes ``[N]`` and ``[M]``; NaN is left out.

    NaN is also the result where a set has no code.
    """
    shares = [_level_shares(codes, n_levels) for codes in (a, b)]
    return float(0.5 * np.abs(shares[0] - shares[1]).sum())


def _level_shares(codes: np.ndarray, n_levels: int) -> np.ndarray:
    """The share of each level; NaN without any code."""
    known = codes[~np.isnan(codes)].astype(np.int64)
    if not len(known):
        return np.full(n_levels, np.nan)
    return np.bincount(known, minlength=n_levels) / len(known)


def _atom_distance(column: Column, a: np.ndarray, b: np.ndarray) -> float | None:
    """Total variation of the atoms of a spiky column, with the other cells as one level."""
    if not column.atoms:
        return None
    atoms = atom_cells(column)
    return _known(total_variation(_atom_codes(a, atoms), _atom_codes(b, atoms), len(atoms) + 1))


def _atom_codes(cells: np.ndarray, atoms: np.ndarray) -> np.ndarray:
    """The place of each cell among ascending atoms; their number for other cells, NaN for NaN."""
    places = np.searchsorted(atoms, cells).clip(max=len(atoms) - 1)
    codes = np.where(atoms[places] == cells, places, len(atoms)).astype(np.float64)
    return np.where(np.isnan(cells), np.nan, codes)


def _known(value: float) -> float | None:
    """A number, ``None`` for NaN."""
    return None if np.isnan(value) else float(value)
