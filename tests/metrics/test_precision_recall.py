"""Precision, recall, density and coverage equal loops over balls of neighbours."""

import math

import pytest
import scipy.stats
import torch

from aevb import metrics
from aevb.errors import ArgumentError, DataError
from aevb.metrics._intervals import interval_from_halves, random_halves
from aevb.metrics._samples import _precision_recall as covering
from aevb.metrics._samples._feature_tables import random_rows

NAMES = ("precision", "recall", "density", "coverage")


def sets(rows_a, rows_b):
    generator = torch.Generator().manual_seed(4)
    a = torch.randn(rows_a, 2, generator=generator, dtype=torch.float64)
    b = 0.7 * torch.randn(rows_b, 2, generator=generator, dtype=torch.float64) + 0.3
    b[:2] = a[5] = a[3]  # equal rows, whose balls have no volume for one neighbour
    return a, b


def plain_numbers(a, b, k):
    def distances(x, y):
        return [[math.dist(p, q) for q in y.tolist()] for p in x.tolist()]

    radius_a, radius_b = ([sorted(row)[k] for row in distances(x, x)] for x in (a, b))
    across = distances(a, b)
    balls = [[d < r or d == 0 for d in row] for row, r in zip(across, radius_a, strict=True)]
    samples = [[d < r or d == 0 for d, r in zip(row, radius_b, strict=True)] for row in across]
    n, m = len(a), len(b)
    return (
        sum(any(row[j] for row in balls) for j in range(m)) / m,
        sum(map(any, samples)) / n,
        sum(map(sum, balls)) / (k * m),
        sum(map(any, balls)) / n,
    )


@pytest.mark.parametrize("rows, k", [((17, 12), 1), ((13, 20), 3), ((12, 12), 5)])
def test_numbers_and_intervals(rows, k):
    a, b = sets(*rows)
    whole = plain_numbers(a, b, k)
    halves = zip(random_halves(len(a), 3, 6), random_halves(len(b), 3, 7), strict=True)
    parts = torch.tensor([plain_numbers(a[i], b[j], k) for i, j in halves], dtype=torch.float64)
    result = metrics.precision_recall(a, b, neighbours=k, repeats=3, seed=6)
    for name, value, column, size in zip(
        NAMES, whole, parts.T, (rows[1], rows[0], None, rows[0]), strict=True
    ):
        bounds = (0.0, math.inf) if size is None else (0.0, 1.0)
        own = interval_from_halves(value, column, min(rows), bounds)
        low, high = own.low, own.high
        if size is not None:
            wilson = scipy.stats.binomtest(round(value * size), size).proportion_ci(method="wilson")
            low, high = min(low, wilson.low), max(high, wilson.high)
        found = getattr(result, name)
        assert (found.value, found.low, found.high) == pytest.approx((value, low, high), abs=1e-12)
    assert (result.n_real, result.n_generated, result.n_neighbours) == (*rows, k)


def test_limits_of_rows_and_neighbours():
    a, b = sets(20, 16)
    cut = metrics.precision_recall(random_rows(a, 12, 3), random_rows(b, 12, 3), seed=3)
    result = metrics.precision_recall(a, b, max_rows=12, seed=3)
    assert (result.precision, result.density) == (cut.precision, cut.density)
    assert (result.n_real, result.n_generated, result.n_neighbours) == (12, 12, 5)
    for options in ({"max_rows": 11}, {"neighbours": 0}, {"neighbours": 5, "max_rows": 5}):
        with pytest.raises(ArgumentError):
            metrics.precision_recall(a, b, **options)
    for pair in ((a[:11], b), (a, b[:11])):
        with pytest.raises(DataError):
            metrics.precision_recall(*pair)


def test_equal_rows_have_the_distance_0_exactly():
    a, b = sets(9, 7)
    a, b = 1e6 + a, 1e6 + b
    distances = covering._squared_distances(a, b)
    assert distances[3, 0] == 0
    near = torch.tensor([[1.0, 2.0]]).double()
    # relative to the squared lengths: 10 together
    for step, equal in ((0.9, True), (1.1, False)):
        other = near + torch.tensor([[math.sqrt(step * 1e-13 * 10), 0.0]])
        assert (covering._squared_distances(near * 1e3, other * 1e3) == 0).item() == equal
    x, y = sets(6, 4)
    expected = [[math.dist(p, q) ** 2 for q in y.tolist()] for p in x.tolist()]
    assert covering._squared_distances(x, y).tolist() == [
        pytest.approx(row, abs=1e-12) for row in expected
    ]
