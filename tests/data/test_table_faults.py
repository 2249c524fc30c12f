"""Repeated rows, dependent columns, counts and few values are named when data are read."""

import numpy as np
import pandas as pd
import pytest

from aevb.data import load
from aevb.data._table_faults import find_dependent_columns
from aevb.data._temporal_order import measure_temporal_order


def note(frame, code, **options):
    return next((each for each in load(frame, **options).spec.notes if each.code == code), None)


def prices(n=300):
    x = np.random.default_rng(0).normal(100, 10, (n, 3)).round(2)
    return pd.DataFrame(x, columns=["open", "high", "close"])


def test_equal_columns_and_sums_are_named():
    frame = prices().assign(
        adjclose=lambda f: f.close,
        total=lambda f: f.open + f.high + f.close,
        less=lambda f: f.open - 2 * f.high,
        fahrenheit=lambda f: 1.8 * f.open + 32,
        constant=1.0,
    )
    found = note(frame, "dependent_columns", likelihood="normal")
    assert found.data == {
        "columns": {
            "adjclose": "close",
            "total": "open + high + close",
            "less": "open - 2 high",
            "fahrenheit": "1.8 open + 32",
        },
        "equal": ["adjclose"],
    }


def test_dependence_far_from_zero():
    x = np.random.default_rng(0).normal(size=(200, 2)) * 20
    frame = pd.DataFrame({"a": 1.7e9 + x[:, 0], "b": 1.7e9 + x[:, 1], "c": 1.7e9 + x[:, 0]})
    assert note(frame, "dependent_columns", likelihood="normal").data["columns"] == {"c": "a"}


@pytest.mark.parametrize("noise", [1e-2, 1.0])
def test_columns_with_noise_are_not_dependent(noise):
    x = np.random.default_rng(0).normal(size=(300, 4))
    table = np.c_[x, x.sum(1) + noise * np.random.default_rng(1).normal(size=300)]
    assert find_dependent_columns(table, list("abcde")) == []
    assert find_dependent_columns(x[:12], list("abcd")) == []  # too few rows to tell


def test_few_distinct_rows_are_named():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(20, 3))[rng.integers(0, 20, 640)]
    found = note(rows, "repeated_rows")
    assert found.data == {"distinct": 20, "rows": 640} and found.level == "warning"
    assert note(rng.normal(size=(640, 3)), "repeated_rows") is None
    images = rng.integers(0, 256, (5, 4, 4))[rng.integers(0, 5, 100)]
    assert note(images, "repeated_rows").data["distinct"] == 5


def test_counts_are_named_with_what_fits_them():
    rng = np.random.default_rng(0)
    counts = rng.negative_binomial(1, 0.05, (200, 4))
    found = note(counts, "counts")
    assert found.data == {"columns": [f"column {i}" for i in range(4)], "all": True}
    assert {
        each.value for each in found.message.references.values() if not isinstance(each, str)
    } == {"count_vae", "negative_binomial"}
    mixed = np.c_[counts, rng.normal(size=200)]
    assert note(mixed, "counts").data["all"] is False
    assert note(counts, "counts", likelihood="normal") is None  # as requested
    assert note(counts, "counts", likelihood="poisson") is None


@pytest.mark.parametrize(
    "values",
    [
        lambda rng: rng.integers(0, 101, 500),  # evenly spread
        lambda rng: rng.integers(1, 40, 500),  # no zeros
        lambda rng: np.minimum(rng.exponential(60, 500).astype(int), 255),  # grey levels
        lambda rng: rng.exponential(5, 500),  # fractions
    ],
    ids=["even", "positive", "grey", "real"],
)
def test_other_numbers_are_no_counts(values):
    rng = np.random.default_rng(0)
    assert note(np.c_[values(rng), rng.normal(size=500)], "counts") is None


def test_few_values_are_named():
    rng = np.random.default_rng(0)
    table = np.c_[rng.normal(size=300), rng.integers(0, 2, 300), rng.integers(1, 4, 300)]
    assert note(table, "few_values").data == {"columns": {"column 1": 2, "column 2": 3}}
    assert note(table[:, [1]], "few_values") is None  # Bernoulli, a probability


def order_of(table):
    table = np.asarray(table, float)
    return measure_temporal_order(len(table), lambda index: table[index])


def test_units_and_identifiers_do_not_decide_the_order_in_time():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(500, 3))
    numbered = np.c_[np.arange(500.0), noise]
    assert order_of(numbered).von_neumann_ratio == pytest.approx(1, abs=0.1)
    assert order_of(np.arange(500.0)[:, None]) is None
    walk = rng.normal(size=(500, 8)).cumsum(0)
    assert order_of(np.c_[np.arange(500.0), walk]).is_ordered
    # one noisy column in small units must not hide, and in large units not make, the order
    for unit in (1e-6, 1e6):
        assert order_of(np.c_[walk, unit * noise[:, :1]]).is_ordered
        assert not order_of(np.c_[unit * walk[:, :1], noise]).is_ordered
