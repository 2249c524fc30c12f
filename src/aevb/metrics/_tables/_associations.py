"""Associations between the columns of a table, whatever they hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ...data import Schema
from ...networks import Column
from ._cells import CATEGORIES, encoded_cells, level_indicators

MAX_COLUMNS = 100
"""Most columns whose associations are computed."""

MAX_LEVELS = 40
"""Most levels of a column; the rarest ones count as one."""

N_LARGEST = 10
"""Differences that are named."""

AssociationName = Literal["spearman", "cramers_v", "correlation_ratio"]


@dataclass(frozen=True)
class AssociationDifference:
    """The association of two columns in two tables.

    Args:
        columns: The names of the columns.
        statistic: Which association it is.
        real: Its value in the real rows.
        synthetic: Its value in the synthetic rows.
    """

    columns: tuple[str, str]
    statistic: AssociationName
    real: float
    synthetic: float

    @property
    def difference(self) -> float:
        """The value of the synthetic rows minus that of the real rows."""
        return self.synthetic - self.real


@dataclass(frozen=True, eq=False)
class AssociationComparison:
    """The associations between the columns of two tables.

    Args:
        names: The names of the columns, in the order of the schema.
        real: Associations in the real rows, float64 ``[K, K]``; NaN where they are not defined.
        synthetic: Associations in the synthetic rows.
        largest: The pairs with the largest differences, the largest first.
        mean_difference: The mean of the absolute differences over pairs of columns; ``None``
            without such a pair.
        n_left_out: Number of further columns, which were left out.
    """

    names: tuple[str, ...]
    real: np.ndarray
    synthetic: np.ndarray
    largest: tuple[AssociationDifference, ...]
    mean_difference: float | None
    n_left_out: int = 0

    @property
    def difference(self) -> np.ndarray:
        """The synthetic associations minus the real ones."""
        return self.synthetic - self.real


def compare_associations(real: Any, synthetic: Any, schema: Schema) -> AssociationComparison:
    """Compare the associations between columns in two tables.

    Two columns of numbers, dates or ordered values: Spearman's rank correlation, from -1 to 1. Two
    columns of categories: Cramer's V with the correction of its bias, from 0 to 1 (Bergsma, A
    bias-correction for Cramer's V and Tschuprow's T, 2013). A column of either kind: the
    correlation ratio of ranks with the correction of its bias, from 0 to 1 (Kelley, An unbiased
    correlation ratio measure, 1935). Each pair has the rows in which both cells are
    observed, and ranks among the observed cells of their column. The first 100 columns are used,
    and the rarest of more than 40 levels are one level.

    Args:
        real: A data frame, or cells ``[N, D]`` that the schema has encoded.
        synthetic: Another one, ``[M, D]``.
        schema: The schema of both.

    Returns:
        Both matrices, and the pairs that differ most.

    Raises:
        DataError: There are fewer than 2 rows, or other columns than those of the schema.

    Example:
        >>> numbers = [Column(name, "continuous", "normal") for name in "ab"]
        >>> rows = [[1.0, 2.0], [2.0, 5.0], [3.0, 9.0]]
        >>> other = [[1.0, 3.0], [2.0, 2.0], [3.0, 1.0]]
        >>> found = compare_associations(rows, other, Schema(tuple(numbers), 3))
        >>> found.largest[0].real, found.largest[0].synthetic
        (1.0, -1.0)
    """
    cells = [encoded_cells("real", real, schema), encoded_cells("synthetic", synthetic, schema)]
    columns = schema.modelled[:MAX_COLUMNS]
    pooled = _pool_rare_levels([each[:, : len(columns)] for each in cells], columns)
    a, b = (association_matrix(each, columns) for each in pooled)
    first, second = np.triu_indices(len(columns), 1)
    apart = np.abs(b - a)[first, second]
    known = np.flatnonzero(~np.isnan(apart))
    order = known[np.argsort(-apart[known], kind="stable")][:N_LARGEST]
    largest = tuple(
        AssociationDifference(
            (columns[i].name, columns[j].name),
            _statistic(columns[i], columns[j]),
            float(a[i, j]),
            float(b[i, j]),
        )
        for i, j in zip(first[order].tolist(), second[order].tolist(), strict=True)
    )
    return AssociationComparison(
        tuple(column.name for column in columns),
        a,
        b,
        largest,
        float(apart[known].mean()) if len(known) else None,
        len(schema.modelled) - len(columns),
    )


def association_matrix(cells: np.ndarray, columns: tuple[Column, ...]) -> np.ndarray:
    """The associations ``[K, K]`` of encoded cells ``[N, K]``; 1 on the diagonal.

    Example:
        >>> names = tuple(Column(name, "binary", "bernoulli", levels=(0, 1)) for name in "ab")
        >>> association_matrix(np.array([[0.0, 0.0], [1.0, 1.0]] * 50), names).round(12).tolist()
        [[1.0, 1.0], [1.0, 1.0]]
    """
    is_category = np.array([_is_category(column) for column in columns])
    numbers, names = np.flatnonzero(~is_category), np.flatnonzero(is_category)
    codes = cells[:, names]
    counts = [int(np.nanmax(each, initial=0.0)) + 1 for each in codes.T]
    levels, starts = level_indicators(codes, counts)
    ranks = _centred_ranks(cells[:, numbers])
    found = np.full((len(columns), len(columns)), np.nan)
    if len(numbers):
        found[np.ix_(numbers, numbers)] = _rank_correlations(ranks)
    if len(names):
        found[np.ix_(names, names)] = _cramers_v(levels, starts, ~np.isnan(codes))
    if len(numbers) and len(names):
        ratios = _correlation_ratios(levels, starts, ~np.isnan(codes), ranks)
        found[np.ix_(names, numbers)], found[np.ix_(numbers, names)] = ratios, ratios.T
    np.fill_diagonal(found, 1.0)
    return found


def _is_category(column: Column) -> bool:
    """Whether the codes of a column have no order."""
    return column.likelihood in CATEGORIES


def _statistic(first: Column, second: Column) -> AssociationName:
    """Which association two columns have."""
    names = _is_category(first) + _is_category(second)
    return ("spearman", "correlation_ratio", "cramers_v")[names]


def _pool_rare_levels(tables: list[np.ndarray], columns: tuple[Column, ...]) -> list[np.ndarray]:
    """The cells, where levels beyond the commonest of the first table have one common code."""
    tables = [table.astype(np.float64) for table in tables]
    for place, column in enumerate(columns):
        if _is_category(column) and column.n_levels > MAX_LEVELS:
            codes = tables[0][:, place]
            counts = np.bincount(codes[~np.isnan(codes)].astype(int), minlength=column.n_levels)
            new = np.full(column.n_levels, float(MAX_LEVELS - 1))
            new[np.argsort(-counts, kind="stable")[: MAX_LEVELS - 1]] = np.arange(MAX_LEVELS - 1)
            for table in tables:
                known = ~np.isnan(table[:, place])
                table[known, place] = new[table[known, place].astype(int)]
    return tables


def _centred_ranks(cells: np.ndarray) -> np.ndarray:
    """Ranks of the observed cells of each column about their mean, averaged over equal values."""
    ranks = np.full(cells.shape, np.nan)
    for place, values in enumerate(cells.T):
        known = ~np.isnan(values)
        _, places, counts = np.unique(values[known], return_inverse=True, return_counts=True)
        middles = np.cumsum(counts) - 0.5 * (counts + 1)
        ranks[known, place] = middles[places] - 0.5 * (known.sum() - 1)
    return ranks


def _rank_correlations(ranks: np.ndarray) -> np.ndarray:
    """Correlations of each pair of columns over the rows in which both are known."""
    known = (~np.isnan(ranks)).astype(np.float64)
    values = np.nan_to_num(ranks)
    n, sums, squares = known.T @ known, values.T @ known, (values**2).T @ known
    with np.errstate(divide="ignore", invalid="ignore"):
        covariance = values.T @ values - sums * sums.T / n
        spread = squares - sums**2 / n
        spread[spread <= 1e-12 * squares] = np.nan  # constant over these rows
        return (covariance / np.sqrt(spread * spread.T)).clip(-1.0, 1.0)


def _cramers_v(levels: np.ndarray, starts: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Bias-corrected Cramer's V ``[K, K]`` from the indicators of the levels of K columns."""
    together = _blocked_product(levels, levels)  # a contingency table for each pair
    rows = _blocked_product(levels, known.astype(np.float32))  # [L, K]: its margins
    n = known.T.astype(np.float64) @ known
    group = np.repeat(np.arange(len(starts)), np.diff([*starts, levels.shape[1]]))
    with np.errstate(divide="ignore", invalid="ignore"):
        margins = rows[:, group]
        terms = np.where(together > 0, together**2 / (margins * margins.T), 0.0)
        phi = np.add.reduceat(np.add.reduceat(terms, starts, 0), starts, 1) - 1.0
        used = np.add.reduceat((rows > 0).astype(np.float64), starts, 0)  # levels that occur
        excess = (used - 1) * (used.T - 1) / (n - 1)
        size = used - (used - 1) ** 2 / (n - 1)
        least = np.minimum(size, size.T) - 1
        found = np.sqrt((phi - excess).clip(min=0.0) / np.where(least > 0, least, np.nan))
    return found.clip(max=1.0)


def _correlation_ratios(
    levels: np.ndarray, starts: np.ndarray, known_names: np.ndarray, values: np.ndarray
) -> np.ndarray:
    """Roots of the share of the variance of numbers that the levels explain, ``[names, numbers]``.

    Levels explain ``(L - 1) / (n - 1)`` by chance, which is taken off.

    Args:
        levels: Indicators of the levels, ``[N, L]``.
        starts: The first level of each column.
        known_names: Which codes are known, ``[N, names]``.
        values: Numbers ``[N, numbers]``, NaN where they are unknown.
    """
    known = (~np.isnan(values)).astype(np.float64)
    filled, names = np.nan_to_num(values), known_names.astype(np.float64)
    sums, counts = levels.T @ filled, levels.T @ known
    n, total, squares = names.T @ known, names.T @ filled, names.T @ filled**2
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = np.where(counts > 0, sums**2 / counts, 0.0)
        within = total**2 / n
        spread = squares - within
        spread[spread <= 1e-12 * squares] = np.nan
        between = np.add.reduceat(parts, starts, 0) - within
        used = np.add.reduceat(counts > 0, starts, 0, dtype=np.int64)
        ratios = 1 - (1 - between / spread) * (n - 1) / (n - used)
    return np.where(used > 1, np.sqrt(ratios.clip(0.0, 1.0)), np.nan)


def _blocked_product(a: np.ndarray, b: np.ndarray, block: int = 4096) -> np.ndarray:
    """``a^T b`` in float64 of float32 indicators: each block of rows is exact in float32."""
    total = np.zeros((a.shape[1], b.shape[1]))
    for start in range(0, len(a), block):
        total += a[start : start + block].T @ b[start : start + block]
    return total
