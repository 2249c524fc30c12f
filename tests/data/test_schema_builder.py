"""Schemas of streams: parts of a table give the schema of the whole."""

from dataclasses import replace

import numpy as np
import pandas
import polars
import pytest

from aevb.data import Schema, SchemaBuilder, _value_counts
from aevb.data._value_counts import Moments, NumberCounts, TextCounts
from aevb.errors import DataError

RNG = np.random.default_rng(1)
N = 900
FRAME = polars.DataFrame(
    {
        "normal": RNG.normal(5, 2, N),
        "positive": RNG.lognormal(2, 1, N),
        "tails": RNG.standard_t(2.5, N),
        "share": RNG.beta(0.5, 0.5, N),
        "visits": RNG.negative_binomial(1, 0.03, N),
        "age": np.rint(RNG.normal(45, 12, N)),
        "hours": np.where(RNG.random(N) < 0.5, 40, RNG.integers(1, 99, N)),
        "rooms": RNG.integers(1, 6, N),
        "sex": RNG.choice(["f", "m"], N),
        "town": RNG.choice(["Rome", "Oslo", "?", "Bonn"], N),
        "wage": [f"{x:,.2f} EUR" for x in RNG.normal(2e3, 300, N)],
        "name": [f"n{i}" for i in range(N)],
        "day": np.datetime64("2020-01-01") + RNG.integers(0, 900, N),
        "row": np.arange(N),
        "empty": [None] * N,
    }
)


def assert_same(found, expected):
    """Equal but for the rounding of sums of about a thousand numbers."""
    for a, b in zip(found.columns, expected.columns, strict=True):
        sums = {name: pytest.approx(getattr(b, name), rel=1e-12) for name in ("shift", "scale")}
        assert (a.shift, a.scale) == (sums["shift"], sums["scale"]), a.name
        assert replace(a, shift=b.shift, scale=b.scale) == b
    assert found.rows == expected.rows


@pytest.mark.parametrize("seed", range(3))
def test_any_division_of_the_rows_gives_the_same_schema(seed):
    rng = np.random.default_rng(seed)
    part = rng.integers(0, 5, N)
    builders = [SchemaBuilder().update(FRAME.filter(part == i)) for i in range(5)]
    whole = SchemaBuilder()
    for i in rng.permutation(5):
        whole.merge(builders[i])
    assert_same(whole.schema(), Schema.of(FRAME))


def test_the_schema_of_long_columns_does_not_depend_on_the_division(monkeypatch):
    monkeypatch.setattr(_value_counts, "MAX_VALUES", 64)
    monkeypatch.setattr(_value_counts, "MAX_FREQUENT", 8)
    frame = FRAME.drop("hours", "wage", "name", "town")
    blocks = SchemaBuilder()
    for start in range(0, N, 100):
        blocks.update(frame[start : start + 100])
    assert_same(blocks.schema(), SchemaBuilder().update(frame).schema())


def test_held_values_have_exact_counts_and_the_others_exact_moments(monkeypatch):
    monkeypatch.setattr(_value_counts, "MAX_VALUES", 64)
    monkeypatch.setattr(_value_counts, "MAX_FREQUENT", 8)
    x = np.concatenate([np.full(200, 7.0), RNG.integers(0, 500, 2000).astype(float)])
    parts = [NumberCounts.of(part) for part in np.array_split(RNG.permutation(x), 7)]
    merged = sum(parts[1:], parts[0])
    values, counts = np.unique(x, return_counts=True)
    exact = dict(zip(values, counts, strict=True))
    sampled = merged.sampled
    assert sampled.sum() == 64
    assert [exact[value] for value in merged.values[sampled]] == merged.counts[sampled].tolist()
    assert merged.counts[merged.values == 7.0] == exact[7.0]
    assert merged.total == len(x)
    assert merged.moments.mean == pytest.approx(x.mean(), rel=1e-13)
    assert merged.moments.variance == pytest.approx(x.var(), rel=1e-12)
    # 64 hashes estimate the number of distinct values with a standard error of 1/8
    assert merged.distinct == pytest.approx(len(values), rel=4 / 8)


def test_moments_of_numbers_far_from_zero_are_exact():
    x = RNG.gamma(2.0, 1.0, 4000) + 1e9
    parts = [Moments.of(part) for part in np.array_split(x, 9)]
    merged = sum(parts[1:], parts[0])
    z = x - x.mean()
    assert merged.mean == pytest.approx(x.mean(), rel=1e-15)
    assert merged.variance == pytest.approx(z.var(), rel=1e-8)  # 1e-7 is the unit of float64 here
    assert merged.skewness == pytest.approx(np.mean(z**3) / z.std() ** 3, rel=1e-6)
    assert merged.kurtosis == pytest.approx(np.mean(z**4) / z.var() ** 2 - 3, rel=1e-6)


def test_counts_of_texts_do_not_depend_on_the_division(monkeypatch):
    monkeypatch.setattr(_value_counts, "MAX_VALUES", 64)
    texts = [f"t{i}" for i in RNG.integers(0, 300, 3000)]
    parts = [pandas.Series(part).value_counts().to_dict() for part in np.array_split(texts, 6)]
    merged = sum(map(TextCounts.of, parts[1:]), TextCounts.of(parts[0]))
    whole = TextCounts.of(pandas.Series(texts).value_counts().to_dict())
    assert dict(merged.counts) == dict(whole.counts) and merged.rest == whole.rest
    assert merged.total == 3000


def test_parts_may_lack_values_and_differ_in_the_order_of_their_columns():
    first = pandas.DataFrame({"x": [None] * 20, "y": [0, 1] * 10})
    second = pandas.DataFrame({"y": [0, 1] * 20, "x": [1.5, 2.5, None, 4.0] * 10})
    x, y = SchemaBuilder().update(first).update(second).schema().columns
    assert (x.kind, x.missing, y.levels) == ("ordinal", 0.5, (0, 1))


def test_parts_of_other_columns_or_types_are_refused():
    builder = SchemaBuilder().update(pandas.DataFrame({"x": [1, 2]}))
    for frame in ({"y": [1, 2]}, {"x": ["a", "b"]}):
        with pytest.raises(DataError) as caught:
            builder.update(pandas.DataFrame(frame))
        assert '"' in str(caught.value)
    with pytest.raises(DataError):
        SchemaBuilder().schema()


def test_the_row_of_a_fault_counts_from_the_first_part():
    part = pandas.DataFrame({"x": [1.0, 2.0, 3.0]})
    with pytest.raises(DataError, match="row 5"):
        SchemaBuilder().update(part).update(part.replace(2.0, np.inf)).schema()
