"""Checks of the data: shares, distances and p-values on both sides of their thresholds."""

import math
from types import SimpleNamespace

import pytest
import scipy.special
import scipy.stats
import torch

from aevb.data import Rows
from aevb.metrics import DoctorThresholds
from aevb.metrics._doctor import _data_checks as checks

LIMITS = DoctorThresholds()


def code(result):
    return result.finding and result.finding.code


def context_of(**changes):
    fields = {
        "thresholds": LIMITS,
        "spec": None,
        "train": None,
        "reference": None,
        "reference_rate_distortion": None,
        "model": SimpleNamespace(
            likelihood=SimpleNamespace(measure="density"),
            posterior=SimpleNamespace(has_density=True),
            event_shape=(2,),
        ),
    }
    return SimpleNamespace(**fields | changes)


def rows_of(values):
    return Rows(torch.tensor(values, dtype=torch.float32)[:, None])


@pytest.mark.parametrize(
    "shared, copies, discrete, found",
    [
        (0, 0, False, None),
        (4, 0, False, None),  # a hundredth of 400 rows
        (5, 0, False, "duplicates_across_split"),
        (400, 0, True, "duplicates_across_split"),
        # 40 of 200 training rows have a copy, 0.2 with an error of 0.02
        (113, 20, False, "duplicates_across_split"),
        (111, 20, False, None),
        (0, 49, False, None),
        (0, 50, False, "repeated_rows"),
        (0, 50, True, None),
    ],
)
def test_rows_on_both_sides_of_the_split(shared, copies, discrete, found):
    """``copies`` of 200 training rows are those of others."""
    train = [float(number) for number in range(200 - copies)] + [float(n) for n in range(copies)]
    rows = [float(number % (200 - copies)) for number in range(shared)]
    rows += [float(1000 + number) for number in range(400 - shared)]
    context = context_of(all_rows=(rows_of(rows), rows_of(train)))
    context.model.likelihood.measure = "probability" if discrete else "density"
    result = checks._duplicate_rows(context)
    assert code(result) == found
    assert result.numbers == pytest.approx({"duplicates": shared / 400, "repeats": copies / 100})
    assert checks._duplicate_rows(context_of(all_rows=(rows_of(rows), None))) is None


@pytest.mark.parametrize("notes", [(), ("other",), ("other", checks.MISSING_CODE_NOTE)])
def test_codes_for_missing_values(notes):
    columns = {"age": [{"value": -1.0, "count": 10}, {"value": 99.0, "count": 15}]}
    data = {"columns": columns, "rows": 50}
    spec = SimpleNamespace(
        notes=[SimpleNamespace(code=note, data=data, message=note) for note in notes]
    )
    result = checks._missing_codes(context_of(spec=spec))
    assert (result is not None) == (checks.MISSING_CODE_NOTE in notes)
    if result:
        assert code(result) == "missing_codes" and result.numbers == {"columns": columns}
        assert "50%" in result.value
    assert checks._missing_codes(context_of()) is None


def walk(seed, trend):
    x = torch.randn(300, 2, generator=torch.Generator().manual_seed(seed))
    return Rows(x.cumsum(0) if trend else x)


@pytest.mark.parametrize("trend", [True, False])
def test_rows_in_order_of_time(trend):
    result = checks._row_order(context_of(all_rows=(walk(1, trend), None)))
    assert code(result) == ("rows_in_order_of_time" if trend else None)
    assert (result.numbers["temporal_order"] < 0.5) == trend
    few = Rows(torch.randn(19, 2))
    assert checks._row_order(context_of(all_rows=(few, None))) is None
    spec = SimpleNamespace(temporal_order=0.25)
    known = checks._row_order(context_of(all_rows=(few, None), spec=spec))
    assert code(known) == "temporal_order_split_at_random"
    assert known.numbers == {"temporal_order": 0.25}
    measured = context_of(all_rows=(few, None), spec=SimpleNamespace(temporal_order=None))
    assert checks._row_order(measured) is None


# distances of distributions


@pytest.mark.parametrize("sizes", [(5, 8), (30, 11), (1, 4)])
def test_distance_equals_scipy(sizes):
    generator = torch.Generator().manual_seed(2)
    a, b = (torch.randn(size, generator=generator).mul(4).round() for size in sizes)
    truth = scipy.stats.ks_2samp(a.numpy(), b.numpy() + 1).statistic
    assert checks.kolmogorov_smirnov_distance(a, b + 1) == pytest.approx(truth)
    assert checks.kolmogorov_smirnov_distance(b + 1, a) == pytest.approx(truth)


@pytest.mark.parametrize("distance", [0.0, 0.05, 0.1, 0.3, 1.0])
@pytest.mark.parametrize("sizes", [(20, 35), (400, 150), (7, 1)])
def test_p_value_equals_the_limit_of_kolmogorov(distance, sizes):
    n, m = sizes
    truth = scipy.special.kolmogorov(distance * math.sqrt(n * m / (n + m)))
    found = checks.kolmogorov_smirnov_p_value(distance, n, m)
    assert found == pytest.approx(truth, abs=1e-12)


@pytest.mark.parametrize("t", [0.1, 0.1999, 0.2001, 0.3, 2.0, 4.0])
def test_p_values_of_small_and_large_distances(t):
    truth = scipy.special.kolmogorov(t)
    assert checks.kolmogorov_smirnov_p_value(t, 2, 2) == pytest.approx(truth, abs=1e-9)


def test_the_columns_that_differ_most():
    generator = torch.Generator().manual_seed(3)
    columns = [torch.randn(200, generator=generator) for _ in range(4)]
    other = [torch.randn(100, generator=generator) for _ in range(4)]
    other[1], other[3] = other[1] + 0.9, other[3] + 3
    found = checks._largest_column_drift(columns, other, 1e-3)
    assert found.columns == [3, 1]
    distance = checks.kolmogorov_smirnov_distance(columns[3], other[3])
    assert found.p_value == min(1.0, 4 * checks.kolmogorov_smirnov_p_value(distance, 200, 100))
    same = checks._largest_column_drift([columns[0], columns[2]], [other[0], other[2]], 1e-9)
    distances = [checks.kolmogorov_smirnov_distance(columns[k], other[k]) for k in (0, 2)]
    assert same.columns == [distances.index(max(distances))]
    p = checks.kolmogorov_smirnov_p_value(max(distances), 200, 100)
    assert same.p_value == pytest.approx(min(1.0, 2 * p))
    assert checks._largest_column_drift((), (), 1e-3) is None


@pytest.mark.parametrize(
    "shape, missing, columns",
    [
        ((3,), None, 3),
        ((3, 1), None, 0),
        ((1024,), None, 1024),
        ((1025,), None, 0),
        ((3,), "rows", 3),
        ((3,), "train", 3),
    ],
)
def test_columns_of_tables(shape, missing, columns):
    x, train = torch.randn(4, *shape), torch.randn(6, *shape)
    if missing:
        (x if missing == "rows" else train)[0, 1] = math.nan
    context = context_of(
        rows=x,
        fitted_rows=train,
        batch=lambda count, part: SimpleNamespace(x=part[:count]),
        model=SimpleNamespace(event_shape=shape),
    )
    found, other = checks._table_columns(context), checks._table_columns(context, training=True)
    assert len(found) == len(other) == columns
    for part, values in zip((found, other), (x, train), strict=True):  # missing cells do not count
        for column, cells in zip(part, values.T if columns else (), strict=True):
            assert torch.equal(column, cells[~cells.isnan()])


def terms(values):
    return SimpleNamespace(per_datum=None if values is None else torch.tensor(values))


@pytest.mark.parametrize("rows, known", [(19, False), (20, True)])
def test_distance_of_the_elbo(rows, known):
    """Of the sums of rate and distortion."""
    own = [[1.0, 2.0, 3.0], [5.0, 3.0, 9.0]]
    other = [[4.0] * rows, [2.0] * (rows - 1) + [9.0]]
    context = context_of(rate_distortion=terms(own), reference_rate_distortion=terms(other))
    # sums of 6, 5 and 12, of which two are below 6.5; of 6 but for one of 13
    expected = (rows - 1) / rows - 2 / 3
    expected = max(expected, 1 / 3)
    found = checks._elbo_distance(context)
    assert found == (pytest.approx(expected) if known else None)
    context.model.posterior.has_density = False
    assert checks._elbo_distance(context) is None
    bare = context_of(rate_distortion=terms(None), reference_rate_distortion=terms(other))
    assert checks._elbo_distance(bare) is None
    bare = context_of(rate_distortion=terms(own), reference_rate_distortion=terms(None))
    assert checks._elbo_distance(bare) is None
    assert checks._elbo_distance(context_of(rate_distortion=terms(own))) is None


DRIFTS = {
    "none": {},
    "columns": {"columns_p": 0.9e-3},
    "latents": {"latents_p": 0.9e-3},
    "elbo": {"elbo_distance": 0.31},
    "close elbo": {"elbo_distance": 0.29},
}


@pytest.mark.parametrize("name", DRIFTS)
def test_drift_has_three_signs(name, monkeypatch):
    numbers = {"columns_p": 1.1e-3, "latents_p": 1.1e-3, "elbo_distance": 0.1} | DRIFTS[name]
    drifts = [
        checks.ColumnDrift(numbers["latents_p"], [1]),
        checks.ColumnDrift(numbers["columns_p"], [0]),
    ]
    monkeypatch.setattr(checks, "_largest_column_drift", lambda *args: drifts.pop(0))
    monkeypatch.setattr(checks, "_elbo_distance", lambda context: numbers["elbo_distance"])
    monkeypatch.setattr(checks, "_table_columns", lambda *args, **options: ())
    context = context_of(
        rows=range(100),
        train=range(300),
        reference=range(100),
        posterior_means=None,
        train_posterior_means=None,
    )
    result = checks._distribution_drift(context)
    assert code(result) == (None if name in ("none", "close elbo") else "drift")
    assert result.numbers == numbers


@pytest.mark.parametrize("reference, found", [(60, True), (4, False), (None, False)])
def test_distances_of_the_elbo_are_significant(reference, found, monkeypatch):
    """A distance of 0.35 from 60 rows has a p-value of 2e-4, and one from 4 rows of 0.7."""
    monkeypatch.setattr(checks, "_largest_column_drift", lambda *args: None)
    monkeypatch.setattr(checks, "_elbo_distance", lambda context: 0.35)
    monkeypatch.setattr(checks, "_table_columns", lambda *args, **options: ())
    context = context_of(
        rows=range(100),
        train=range(300),
        reference=None if reference is None else range(reference),
        posterior_means=None,
        train_posterior_means=None,
    )
    if reference is None:
        monkeypatch.setattr(checks, "_elbo_distance", lambda context: None)
        assert checks._distribution_drift(context) is None
    else:
        assert (code(checks._distribution_drift(context)) == "drift") == found


@pytest.mark.parametrize(
    "rows, train, known", [(20, 20, True), (19, 20, False), (20, 19, False), (20, None, False)]
)
def test_drift_of_twenty_rows(rows, train, known):
    generator = torch.Generator().manual_seed(4)
    means = [
        None if count is None else torch.randn(count, 1, 2, generator=generator)
        for count in (rows, train)
    ]
    context = context_of(
        rows=range(rows),
        train=None if train is None else range(train),
        posterior_means=means[0],
        train_posterior_means=means[1],
        model=SimpleNamespace(event_shape=(2, 2), posterior=SimpleNamespace(has_density=True)),
    )
    result = checks._distribution_drift(context)
    assert (result is not None) == known
    if known:
        distances = [
            checks.kolmogorov_smirnov_distance(means[0][:, 0, k], means[1][:, 0, k]) for k in (0, 1)
        ]
        p = checks.kolmogorov_smirnov_p_value(max(distances), rows, train)
        assert result.numbers == {"latents_p": pytest.approx(min(1.0, 2 * p))}


@pytest.mark.parametrize("columns", [None, ("a", "b", "c")])
def test_columns_have_names_or_numbers_from_1(columns):
    spec = None if columns is None else SimpleNamespace(columns=columns)
    text = checks._column_names(context_of(spec=spec), [2, 0])
    assert text == ("c, a" if columns else "column 3, column 1")
    bare = context_of(spec=SimpleNamespace(columns=None))
    assert checks._column_names(bare, [0]) == "column 1"
    assert checks._column_names(bare, [0, 1, 2, 3]).count("column") == 3
    for first in (True, False):
        text = checks._latent_drift_text(checks.ColumnDrift(1e-5, [4, 1]), first)
        assert "5" in text.split()[-1] and ("1e-05" in text) == first
