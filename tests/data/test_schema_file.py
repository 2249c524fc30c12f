"""Schemas as records and TOML files."""

import numpy as np
import pandas
import pytest

from aevb.data import Schema
from aevb.errors import DataError

RNG = np.random.default_rng(2)
FRAME = pandas.DataFrame(
    {
        "age": np.rint(RNG.normal(45, 12, 300)),
        'the "size", µ': RNG.choice(["s", "m", "l"], 300),
        "hours": np.where(RNG.random(300) < 0.5, 40, RNG.integers(1, 99, 300)),
        "day": np.datetime64("2020-01-01") + RNG.integers(0, 900, 300),
        "share": RNG.beta(0.5, 0.5, 300),
        "same": [True] * 300,
    }
)


def test_what_is_written_is_what_is_read(tmp_path):
    schema = Schema.of(FRAME, unseen="refuse")
    schema.write(tmp_path / "schema.toml")
    assert Schema.read(tmp_path / "schema.toml") == schema
    assert Schema.from_dict(schema.to_dict()) == schema


@pytest.mark.parametrize(
    "text", ['age = "count"\n', '[kinds]\nage = "count"\n', '[[columns]]\nname="age"\nkind="count"']
)
def test_a_file_of_kinds_overrides_them(tmp_path, text):
    (tmp_path / "kinds.toml").write_text(text)
    assert Schema.of(FRAME, kinds=tmp_path / "kinds.toml").columns[0].kind == "count"


def test_a_whole_schema_is_a_file_of_kinds(tmp_path):
    path = tmp_path / "schema.toml"
    Schema.of(FRAME).write(path)
    path.write_text(path.read_text().replace('"integer"', '"count"', 1))
    found = Schema.of(FRAME, kinds=str(path))
    assert found.columns[0].likelihood == "negative_binomial"
    assert [c.kind for c in found.columns[1:]] == [c.kind for c in Schema.of(FRAME).columns[1:]]


@pytest.mark.parametrize(
    "name, change",
    [
        ("age", {"kind": "number"}),
        ("age", {"kind": "count"}),
        ("age", {"likelihood": "normal"}),
        ("age", {"scale": 0.0}),
        ("age", {"scale": "wide"}),
        ("age", {"shift": float("nan")}),
        ("age", {"step": 0.0}),
        ("age", {"missing": 2}),
        ("age", {"low": 99.0, "high": 1.0}),
        ("age", {"colour": "red"}),
        ('the "size", µ', {"levels": ["s"]}),
        ('the "size", µ', {"levels": ["s", "s", "m"]}),
        ('the "size", µ', {"levels": "sml"}),
        ('the "size", µ', {"pooled": ["x"]}),
        ("hours", {"atoms": [4.0, 2.0]}),
        ("hours", {"atoms": [], "edges": []}),
        ("hours", {"edges": [1.0, "a"]}),
        ("day", {"unit": ""}),
        ("day", {"unit": "month"}),
        ("share", {"low": 0.5, "high": 0.5}),
    ],
)
def test_nonsense_is_refused_with_the_column_and_the_field(name, change):
    record = Schema.of(FRAME).to_dict()
    column = next(each for each in record["columns"] if each["name"] == name)
    column.update(change)
    with pytest.raises(DataError) as caught:
        Schema.from_dict(record)
    assert f'"{name}"' in str(caught.value)
    assert any(field in str(caught.value) for field in (*change, "likelihood", "edges"))


@pytest.mark.parametrize(
    "change",
    [
        {"rows": -1},
        {"rows": "many"},
        {"unseen": "drop"},
        {"columns": 3},
        {"columns": [{}]},
        {"x": 1},
    ],
)
def test_records_of_other_shapes_are_refused(change):
    with pytest.raises(DataError):
        Schema.from_dict({**Schema.of(FRAME).to_dict(), **change})


DERIVED = FRAME[["age"]].assign(
    size=FRAME.iloc[:, 1],
    first=FRAME.iloc[:, 1].str.upper(),
    old=FRAME["age"] > 50,
    months=12 * FRAME["age"],
)


def test_derived_columns_are_written_and_serve_as_kinds(tmp_path):
    schema = Schema.of(DERIVED)
    assert [column.name for column in schema.derived] == ["first", "old", "months"]
    schema.write(tmp_path / "schema.toml")
    assert Schema.read(tmp_path / "schema.toml") == schema
    few = Schema.of(DERIVED[:40], kinds=tmp_path / "schema.toml")
    assert [column.source for column in few.derived] == ["size", "age", "age"]


def test_columns_that_are_not_derived_have_the_record_they_had():
    record = Schema.of(FRAME).to_dict()["columns"][0]
    assert "source" not in record and "codes" not in record
    column = Schema.from_dict({"rows": 9, "columns": [record]}).columns[0]
    assert "source" not in column.arguments and column.source == ""


@pytest.mark.parametrize(
    "place, change",
    [
        (2, {"source": "none"}),
        (2, {"source": "old"}),
        (2, {"source": ""}),
        (2, {"codes": [0, 1]}),
        (2, {"codes": [0, 1, 9]}),
        (2, {"codes": [0, 1, 0.5]}),
        (2, {"source_levels": ["s", "m", "xl"]}),
        (2, {"source_levels": []}),
        (2, {"likelihood": "categorical"}),
        (3, {"source_levels": [9, 8]}),
        (4, {"low": None}),
    ],
)
def test_a_derived_column_edited_into_nonsense_is_refused(place, change):
    record = Schema.of(DERIVED).to_dict()
    record["columns"][place] |= change
    with pytest.raises(DataError) as caught:
        Schema.from_dict(record)
    assert f'"{DERIVED.columns[place]}"' in str(caught.value)


def test_a_column_that_occurs_twice_is_refused():
    record = Schema.of(FRAME).to_dict()
    with pytest.raises(DataError, match='"age"'):
        Schema.from_dict({**record, "columns": record["columns"] + record["columns"][:1]})


@pytest.mark.parametrize(
    "text", ["= 3", "age = 3", '[kinds]\nage = ["count"]', "[[columns]]\nx = 1"]
)
def test_files_that_are_no_kinds_are_refused(tmp_path, text):
    (tmp_path / "kinds.toml").write_text(text)
    with pytest.raises(DataError) as caught:
        Schema.of(FRAME, kinds=tmp_path / "kinds.toml")
    assert str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    for call in (Schema.read, lambda path: Schema.of(FRAME, kinds=path)):
        with pytest.raises(DataError) as caught:
            call(tmp_path / "none.toml")
        assert caught.value.value == str(tmp_path / "none.toml")
