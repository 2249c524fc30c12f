"""Distances to the closest record equal loops over pairs of rows."""

import math

import numpy
import pytest
import scipy.stats

from aevb import metrics
from aevb.data import Schema
from aevb.networks import Column

SCHEMA = Schema(
    (
        Column("x", "continuous", "normal"),
        Column("c", "categorical", "categorical", levels=("a", "b", "c")),
        Column("o", "ordinal", "ordinal", levels=(1, 2, 3)),
        Column("s", "binary", "bernoulli", levels=("f", "m")),
    ),
    100,
)


def make_table(rows, seed):
    rng = numpy.random.default_rng(seed)
    table = numpy.stack([rng.normal(size=rows), *(rng.integers(0, k, rows) for k in (3, 3, 2))], 1)
    table[rng.random(table.shape) < 0.15] = math.nan
    return table.astype(numpy.float32).astype(float)


def gower(a, b, low, high):
    """The coefficients of the documentation, cell by cell."""
    total = 0.0
    for place, (p, q) in enumerate(zip(a, b, strict=True)):
        if place in (1, 3):
            total += not (p == q or (math.isnan(p) and math.isnan(q)))
            continue
        p, q = ((v - low[place]) / (high[place] - low[place]) for v in (p, q))
        p, q = (v if math.isnan(v) else min(max(v, 0.0), 1.0) for v in (p, q))
        if math.isnan(p) or math.isnan(q):
            known = [v for v in (p, q) if not math.isnan(v)]
            total += 0.5 + abs(known[0] - 0.5) if known else 0.0
        else:
            total += abs(p - q)
    return total / len(a)


def closest(rows, reference, train):
    low, high = numpy.nanmin(train, 0), numpy.nanmax(train, 0)
    return numpy.array([min(gower(a, b, low, high) for b in reference) for a in rows])


def test_distances_and_shares():
    train, held_out, new = make_table(30, 1), make_table(20, 2), make_table(25, 3)
    new[0], held_out[0] = train[4], train[7]
    found = metrics.closest_records(new, train, held_out, SCHEMA)
    for rows, quantiles in ((new, found.synthetic), (held_out, found.held_out)):
        distances = closest(rows, train, train)
        expected = numpy.quantile(distances, [0.05, 0.5])
        # float32 sums of four coefficients, rounded to six digits
        assert [quantiles.low, quantiles.median] == pytest.approx(expected, abs=2e-6)
    near, far = closest(new, train[:20], train), closest(new, held_out, train)
    ties = numpy.isclose(near, far, atol=1e-6)
    share = numpy.where(ties, 0.5, near < far).mean()
    assert found.closer_to_training.value == pytest.approx(share)
    known = {str(row) for row in train.tolist()}
    copies, duplicates = (sum(str(row) in known for row in x.tolist()) for x in (new, held_out))
    assert (found.copies.value, found.duplicates.value) == (copies / 25, duplicates / 20)
    wilson = scipy.stats.binomtest(copies, 25).proportion_ci(method="wilson")
    assert (found.copies.low, found.copies.high) == pytest.approx((wilson.low, wilson.high))


def test_the_interval_leaves_out_groups_of_all_three_sets():
    train, held_out, new = make_table(30, 1), make_table(20, 2), make_table(25, 3)
    found = metrics.closest_records(new, train, held_out, SCHEMA).closer_to_training

    def share(group):
        near, far = (
            closest(rows(new, group), rows(each, group), train) for each in (train[:20], held_out)
        )
        return numpy.where(numpy.isclose(near, far, atol=1e-6), 0.5, near < far).mean()

    def rows(table, group):
        return table[numpy.arange(len(table)) % 10 != group]

    values = numpy.array([share(group) for group in range(10)])
    error = math.sqrt(9 / 10 * ((values - values.mean()) ** 2).sum())
    # the quantile of the library is right to 1 %
    reach = scipy.stats.t.ppf(0.975, 9) * error
    assert found.high - found.value == pytest.approx(min(reach, 1 - found.value), rel=0.01)


def test_copied_rows_are_found_and_fresh_rows_are_not():
    train, held_out, fresh = (make_table(300, seed) for seed in (4, 5, 6))
    copied = metrics.closest_records(train[:200], train, held_out, SCHEMA)
    assert copied.copies.value == 1.0 and copied.synthetic.median == 0.0
    assert copied.closer_to_training.low > 0.8  # rows without x agree with rows of either set
    other = metrics.closest_records(fresh, train, held_out, SCHEMA).closer_to_training
    assert other.low < 0.5 < other.high


def test_fewer_rows_are_used_where_that_is_asked_or_tables_are_wide():
    train, held_out, new = make_table(30, 1), make_table(20, 2), make_table(25, 3)
    found = metrics.closest_records(new, train, held_out, SCHEMA, max_rows=10)
    assert (found.n_train, found.n_held_out, found.n_synthetic) == (10, 10, 10)


@pytest.mark.parametrize("place", [0, 1])
def test_tables_of_one_kind(place):
    schema = Schema((SCHEMA.columns[place],), 3)
    found = metrics.closest_records([[0.0], [2.0]], [[0.0], [2.0], [1.0]], [[1.0]] * 2, schema)
    assert (found.synthetic.median, found.copies.value, found.duplicates.value) == (0.0, 1.0, 1.0)
