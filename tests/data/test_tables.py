"""Tables: CSV, Parquet and frames; what is excluded, dropped and refused."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from aevb import data as library
from aevb.data import load_as
from aevb.errors import ArgumentError, DataError, MissingExtraError

pl = pytest.importorskip("polars")
pd = pytest.importorskip("pandas")


def load(source, **arguments):
    """Load the complete rows of the columns of numbers of a table."""
    return library.load(source, **{"likelihood": "normal"} | arguments)


def write(folder, text, name="t.csv"):
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def table(source, **arguments):
    """All rows of a table in their order."""
    data = load(source, order="time", **arguments)
    return np.concatenate(
        [part.tensor().numpy() for part in (data.train, data.validation, data.test)]
    )


def note_data(data, code):
    """Return the data of the note with this code."""
    return next(note.data for note in data.spec.notes if note.code == code)


MIXED = "a,name,b,city\n1,x,2.5,Rome\n2,y,,Oslo\n3,z,4.5,Bern\n4,w,5.5,\n-5,v,1e2,Rome\n"


def test_text_columns_are_excluded_and_rows_with_empty_cells_dropped(tmp_path):
    data = load(write(tmp_path, MIXED), order="time")
    assert data.spec.columns == ("a", "b")
    np.testing.assert_array_equal(
        table(tmp_path / "t.csv"), [[1, 2.5], [3, 4.5], [4, 5.5], [-5, 100]]
    )
    assert str(data.spec.notes[0]) == "Read 4 rows of 2 columns: a, b."
    assert note_data(data, "columns_excluded")["columns"] == {"name": "text", "city": "text"}
    assert note_data(data, "rows_dropped") == {"dropped": 1, "rows": 5, "columns": {"b": 1}}


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_separators_and_line_ends(tmp_path, separator, end):
    text = MIXED.replace(",", separator).replace("\n", end)
    np.testing.assert_array_equal(
        table(write(tmp_path, text)), [[1, 2.5], [3, 4.5], [4, 5.5], [-5, 100]]
    )


def test_trailing_lines_byte_order_mark_and_spaces_are_ignored(tmp_path):
    text = "\ufeffa,b\n1, 2\n3, 4.5 \n5,6\n\n\n"
    data = load(write(tmp_path, text))
    assert data.spec.columns == ("a", "b")
    assert sorted(table(tmp_path / "t.csv").tolist()) == [[1, 2], [3, 4.5], [5, 6]]
    assert not any(note.code == "rows_dropped" for note in data.spec.notes)


def test_numbers_without_a_header_are_all_read(tmp_path):
    data = load(write(tmp_path, "1,2\n3,4\n5,6.5\n"))
    assert data.spec.columns == ("column_1", "column_2")
    assert len(table(tmp_path / "t.csv")) == 3
    assert note_data(data, "header_missing")["columns"] == ["column_1", "column_2"]


def test_a_single_column_is_a_table(tmp_path):
    assert table(write(tmp_path, "x\n1\n2.5\n3\n")).shape == (3, 1)


@pytest.mark.parametrize("mark", ["NA", "nan", "n/a", "NULL", "?", " "])
def test_missing_value_markers_are_empty_cells(tmp_path, mark):
    path = write(tmp_path, f"a,b\n1,2\n3,{mark}\n5,6.5\n7,8\n")
    np.testing.assert_array_equal(table(path), [[1, 2], [5, 6.5], [7, 8]])


def test_booleans_are_zero_and_one(tmp_path):
    np.testing.assert_array_equal(
        table(write(tmp_path, "a,b\n1.5,true\n2,false\n3,true\n")), [[1.5, 1], [2, 0], [3, 1]]
    )


def test_error_for_stray_text_names_column_row_and_line(tmp_path):
    path = write(tmp_path, "a,b\n1,2\n3,4\n5,oops\n7,bad\n8,9\n")
    with pytest.raises(
        DataError, match=r'column "b" .* holds numbers, but row 3 \(line 4 of .*\) holds "oops"'
    ):
        load(path)
    with pytest.raises(DataError, match=r'column "b" .* row 3 holds "oops"'):
        load(pd.read_csv(path))


def test_column_with_at_least_half_numbers_is_numeric(tmp_path):
    with pytest.raises(DataError, match='holds "x"'):
        load(write(tmp_path, "a,b\n1,1\n2,2\n3,x\n4,y\n"))
    assert load(write(tmp_path, "a,b\n1,1\n2,w\n3,x\n4,y\n")).spec.columns == ("a",)


def test_empty_column_is_excluded_without_dropping_rows(tmp_path):
    data = load(write(tmp_path, "a,b\n1,\n2.5,\n3,\n"))
    assert note_data(data, "columns_excluded")["columns"] == {"b": "empty"}
    assert len(table(tmp_path / "t.csv")) == 3


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "is empty"),
        ("a,b\n", "no rows"),
        ("a,b\nx,y\nz,w\n", "no column of numbers among a, b"),
        ("a,b\n1,\n,2\n", r"empty cell in every row: a \(1\), b \(1\)"),
        ("a,b\n1,2\n", "1 row cannot be split"),
        ("a,b\n1,2\n3,4,5\n6,7\n", "3 cells in line 3, and 2 columns"),
        ("a,b\n1,2\n3,inf\n6,7\n", 'NaN or infinite cell, the first in row 1, column "b"'),
        (b"a,b\n1,2\n\x81\xfe,4\n6,7\n", "not UTF-8: byte 0x81 at line 3"),
    ],
)
def test_bad_csv_is_refused(tmp_path, text, words):
    with pytest.raises(DataError, match=words):
        load(write(tmp_path, text))


def test_labels_are_a_column(tmp_path):
    data = load(write(tmp_path, MIXED), labels="city", order="time")
    assert data.spec.columns == ("a", "b")
    assert data.spec.class_names == ("Bern", "Rome")
    assert [
        data.spec.class_names[i]
        for i in (*data.train.labels, *data.validation.labels, *data.test.labels)
    ] == ["Rome", "Bern", "Rome"]
    assert note_data(data, "rows_dropped") == {
        "dropped": 2,
        "rows": 5,
        "columns": {"b": 1, "city": 1},
    }


def test_numeric_labels_are_classes_in_numeric_order(tmp_path):
    data = load(write(tmp_path, "a,k\n1.5,10\n2,9\n3,10\n"), labels="k", order="time")
    assert data.spec.class_names == ("9", "10")
    assert data.spec.columns == ("a",)


def test_unknown_column_suggests_the_nearest_name(tmp_path):
    with pytest.raises(DataError, match=r'a, name, b, city.*Did you mean labels="city"') as caught:
        load(write(tmp_path, MIXED), labels="citty")
    assert (caught.value.argument, caught.value.value) == ("labels", "citty")


def test_key_is_not_for_csv(tmp_path):
    with pytest.raises(ArgumentError) as caught:
        load(write(tmp_path, MIXED), key="a")
    assert (caught.value.argument, caught.value.value) == ("key", "a")


FRAME = {
    "a": [1, 2, 3, 4],
    "flag": [True, False, True, True],
    "b": [0.5, None, 2.5, 3.5],
    "name": ["x", "y", "z", "w"],
}
WANTED = [[1, 1, 0.5], [3, 1, 2.5], [4, 1, 3.5]]


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame(FRAME),
        pd.DataFrame(FRAME).convert_dtypes(),
        pd.DataFrame(FRAME).astype({"name": "category"}),
        pd.DataFrame(FRAME, index=[7, 7, 2, 1]),
        pl.DataFrame(FRAME),
        pl.LazyFrame(FRAME),
        pl.DataFrame(FRAME).with_columns(pl.col("a").cast(pl.Int8), pl.col("b").cast(pl.Float32)),
    ],
    ids=["pandas", "nullable", "category", "index", "polars", "lazy", "narrow"],
)
def test_frames_of_every_kind_agree(frame):
    assert load(frame, order="time").spec.columns == ("a", "flag", "b")
    np.testing.assert_array_equal(table(frame), WANTED)


def test_date_columns_are_excluded():
    frame = pl.DataFrame({"a": [1.5, 2, 3]}).with_columns(day=pl.date(2024, 1, 1))
    assert note_data(load(frame), "columns_excluded")["columns"] == {"day": "date"}


def test_columns_named_by_numbers_are_read():
    assert load(pd.DataFrame(np.random.default_rng(0).normal(size=(9, 2)))).spec.columns == (
        "0",
        "1",
    )


def test_parquet_of_columns(tmp_path):
    pl.DataFrame(FRAME).write_parquet(tmp_path / "t.parquet")
    np.testing.assert_array_equal(table(tmp_path / "t.parquet"), WANTED)


@pytest.mark.parametrize("kind", ["binary", "array", "list", "matrix"])
def test_parquet_with_a_column_of_rows(tmp_path, kind):
    x = np.random.default_rng(0).integers(0, 256, (9, 12)).astype(np.uint8)
    cells = {
        "binary": pl.Series([row.tobytes() for row in x]),
        "array": pl.Series(x.tolist(), dtype=pl.Array(pl.UInt8, 12)),
        "list": pl.Series(x.tolist(), dtype=pl.List(pl.UInt8)),
        "matrix": pl.Series(x.reshape(9, 3, 4).tolist(), dtype=pl.Array(pl.UInt8, (3, 4))),
    }
    pl.DataFrame({"pixels": cells[kind], "kind": list("abcabcabc"), "id": range(9)}).write_parquet(
        tmp_path / "t.parquet"
    )
    data = load(tmp_path / "t.parquet", labels="kind", order="time")
    assert data.spec.event_shape == ((3, 4) if kind == "matrix" else (12,))
    assert note_data(data, "columns_excluded")["columns"] == {"id": "other"}
    assert data.spec.class_names == ("a", "b", "c")
    np.testing.assert_array_equal(table(tmp_path / "t.parquet", key="pixels").reshape(9, 12), x)


def test_rows_of_different_lengths_are_refused():
    with pytest.raises(DataError, match=r'column "x" .*are not rows of numbers of one length'):
        load(pl.DataFrame({"x": [[1, 2], [3], [4, 5]]}))
    with pytest.raises(DataError, match="several columns of rows: x, y"):
        load(pl.DataFrame({"x": [[1], [2], [3]], "y": [[1], [2], [3]]}))
    with pytest.raises(DataError, match="single values"):
        load(pl.DataFrame({"x": [1.5, 2, 3]}), key="x")


def test_other_tables_are_matched_by_the_names_of_columns(tmp_path):
    spec = load(write(tmp_path, MIXED)).spec
    other = write(tmp_path, "b,extra,a\n1.5,t,10\n2.5,u,20\n", "other.csv")
    np.testing.assert_array_equal(load_as(other, spec).tensor().numpy(), [[10, 1.5], [20, 2.5]])
    np.testing.assert_array_equal(
        load_as(pd.read_csv(other), spec).tensor().numpy(), [[10, 1.5], [20, 2.5]]
    )
    np.testing.assert_array_equal(load_as(np.array([[1.0, 2.0]]), spec).tensor().numpy(), [[1, 2]])


@pytest.mark.parametrize(
    "text, words",
    [
        ("a,c\n1,2\n", r'no column "b"; it has a, c'),
        ("a,b\n1,x\n3,y\n", r'column "b" .*numbers, but row 1 \(line 2 of the file\) holds "x"'),
    ],
)
def test_other_tables_with_different_columns_are_refused(tmp_path, text, words):
    spec = load(write(tmp_path, MIXED)).spec
    with pytest.raises(DataError, match=words):
        load_as(write(tmp_path, text, "other.csv"), spec)


def test_no_row_of_other_data_is_dropped_silently(tmp_path):
    spec = load(np.random.default_rng(0).normal(size=(9, 2))).spec
    assert spec.columns is None
    rows = load_as(write(tmp_path, MIXED), spec)
    assert [(note.code, note.data["dropped"]) for note in rows.notes] == [("rows_dropped", 1)]
    assert len(rows) == 4


def test_without_polars_the_error_says_what_to_install(tmp_path, monkeypatch):
    path = write(tmp_path, MIXED)
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(MissingExtraError, match=r'pip install "aevb\[tables\]"'):
        load(path)


def test_importing_the_package_imports_no_table_or_image_library():
    heavy = ("polars", "pandas", "PIL", "narwhals", "sklearn")
    code = f"import sys, aevb.data; print([m for m in {heavy} if m in sys.modules])"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    assert out.stdout.strip() == "[]"


def require_table(name):
    path = Path(os.environ.get("AEVB_DATA", "")) / "tabular" / name
    if not os.environ.get("AEVB_DATA") or not path.exists():
        pytest.skip(f"{name} is not below $AEVB_DATA")
    return path


def test_mpg():
    data = load(require_table("mpg.csv"), labels="origin")
    assert data.spec.columns == (
        "mpg",
        "cylinders",
        "displacement",
        "horsepower",
        "weight",
        "acceleration",
        "model_year",
    )
    assert data.spec.class_names == ("europe", "japan", "usa")
    dropped = note_data(data, "rows_dropped")
    assert dropped == {"dropped": 6, "rows": 398, "columns": {"horsepower": 6}}
    assert note_data(data, "columns_excluded")["columns"] == {"name": "text"}


def test_titanic():
    data = load(require_table("titanic.csv"), labels="class")
    assert data.spec.columns == (
        "survived",
        "pclass",
        "age",
        "sibsp",
        "parch",
        "fare",
        "adult_male",
        "alone",
    )
    assert note_data(data, "rows_dropped") == {"dropped": 177, "rows": 891, "columns": {"age": 177}}
