"""Encoded cells as data frames of legal values, and frames with missing cells filled."""

import datetime as dt
import time
from decimal import Decimal

import narwhals
import numpy as np
import pandas
import polars
import pyarrow
import pytest
import torch

from aevb.data import Column, Schema
from aevb.data._decode_frame import dtype_of_column
from aevb.data._frame_libraries import zone_midnights
from aevb.errors import AevbError, ArgumentError

NAN = float("nan")
AGE = Column("age", "integer", "discretised_logistic", shift=40, scale=10, step=1, low=0)
SEX = Column("sex", "binary", "bernoulli", levels=("f", "m"))
JOB = Column(
    "job", "categorical", "categorical", levels=("a", "rest"), pooled=("x", "y"),
    pooled_counts=(30, 10),
)  # fmt: skip
WILD = np.float32([[-1e30], [-3.3], [0.46], [0.51], [3.3], [1e30], [np.inf], [NAN]])


def decode(column, cells, like=None, **settings):
    return Schema((column,), 9).decode(np.float32(cells), like, **settings)[column.name].to_list()


@pytest.mark.parametrize(
    "column, legal",
    [
        (AGE, [0, 7, 45, 45, 73]),
        (Column("n", "count", "negative_binomial"), [0, 0, 0, 1, 3]),
        (Column("p", "positive", "log_normal"), [1e-30, *np.exp(WILD[1:5, 0].astype(float))]),
        (Column("b", "bounded", "beta", low=2, high=4), [2, 2, 2.92, 3.02, 4]),
        (Column("s", "integer", "discretised_logistic", step=0.1), [-1e30, -3.3, 0.5, 0.5, 3.3]),
        (Column("c", "ordinal", "ordinal", levels=(1, 2, 4)), [1, 1, 1, 2, 4]),
        (Column("u", "integer", "discretised_logistic", step=1, dtype="UInt8"), [0, 0, 0, 1, 3]),
        (Column("u", "positive", "log_normal", dtype="Int8"), [1, 1, 2, 2, 27]),
    ],
    ids=["number", "count", "positive", "bounded", "step", "ordinal", "uint8", "int8"],
)  # fmt: skip
def test_every_cell_becomes_a_legal_value(column, legal):
    values = decode(column, WILD)
    assert values[-1] is None and len(values) == len(WILD)
    np.testing.assert_allclose(np.array(values[1:5]), legal[1:], rtol=1e-6)
    assert values[0] <= legal[0] + 1e-6 and np.isfinite(values[:-1]).all()
    assert values[6] >= values[5] >= legal[-1] - 1e-6


@pytest.mark.parametrize("dtype", ["int8", "uint16", "Int64", "float32", "Float64"])
def test_numbers_stay_in_the_range_of_the_dtype(dtype):
    like = pandas.DataFrame({"n": pandas.Series([1], dtype=dtype)})
    column = Column("n", "continuous", "normal", scale=1e300)
    frame = Schema((column,), 1).decode(WILD[[0, 5]], like)
    info = (np.iinfo if "int" in dtype.lower() else np.finfo)(dtype.lower())
    assert frame["n"].dtype == dtype
    assert info.min <= frame["n"][0] < 0.99 * info.min + 1 and 0.99 * info.max < frame["n"][1]


def test_whole_numbers_of_pandas_with_missing_cells_get_a_dtype_with_missing_cells():
    schema = Schema((AGE,), 3)
    for source, result in (("int64", "Int64"), ("float64", "float64"), ("Int16", "Int16")):
        frame = schema.decode([[0.0], [NAN]], pandas.DataFrame({"age": [1]}, dtype=source))
        assert frame["age"].dtype == result and frame["age"].isna().tolist() == [False, True]


def test_columns_that_are_set_aside_are_put_back():
    columns = (
        Column("id", "identifier", dtype="Int32"),
        Column("name", "identifier", dtype="String"),
        SEX,
        Column("unit", "constant", levels=("cm",), dtype="String"),
        Column("nothing", "constant", dtype="Float64"),
    )
    frame = Schema(columns, 2).decode([[1], [0]])
    assert frame.rows() == [(1, None, "m", "cm", None), (2, None, "f", "cm", None)]
    assert frame.dtypes[0] == polars.Int32


def test_pooled_levels_are_drawn_with_their_frequencies_and_the_seed():
    cells = np.ones((4000, 1))
    drawn = decode(JOB, cells)
    # 4,000 draws with probability 3/4: five standard errors are 0.034
    assert abs(drawn.count("x") / 4000 - 0.75) < 0.035 and drawn.count("y") == 4000 - drawn.count(
        "x"
    )
    assert drawn == decode(JOB, cells) != decode(JOB, cells, seed=1)
    assert decode(JOB, cells[:100]) == drawn[:100]


def test_categories_of_the_frame_are_kept_and_new_ones_are_added():
    ordered = pandas.CategoricalDtype(["m", "none", "f"], ordered=True)
    for categories in (ordered, pandas.CategoricalDtype(["f"])):
        like = pandas.DataFrame({"sex": pandas.Series(["f"], dtype=categories)})
        frame = Schema((SEX,), 2).decode([[1], [0], [NAN]], like)
        assert frame["sex"].tolist()[:2] == ["m", "f"] and frame["sex"].isna()[2]
        assert set(categories.categories) <= set(frame["sex"].cat.categories)
        assert frame["sex"].cat.ordered == categories.ordered
    like = polars.DataFrame({"sex": []}, schema={"sex": polars.Enum(["m", "none", "f"])})
    assert Schema((SEX,), 2).decode([[1]], like).schema == like.schema
    array = pyarrow.array(["f", "none"]).dictionary_encode()
    column = Schema((SEX,), 2).decode([[1], [0]], pyarrow.table({"sex": array}))["sex"]
    assert column.to_pylist() == ["m", "f"]
    assert column.chunk(0).dictionary.to_pylist() == ["f", "none", "m"]


def test_dates_in_a_time_zone_begin_at_its_midnight():
    day = Column("day", "date", "discretised_logistic", unit="day", step=1, shift=18_000, scale=10)
    zone = pandas.DatetimeTZDtype("ns", "America/New_York")
    like = pandas.DataFrame({"day": pandas.Series([], dtype=zone)})
    frame = Schema((day,), 2).decode([[0.0], [15.0], [NAN]], like)
    assert frame["day"].dtype == zone
    times = [pandas.Timestamp("2019-04-14", tz=zone.tz), pandas.Timestamp("2019-09-11", tz=zone.tz)]
    assert frame["day"].tolist()[:2] == times and frame["day"].isna()[2]
    assert Schema((day,), 2).decode([[1e20], [-1e20]], like)["day"].notna().all()


@pytest.mark.parametrize(
    "library",
    [pandas.DataFrame, polars.DataFrame, pyarrow.table],
    ids=["pandas", "polars", "pyarrow"],
)
def test_only_missing_cells_of_a_frame_are_filled(library):
    schema = Schema((AGE, SEX, JOB, Column("k", "constant", levels=(1,))), 4)
    values = {"x": [0.1 + 0.2, NAN], "job": ["new", "y"], "age": [None, 41], "sex": ["m", None]}
    frame = library({**values, "k": [None, 1]})
    draws = torch.tensor([[0.52, 0, 0], [0.52, 0, 0]])
    completed = schema.complete(frame, draws)
    assert type(completed) is type(frame)
    assert completed["job"].tolist() if library is pandas.DataFrame else True
    cells = {name: list(np.array(completed[name])) for name in ("job", "age", "sex", "x")}
    assert (cells["job"], cells["age"], cells["sex"]) == (["new", "y"], [45, 41], ["m", "f"])
    assert cells["x"][0] == 0.1 + 0.2 and np.isnan(cells["x"][1])
    assert len(schema.complete(frame, torch.stack([draws] * 3))) == 3
    assert np.array(frame["age"])[0] != 45


def test_the_index_and_the_names_of_a_pandas_frame_are_kept():
    frame = pandas.DataFrame([[NAN], [30.0]], index=["b", "a"], columns=[7])
    schema = Schema((Column("7", "continuous", "normal", scale=10),), 2)
    expected = pandas.DataFrame([[20.0], [30.0]], index=["b", "a"], columns=[7])
    pandas.testing.assert_frame_equal(schema.complete(frame, [[2], [9]]), expected)
    pandas.testing.assert_frame_equal(schema.decode([[2], [3]], frame), expected)


def test_numbers_of_other_classes_keep_their_class():
    schema = Schema((Column("x", "continuous", "normal"),), 2)
    frame = pandas.DataFrame({"x": [Decimal("1.25"), None]})
    assert schema.complete(frame, [[0], [2.5]])["x"].tolist() == [Decimal("1.25"), Decimal("2.50")]
    text = pandas.DataFrame({"x": ["1,5", ""]})
    assert schema.complete(text, [[0], [2.5]])["x"].tolist() == ["1,5", "2,5"]


@pytest.mark.parametrize(
    "cells, like, argument",
    [
        (np.zeros((2, 2)), None, "tensor"),
        (np.zeros(1), None, "tensor"),
        (np.zeros((1, 2, 1)), None, "tensor"),
        (np.zeros((2, 1)), 3, "like"),
    ],
)
def test_cells_of_another_shape_and_things_that_are_no_frames_are_refused(cells, like, argument):
    with pytest.raises(AevbError) as caught:
        Schema((SEX,), 2).decode(cells, like)
    assert caught.value.argument == argument


def test_draws_for_another_number_of_rows_are_refused():
    with pytest.raises(ArgumentError) as caught:
        Schema((SEX,), 2).complete(polars.DataFrame({"sex": ["m", None]}), np.zeros((3, 1)))
    assert caught.value.argument == "draws"


def test_times_of_the_schema_need_no_frame():
    column = Column(
        "t", "date", "normal", "Datetime(time_unit='ms', time_zone='UTC')", unit="second"
    )
    times = Schema((column,), 2).decode([[60]])["t"]
    assert times.dtype == polars.Datetime("ms", "UTC")
    assert times.to_list() == [dt.datetime(1970, 1, 1, 0, 1, tzinfo=dt.UTC)]


@pytest.mark.parametrize(
    "dtype",
    [
        "read_csv(source='{path}', backend='polars')",
        "Enum(categories=x)",
        "Series",
        "DataFrame",
        "col(1)",
        "Int64(" * 300,
    ],
)
def test_a_dtype_of_the_schema_that_is_none_is_not_called(dtype, tmp_path):
    (tmp_path / "x.csv").write_text("secret\n1\n")
    dtype = dtype.format(path=tmp_path / "x.csv")
    column = Column("t", "date", "normal", dtype, unit="second")
    assert dtype_of_column(column) == narwhals.Datetime("us")


@pytest.mark.parametrize("zone", ["+02:00", "-05:30", "+00:00"])
def test_days_of_a_zone_with_an_offset_begin_at_its_midnight(zone, monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        starts = zone_midnights(np.array(["2020-06-01"], "datetime64[D]"), zone)
    finally:
        monkeypatch.undo()
        time.tzset()
    midnight = dt.datetime.fromisoformat(f"2020-06-01T00:00{zone}").astimezone(dt.UTC)
    assert starts.tolist() == [midnight.replace(tzinfo=None)]


def test_numbers_lie_on_the_grid_of_those_that_were_seen():
    """Whole numbers with missing cells, prices, shares and times that hardly repeat have a density,
    and yet no fraction that the data do not have."""
    rng = np.random.default_rng(0)
    frame = pandas.DataFrame(
        {
            "whole": np.where(rng.random(300) < 0.1, np.nan, rng.integers(0, 5000, 300)),
            "price": np.exp(rng.normal(6, 1, 300)).round(2),
            "share": rng.beta(2, 5, 300).round(4),
            "spike": np.where(rng.random(300) < 0.3, 0, rng.integers(1, 9000, 300) / 4),
            "time": pandas.Timestamp("1969-12-01", tz="Europe/Berlin")
            + pandas.to_timedelta(37 * rng.integers(0, 9999, 300), unit="min"),
        }
    )
    schema = Schema.of(frame)
    assert {each.step for each in schema.columns} == {0.0}
    cells = np.where([column.kind == "bounded" for column in schema.columns], 0.5, 0.0)
    decoded = schema.decode(cells + 0.123456 * rng.random((400, 5)), frame)
    for name, grid in {"whole": 1, "price": 0.01, "share": 0.0001, "spike": 0.25}.items():
        places = decoded[name].to_numpy() / grid
        np.testing.assert_allclose(places, np.rint(places), atol=1e-6)
        assert decoded[name].nunique() > 5
    assert set(decoded["time"].dt.second) == {0} == set(decoded["time"].dt.microsecond)
    pandas.testing.assert_frame_equal(schema.decode(schema.encode(frame), frame), frame)


@pytest.mark.parametrize(
    "empty",
    [
        polars.Series([None, None]),
        polars.Series([None, None], dtype=polars.Int64),
        pandas.Series([np.nan, np.nan], index=[7, 7]),
        pandas.Series([None, None], dtype=object),
    ],
    ids=["polars null", "polars int", "pandas float", "pandas object"],
)
def test_the_dtype_of_an_empty_column_says_nothing(empty):
    """Readers give an empty column of text the dtype of numbers."""
    names = ("sex", "age")
    age = Column("age", "integer", "discretised_logistic", "Float64", scale=2.0, step=0.5)
    frame = type(empty.to_frame())(dict.fromkeys(names, empty))
    full = Schema((SEX, age), 9).complete(frame, np.array([[1, 0.75], [0, 3]]))
    assert list(full["sex"]) == [SEX.levels[1], SEX.levels[0]] and list(full["age"]) == [1.5, 6.0]
    if isinstance(full, pandas.DataFrame):
        assert full.index.equals(empty.index)


@pytest.mark.parametrize("library", ["polars", "pandas"])
def test_identifiers_of_a_frame_with_the_same_rows_are_kept(library):
    frame = polars.DataFrame(
        {
            "id": [1000 + 7 * place for place in range(60)],
            "name": [f"n{place}" for place in range(60)],
            "x": np.random.default_rng(0).normal(size=60),
        }
    )
    schema = Schema.of(frame)
    frame = frame if library == "polars" else frame.to_pandas()
    some = frame[5:9]
    decoded = schema.decode(schema.encode(some), like=some)
    assert list(decoded["id"]) == [1035, 1042, 1049, 1056]
    assert list(decoded["name"]) == ["n5", "n6", "n7", "n8"]
    fewer = schema.decode(schema.encode(some), like=frame)  # other rows
    assert list(fewer["id"]) == [1, 2, 3, 4]
