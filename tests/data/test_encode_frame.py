"""Data frames as encoded cells, with columns that are described by hand."""

import datetime as dt

import numpy as np
import pandas
import polars
import pyarrow
import pytest

from aevb.data import Column, Schema
from aevb.errors import DataError

NAN = float("nan")
BERLIN = "Europe/Berlin"
LIBRARIES = {"pandas": pandas.DataFrame, "polars": polars.DataFrame, "pyarrow": pyarrow.table}
COLUMNS = {
    "age": Column("age", "integer", "discretised_logistic", shift=40, scale=10, step=1),
    "sex": Column("sex", "binary", "bernoulli", levels=("f", "m")),
    "job": Column("job", "categorical", "categorical", levels=("a", "", "rest"), pooled=("x", "y")),
    "income": Column("income", "positive", "log_normal", shift=1, scale=2),
    "share": Column("share", "bounded", "beta", low=10, high=20),
    "visits": Column("visits", "count", "negative_binomial", scale=3),
    "smoker": Column("smoker", "binary", "bernoulli", levels=(False, True)),
    "fare": Column("fare", "spiky", "spiky", shift=3, scale=7, atoms=(0.1, 40.0), edges=(0, 50)),
    "day": Column(
        "day", "date", "discretised_logistic", unit="day", step=1, shift=18_000, scale=10
    ),
    "time": Column("time", "date", "normal", unit="second", shift=1.6e9, scale=1e6),
}
VALUES = {
    "age": ([40, None, 55], [0, NAN, 1.5]),
    "sex": (["m", "f", None], [1, 0, NAN]),
    "job": (["y", "", "NA"], [2, 1, NAN]),
    "income": ([np.e, np.e**3, None], [0, 1, NAN]),
    "share": ([10.0, 15.0, 20.0], [2**-24, 0.5, 1 - 2**-24]),
    "visits": ([0, None, 2**24], [0, NAN, 2**24]),
    "smoker": ([True, None, False], [1, NAN, 0]),
    "fare": ([40.0, 0.1, 0.1 + 1e-9], np.float32([37 / 7, -2.9 / 7, -2.9 / 7])),
    "day": ([dt.date(2019, 4, 14), None, dt.date(2019, 4, 24)], [0, NAN, 1]),
    "time": (
        [dt.datetime(2020, 9, 13, 12, 26, 40), None, dt.datetime(2020, 9, 13)],
        [0, NAN, -0.0448],
    ),
}


def encode(frame, *names, **settings):
    return Schema(tuple(COLUMNS[name] for name in names), 3, **settings).encode(frame)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("name", COLUMNS)
def test_cells_are_numbers_in_the_units_of_the_schema(name, library):
    values, cells = VALUES[name]
    rows = encode(LIBRARIES[library]({name: values}), name)
    assert rows.tensor().dtype.is_floating_point and rows.notes == ()
    np.testing.assert_allclose(rows.tensor()[:, 0], cells, rtol=2e-7, atol=1e-12)


def test_atoms_are_hit_exactly():
    cells = encode(polars.DataFrame({"fare": VALUES["fare"][0]}), "fare").tensor()[:, 0]
    assert cells.tolist() == VALUES["fare"][1].tolist()


@pytest.mark.parametrize("library", LIBRARIES)
def test_columns_are_found_by_name_in_any_order(library):
    frame = LIBRARIES[library]({"z": [1], "sex": ["m"], "age": [50]})
    rows = encode(frame, "age", "sex")
    assert rows.tensor().tolist() == [[1, 1]]
    assert [(note.code, note.data) for note in rows.notes] == [
        ("columns_ignored", {"columns": ["z"]})
    ]


def test_times_count_from_1970_in_utc_and_days_by_the_clock_of_the_zone():
    midnight = pandas.Timestamp("2019-04-14", tz=BERLIN)
    for make in (pandas.DataFrame, polars.DataFrame, lambda each: pyarrow.table(each)):
        frame = make(
            {"day": pandas.Series([midnight]).array if make is pandas.DataFrame else [midnight]}
        )
        assert encode(frame, "day").tensor().item() == 0
    frame = pandas.DataFrame({"time": [pandas.Timestamp("2020-09-13 14:26:40", tz=BERLIN)]})
    assert encode(frame, "time").tensor().item() == 0


@pytest.mark.parametrize(
    "series",
    [
        pandas.Series([0, None, 1], dtype="Int64"),
        pandas.Series([0.0, None, 1.0]),
        pandas.Series(["no", None, "1"]).replace("no", "0").astype("category"),
        pandas.Series([False, None, True], dtype=object),
        pandas.Series([False, pandas.NA, True], dtype="boolean"),
        pandas.Series(["False", " ", "True"]),
    ],
    ids=lambda series: str(series.dtype),
)
def test_categories_are_found_in_every_dtype(series):
    cells = encode(series.to_frame("smoker"), "smoker").tensor()[:, 0]
    np.testing.assert_array_equal(cells, [0, NAN, 1])


def test_numbers_in_text_are_read():
    frame = polars.DataFrame({"age": ["50 years", None, "n/a", "60,0 years"]})
    np.testing.assert_array_equal(encode(frame, "age").tensor()[:, 0], [1, NAN, NAN, 2])


def test_values_that_a_column_does_not_have_are_missing_cells_and_counted():
    frame = polars.DataFrame(
        {"sex": ["m", "d", "d"], "visits": [1.5, -1.0, 2.0], "job": list("azx")}
    )
    rows = encode(frame, "sex", "visits", "job")
    np.testing.assert_array_equal(rows.tensor(), [[1, NAN, 0], [NAN, NAN, NAN], [NAN, 2, 2]])
    assert {note.code: note.data["columns"] for note in rows.notes} == {
        "unseen_categories": {"sex": 2, "job": 1},
        "impossible_values": {"visits": 2},
    }
    with pytest.raises(DataError) as caught:
        encode(frame, "sex", unseen="refuse")
    assert caught.value.argument == "frame"


@pytest.mark.parametrize(
    "frame",
    [
        pandas.DataFrame([[1, 2]], columns=["age", "age"]),
        pandas.DataFrame([[1, 2]], columns=[1, "1"]),
        pandas.DataFrame([[1, 2]], columns=pandas.MultiIndex.from_tuples([("age", 1), ("b", 2)])),
        pyarrow.table([[1], [2]], names=["age", "age"]),
        pandas.DataFrame({"Age": [1]}),
        polars.DataFrame({"age": []}),
        polars.DataFrame({"age": [1.0, float("inf")]}),
        polars.DataFrame({"age": ["1", "old"]}),
        polars.DataFrame({"age": [[1], [2]]}),
        3,
    ],
    ids=["twice", "int", "levels", "arrow", "case", "rows", "inf", "text", "nested", "none"],
)
def test_frames_that_cannot_be_encoded_are_refused(frame):
    with pytest.raises(DataError) as caught:
        encode(frame, "age")
    assert caught.value.argument == "frame"


def test_a_missing_column_is_named_with_the_nearest_of_the_frame():
    with pytest.raises(DataError) as caught:
        encode(pandas.DataFrame({"agee": [1], "sex": ["m"]}), "age", "sex")
    assert '"agee"' in str(caught.value.suggestions[0])
