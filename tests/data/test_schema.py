"""The schema of a table: kinds of columns, overrides, files and faults."""

import pandas
import pytest

from aevb.data import Schema

FRAME = {"age": [20 + 7 * i % 40 for i in range(200)], "sex": ["f", "m"] * 100}


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_the_library_of_a_frame_does_not_change_its_schema(library):
    module = pytest.importorskip(library)
    frame = module.table(FRAME) if library == "pyarrow" else module.DataFrame(FRAME)
    columns = Schema.of(frame).columns
    assert [(c.name, c.kind, c.levels) for c in columns] == [
        ("age", "integer", None),
        ("sex", "binary", ("f", "m")),
    ]


def test_kinds_are_overridden_by_name():
    schema = Schema.of(pandas.DataFrame(FRAME), kinds={"age": "count"})
    assert schema.columns[0].likelihood == "negative_binomial"


@pytest.mark.parametrize("form", ["%Y-%m-%d", "%d/%m/%Y", "%Y-%m-%d %H:%M:%S"])
def test_dates_in_text_are_encoded_and_written_in_their_format(form):
    days = pandas.date_range("2004-03-10", periods=60).strftime(form)
    frame = pandas.DataFrame({"day": [*days, None], "x": [i % 7 for i in range(61)]})
    schema = Schema.of(frame)
    (day, _) = schema.columns
    assert (day.kind, day.unit, day.format, day.missing) == ("date", "day", form, 1 / 61)
    decoded = schema.decode(schema.encode(frame), like=frame)
    pandas.testing.assert_frame_equal(decoded, frame)
