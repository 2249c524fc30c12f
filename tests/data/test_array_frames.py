"""Arrays as data frames, and the form of a data frame as a record."""

import datetime as dt
import json

import numpy as np
import pandas as pd
import polars as pl
import pytest

from aevb import data
from aevb._records import record_from_json
from aevb.data._array_frames import FrameForm, frame_of_array
from aevb.errors import IncompatibleError


def test_objects_become_columns_of_one_type():
    cells = [
        ["a", 1, True, dt.date(2024, 1, 2), 1.5],
        [None, np.nan, False, None, "x"],
        ["b", 2.5, True, dt.date(2024, 1, 3), np.float64(2)],
    ]
    frame = frame_of_array(np.array(cells, dtype=object), list("abcde"))
    assert [str(each) for each in frame.dtypes] == [
        "String",
        "Float64",
        "Boolean",
        "Date",
        "String",
    ]
    assert frame["a"].to_list() == ["a", None, "b"]
    assert frame["e"].to_list() == ["1.5", "x", "2.0"]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", "uint64", "bool"])
def test_numbers_keep_their_values(dtype):
    values = np.array([[0, 1], [1, 1], [1, 0]]).astype(dtype)
    np.testing.assert_array_equal(frame_of_array(values, ["a", "b"]).to_numpy(), values)


def test_a_cell_with_several_values_is_named():
    cells = np.empty((2, 1), dtype=object)
    cells[:, 0] = ["a", ["b", "c"]]
    with pytest.raises(IncompatibleError, match=r"'a'.*row 1"):
        frame_of_array(cells, ["a"])


def frames():
    table = pd.DataFrame(
        {
            "n": np.arange(40) % 7,
            "nullable": pd.array([1, None, 3, 4] * 10, dtype="Int64"),
            "text": pd.Series(["a", "b"] * 20, dtype="str"),
            "object": pd.Series(["a", "b"] * 20, dtype=object),
            "level": pd.Categorical([2, 1] * 20, [3, 2, 1], ordered=True),
            "time": pd.date_range("2024-01-01", periods=40, freq="h", tz="Europe/Berlin"),
            "small": np.arange(40, dtype="float32") / 3,
            "flag": pd.array([True, None] * 20, dtype="boolean"),
        }
    )
    return [table, table.set_axis(range(8), axis=1), pl.from_pandas(table.drop(columns="object"))]


@pytest.mark.parametrize("frame", frames(), ids=["pandas", "numbered", "polars"])
def test_the_record_of_a_form_keeps_library_names_and_dtypes(frame):
    form = record_from_json(FrameForm, json.loads(json.dumps(FrameForm.of(frame).to_dict())))
    schema = data.load(frame, kinds={}).spec.schema
    empty = form.empty(schema)
    assert type(empty) is type(frame) and len(empty) == 0
    assert [*empty.columns] == [*frame.columns]
    assert [*empty.dtypes] == [*frame.dtypes]


def test_unknown_dtypes_are_those_of_the_schema():
    frame = frames()[0][["n", "text"]]
    form = FrameForm("pandas", {"n": "no dtype", "text": "category"})
    empty = form.empty(data.load(frame, kinds={}).spec.schema)
    assert str(empty["n"].dtype) == "int64"
