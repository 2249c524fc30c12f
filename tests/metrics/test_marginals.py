"""Distances of columns equal those of scipy, and tables that are counted by hand."""

import math

import numpy
import polars
import pytest
import scipy.stats

from aevb import metrics
from aevb.data import Schema
from aevb.errors import DataError
from aevb.networks import Column

NUMBER = Column("x", "continuous", "normal")
NAME = Column("c", "categorical", "categorical", levels=("a", "b", "c"))


def test_numbers_have_the_distance_of_scipy_with_ties_and_holes():
    rng = numpy.random.default_rng(0)
    a, b = rng.integers(0, 9, (60, 3)).astype(float), rng.integers(0, 7, (41, 3)).astype(float)
    a[rng.random(a.shape) < 0.2] = b[rng.random(b.shape) < 0.3] = math.nan
    schema = Schema(tuple(Column(name, "continuous", "normal") for name in "xyz"), 60)
    found = metrics.compare_marginals(a, b, schema)
    for column, x, y in zip(found.columns, a.T, b.T, strict=True):
        known = x[~numpy.isnan(x)], y[~numpy.isnan(y)]
        assert column.distance == pytest.approx(scipy.stats.ks_2samp(*known).statistic)
        assert (column.missing_real, column.missing_synthetic) == pytest.approx(
            (1 - len(known[0]) / 60, 1 - len(known[1]) / 41)
        )
    assert found.mean_distance == pytest.approx(
        sum(column.distance for column in found.columns) / 3
    )


def test_categories_have_the_total_variation_of_their_shares():
    a, b = [[0.0], [0.0], [1.0], [math.nan]], [[2.0], [0.0], [2.0], [1.0]]
    (column,) = metrics.compare_marginals(a, b, Schema((NAME,), 4)).columns
    assert column.statistic == "total_variation"
    assert column.distance == pytest.approx((abs(2 / 3 - 1 / 4) + abs(1 / 3 - 1 / 4) + 1 / 2) / 2)
    assert (column.missing_real, column.missing_synthetic) == (0.25, 0.0)


def test_atoms_are_compared_as_categories_with_all_other_values_as_one():
    spiky = Column(
        "h", "spiky", "spiky", shift=38.0, scale=7.0, atoms=(0.0, 40.0), edges=(0.0, 99.0)
    )
    y = ((numpy.array([0, 0, 40, 12, 13, 14]) - 38) / 7).astype(numpy.float32)[:, None]
    x = ((numpy.array([0, 40, 40, 40.1, 1, 2]) - 38) / 7).astype(numpy.float32)[:, None]
    (column,) = metrics.compare_marginals(y, x, Schema((spiky,), 6)).columns
    assert column.atoms == pytest.approx(1 / 6)
    assert column.distance == pytest.approx(scipy.stats.ks_2samp(y[:, 0], x[:, 0]).statistic)


def test_frames_and_the_worst_column_first():
    schema = Schema((NUMBER, NAME), 4)
    real = polars.DataFrame({"c": ["a", "b", "c", "a"], "x": [0.0, 1.0, 2.0, 3.0]})
    synthetic = polars.DataFrame({"x": [0.0, 1.0, 2.0, 3.0], "c": ["b", "b", "b", "b"]})
    found = metrics.compare_marginals(real, synthetic, schema)
    assert [(each.name, each.distance) for each in found.worst_first] == [("c", 0.75), ("x", 0.0)]


def test_a_column_without_cells_has_no_distance():
    schema = Schema((NUMBER, NAME), 4)
    found = metrics.compare_marginals([[math.nan] * 2] * 2, [[0.0, 1.0]] * 2, schema)
    assert [each.distance for each in found.columns] == [None, None]
    assert found.mean_distance is None


@pytest.mark.parametrize("rows", [[[0.0, 1.0]], [[0.0], [1.0]]])
def test_single_rows_and_other_columns_are_refused(rows):
    with pytest.raises(DataError) as caught:
        metrics.compare_marginals([[0.0, 1.0]] * 2, rows, Schema((NUMBER, NAME), 4))
    assert caught.value.argument == "synthetic"
