"""Associations equal those of scipy and of loops over contingency tables."""

import math

import numpy
import pytest
import scipy.stats

from aevb import metrics
from aevb.data import Schema
from aevb.metrics._tables import _associations
from aevb.networks import Column

COLUMNS = (
    Column("x", "continuous", "normal"),
    Column("c", "categorical", "categorical", levels=("a", "b", "c", "never")),
    Column("y", "ordinal", "ordinal", levels=(1, 2, 3)),
    Column("s", "binary", "bernoulli", levels=("f", "m")),
)


def make_table(rows, seed, holes=0.0):
    rng = numpy.random.default_rng(seed)
    y, s = rng.integers(0, 3, rows), rng.integers(0, 2, rows)
    c = numpy.where(rng.random(rows) < 0.5, s, rng.integers(0, 3, rows))
    table = numpy.stack([y + rng.normal(size=rows), c, y, s], 1)
    table[rng.random(table.shape) < holes] = math.nan
    return table


def bergsma(a, b):
    table = numpy.array([[numpy.sum((a == i) & (b == j)) for j in set(b)] for i in set(a)])
    n, (r, k) = table.sum(), table.shape
    phi = scipy.stats.chi2_contingency(table, correction=False).statistic / n
    corrected = max(0.0, phi - (k - 1) * (r - 1) / (n - 1))
    sizes = [size - (size - 1) ** 2 / (n - 1) for size in (r, k)]
    return math.sqrt(corrected / (min(sizes) - 1))


def unbiased_root(squared, rows, levels):
    return math.sqrt(max(0.0, 1 - (1 - squared) * (rows - 1) / (rows - levels)))


def correlation_ratio(codes, values):
    """The statistic of Kruskal and Wallis over the number of rows less 1 is its square."""
    groups = [values[codes == code] for code in set(codes)]
    squared = scipy.stats.kruskal(*groups).statistic / (len(values) - 1)
    return unbiased_root(squared, len(values), len(groups))


def test_each_pair_has_the_association_of_its_kinds():
    table = make_table(150, 1)
    x, c, y, s = table.T
    matrix = _associations.association_matrix(table, COLUMNS)
    assert matrix[0, 2] == pytest.approx(scipy.stats.spearmanr(x, y).statistic)
    assert matrix[1, 3] == pytest.approx(bergsma(c, s)) and 0.2 < matrix[1, 3] < 0.9
    for code, name in ((1, c), (3, s)):
        for number, values in ((0, x), (2, y)):
            expected = correlation_ratio(name, values)
            assert matrix[code, number] == pytest.approx(expected)
    assert (matrix == matrix.T).all() and (numpy.diag(matrix) == 1).all()


def test_missing_cells_leave_the_rows_in_which_both_are_observed():
    table = make_table(150, 2, holes=0.2)
    x, c, y, s = table.T
    matrix = _associations.association_matrix(table, COLUMNS)
    both = ~numpy.isnan(c) & ~numpy.isnan(s)
    assert matrix[1, 3] == pytest.approx(bergsma(c[both], s[both]))
    both = ~numpy.isnan(x) & ~numpy.isnan(y)
    ranks = (scipy.stats.rankdata(each, nan_policy="omit")[both] for each in (x, y))
    assert matrix[0, 2] == pytest.approx(numpy.corrcoef(*ranks)[0, 1])
    both = ~numpy.isnan(c) & ~numpy.isnan(x)
    ranks = scipy.stats.rankdata(x, nan_policy="omit")[both]
    means = numpy.array([ranks[c[both] == code].mean() for code in c[both]])
    assert matrix[0, 1] == pytest.approx(unbiased_root(means.var() / ranks.var(), both.sum(), 3))


def test_constant_columns_have_no_association():
    table = make_table(40, 3)
    table[:, 0], table[:, 3] = 5.0, 1.0
    matrix = _associations.association_matrix(table, COLUMNS)
    off_diagonal = ~numpy.eye(4, dtype=bool)
    assert numpy.isnan(matrix[[0, 3]][off_diagonal[[0, 3]]]).all()
    assert not math.isnan(matrix[1, 2])


def test_the_largest_differences_are_named():
    real, synthetic = make_table(300, 4), make_table(300, 5)
    synthetic[:, 1] = numpy.random.default_rng(6).permutation(synthetic[:, 1])
    found = metrics.compare_associations(real, synthetic, Schema(COLUMNS, 300))
    worst = found.largest[0]
    assert (worst.columns, worst.statistic) == (("c", "s"), "cramers_v")
    assert worst.difference == pytest.approx(found.difference[1, 3]) and worst.difference < -0.2
    pairs = numpy.abs(found.difference[numpy.triu_indices(4, 1)])
    assert found.mean_difference == pytest.approx(pairs.mean())
    assert [abs(each.difference) for each in found.largest] == pytest.approx(sorted(pairs)[::-1])


def test_rare_levels_count_as_one():
    codes = numpy.repeat(numpy.arange(50.0), 2)
    codes[:10] = 49.0
    columns = (Column("c", "categorical", "categorical", levels=tuple(range(50))),)
    (pooled,) = _associations._pool_rare_levels([codes[:, None]], columns)
    assert len(numpy.unique(pooled)) == 40
    assert (pooled == pooled[0]).sum() == 12  # the commonest level stays alone


def test_columns_beyond_the_limit_are_counted():
    columns = tuple(Column(str(i), "continuous", "normal") for i in range(103))
    rows = numpy.random.default_rng(0).normal(size=(5, 103))
    found = metrics.compare_associations(rows, rows, Schema(columns, 5))
    assert (len(found.names), found.n_left_out, found.mean_difference) == (100, 3, 0.0)
