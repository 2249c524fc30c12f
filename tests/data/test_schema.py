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
