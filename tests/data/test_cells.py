"""Values that stand for missing cells: where a schema is learned, and where it encodes."""

from decimal import Decimal

import numpy as np
import pandas
import polars
import pytest

from aevb.data import Column, Reading, Schema, SchemaBuilder, load
from aevb.data._columns import CellRules
from aevb.data._encode_column import encode_column
from aevb.data._tables import to_narwhals
from aevb.errors import DataError

CODED = {
    "numbers": ([1.5, -999.0, 3.25, 8.75] * 30, ["-999"]),
    "ordinal": ([1, -999, 3, 2, 5] * 30, ["-999"]),
    "binary": ([1, -999, 0, 1] * 30, ["x=-999"]),
    "float levels": ([0.5, 1.5, 99.0, 2.5] * 30, ["99"]),
    "objects": ([Decimal("1.5"), Decimal(-9), Decimal("3.5"), Decimal("2.5")] * 30, ["-9"]),
    "texts": (["a", "UNKNOWN", "b", "c"] * 30, ["Unknown"]),
    "numbers in text": ([f"{i},5" for i in range(60)] + ["-9,0", "-9,00"] * 30, ["-9"]),
    "code of the table": ([f"{i},5" for i in range(60)] + ["-9,5"] * 60, ["-9,5"]),
    "few numbers in text": (["1", "-999.0", "3", "2"] * 30, ["-999"]),
    "dates in text": (
        [f"2004-03-{1 + i % 28:02}" for i in range(60)] + ["Unknown"] * 60, ["unknown"],
    ),
    "mixed types": (["a", "b", -9, "c"] * 30, ["-9"]),
}  # fmt: skip


@pytest.mark.parametrize("name", CODED)
@pytest.mark.parametrize("library", [pandas.DataFrame, polars.DataFrame], ids=["pandas", "polars"])
def test_codes_are_missing_where_a_schema_is_learned_and_where_it_encodes(name, library):
    values, missing = CODED[name]
    if name == "mixed types" and library is polars.DataFrame:
        values = polars.Series(values, dtype=polars.Object)
    frame = library({"x": values, "other": [0, 1] * (len(values) // 2)})
    reading = Reading(missing=missing)
    kinds = {"x": "categorical"} if name == "mixed types" else None
    schema = Schema.of(frame, unseen="refuse", reading=reading, kinds=kinds)
    column = schema.columns[0]
    rules = CellRules(missing=reading.missing)
    empty = encode_column(column, to_narwhals(frame, "frame")["x"], rules).empty
    assert 0 < column.missing == empty.mean() < 1, column.kind
    if column.levels is None:
        assert column.low >= 0


def test_a_schema_keeps_its_codes(tmp_path):
    frame = pandas.DataFrame({"x": [1.25, -999.0, 3.5, 4.75, 2.125] * 9, "y": list("abc?b") * 9})
    missing = ("-999", "y=a")
    schema = Schema.of(frame, reading=Reading(missing=missing))
    builder = SchemaBuilder(missing=missing).update(frame[:20]).update(frame[20:])
    assert builder.schema() == schema and schema.missing == missing
    empty = (frame == -999.0) | (frame == "a") | (frame == "?")
    schema.write(tmp_path / "schema.toml")
    for each in (schema, builder.schema(), Schema.from_dict(schema.to_dict())):
        rows = each.encode(frame)
        np.testing.assert_array_equal(np.isnan(rows.tensor().numpy()), empty)
        assert rows.notes == ()
    assert Schema.read(tmp_path / "schema.toml") == schema
    draws = np.zeros((len(frame), len(schema.modelled)))
    assert not (schema.complete(frame, draws) == -999.0).any(axis=None)
    assert load(frame, missing=missing).spec.schema.missing == missing
    assert "missing" not in Schema.of(frame).to_dict()


@pytest.mark.parametrize("missing", [-999, "-999", [-999], {"-999": 1}], ids=repr)
def test_codes_of_a_record_are_texts(missing):
    record = Schema((), 0).to_dict()
    with pytest.raises(DataError):
        Schema.from_dict({**record, "missing": missing})


def test_a_table_with_codes_in_dates_and_levels_is_loaded(tmp_path):
    rows = [f"2004-03-{1 + i % 28:02},{i % 4},{i}.{i % 7}5" for i in range(100)]
    rows[3], rows[40] = "unknown,-999,1.5", "UNKNOWN,-999.0,2.5"
    path = tmp_path / "table.csv"
    path.write_text("\n".join(["day,rooms,price", *rows]))
    data = load(path, missing=["unknown", -999], unseen="refuse")
    assert [each.kind for each in data.spec.schema.columns[:2]] == ["date", "ordinal"]
    parts = (data.train, data.validation, data.test)
    cells = np.concatenate([part.tensor().numpy() for part in parts if part is not None])
    assert np.isnan(cells).sum(0).tolist() == [2, 2, 0]


OBJECTS = {
    "lists": [["a"], ["b"]],
    "records": [{"a": 1}, {"b": 2}],
    "arrays": [np.zeros(2), np.ones(2)],
    "sets": [{1}, None],
}
COLUMNS = (
    Column("x", "binary", "bernoulli", levels=("f", "m")),
    Column("x", "continuous", "normal"),
    Column("x", "date", "normal", unit="day"),
)
OBJECT_FRAMES = {
    "pandas": lambda cells: pandas.DataFrame({"x": pandas.Series(cells, dtype=object)}),
    "polars": lambda cells: polars.DataFrame({"x": polars.Series(cells, dtype=polars.Object)}),
}


@pytest.mark.parametrize("library", OBJECT_FRAMES)
@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: column.kind)
@pytest.mark.parametrize("cells", OBJECTS.values(), ids=OBJECTS)
def test_cells_that_are_no_single_values_are_refused(cells, column, library):
    with pytest.raises(DataError) as caught:
        Schema((column,), 2).encode(OBJECT_FRAMES[library](cells))
    assert caught.value.argument == "frame"


@pytest.mark.parametrize("library", OBJECT_FRAMES)
@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: column.kind)
def test_objects_that_stand_for_missing_cells_are_missing(column, library):
    cells = [pandas.NA, None, float("nan"), pandas.NaT]
    rows = Schema((column,), 4).encode(OBJECT_FRAMES[library](cells))
    assert np.isnan(rows.tensor().numpy()).all() and rows.notes == ()


@pytest.mark.parametrize("day", [10_000_000, -10_000_000, 2_932_897, -719_163])
def test_dates_beyond_the_calendar_of_python_are_refused(day):
    days = polars.Series([day, 5, 7] * 9).cast(polars.Date)
    frame = polars.DataFrame({"day": days, "y": [1, 2, 3] * 9})
    for source in (frame, frame[[0, 3]]):
        with pytest.raises(DataError, match="day"):
            Schema.of(source)
    assert Schema.of(frame, kinds={"day": "identifier"}).columns[0].kind == "identifier"


def test_empty_texts_do_not_hide_the_format_of_dates():
    column = Column("d", "date", "discretised_logistic", "Date", unit="day", step=1.0)
    frame = pandas.DataFrame({"d": ["", "1970-01-02", None, "1970-01-05"]})
    cells = Schema((column,), 4).encode(frame).tensor()[:, 0]
    np.testing.assert_array_equal(cells, [np.nan, 1, np.nan, 4])
