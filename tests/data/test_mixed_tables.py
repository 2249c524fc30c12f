"""Tables of mixed columns: every row and every usable column is kept, and encoded by the schema."""

import numpy as np
import pytest
import torch

from aevb import data
from aevb.errors import AevbError, ArgumentError, DataError

pl = pytest.importorskip("polars")
pd = pytest.importorskip("pandas")


def people(n=300, seed=0):
    """A table with numbers, categories, whole numbers, holes, an identifier and a constant."""
    rng = np.random.default_rng(seed)
    sex = rng.integers(0, 2, n)
    age = rng.integers(18, 80, n).tolist()
    for place in rng.choice(n, n // 5, replace=False):
        age[place] = None
    return pl.DataFrame(
        {
            "id": [f"p{i}" for i in range(n)],
            "sex": np.array(["f", "m"])[sex],
            "age": age,
            "height": rng.normal(165 + 13 * sex, 7).round(3),
            "city": rng.choice(["Bern", "Oslo", "Rome"], n),
            "planet": ["earth"] * n,
        }
    )


NAMES = ("sex", "age", "height", "city")


def note(notes, code):
    return next((each for each in notes if each.code == code), None)


@pytest.fixture(scope="module")
def loaded():
    return data.load(people())


def test_every_row_and_every_usable_column_is_kept(loaded):
    spec = loaded.spec
    assert (spec.columns, spec.support, spec.likelihood) == (NAMES, "mixed", "columns")
    assert sum(map(len, (loaded.train, loaded.validation, loaded.test))) == 300
    assert np.isnan(loaded.train.tensor().numpy()).any(0).tolist() == [False, True, False, False]
    assert note(spec.notes, "rows_dropped") is None
    assert note(spec.notes, "columns_excluded").data["columns"] == {
        "id": "identifier",
        "planet": "constant",
    }
    assert note(spec.notes, "cells_missing").data["columns"] == {"age": pytest.approx(0.2)}
    assert data.Spec.from_dict(spec.to_dict()) == spec


def test_the_schema_is_that_of_the_training_rows(loaded):
    frame = people().sample(fraction=1, seed=3, shuffle=True)
    cut = frame.with_columns(
        pl.when(pl.int_range(pl.len()) == 299).then(pl.lit("Pisa")).otherwise("city").alias("city")
    )
    found = data.load(cut, order="time")
    assert found.spec.schema.rows == 240
    assert "Pisa" not in found.spec.schema.columns[4].levels
    assert note(found.spec.notes, "unseen_categories").data["columns"] == {"city": 1}
    assert np.isnan(found.test[-1].numpy()[3])
    with pytest.raises(DataError, match="Pisa"):
        data.load(cut, order="time", unseen="refuse")


@pytest.mark.parametrize("library", [pl.DataFrame, pd.DataFrame], ids=["polars", "pandas"])
def test_the_table_that_was_loaded_is_accepted_again(loaded, library):
    frame = people()
    rows = data.load_as(library(frame.to_dict(as_series=False)), loaded.spec)
    order = np.random.default_rng(0).permutation(300)
    other = frame.select(reversed(NAMES)).with_columns(extra=1)[order]
    again = data.load_as(other, loaded.spec)
    assert rows.notes == () and [each.code for each in again.notes] == ["columns_ignored"]
    np.testing.assert_array_equal(again.tensor().numpy(), rows.tensor().numpy()[order])
    cells = data.load_as(rows.tensor().numpy(), loaded.spec)  # encoded cells
    np.testing.assert_array_equal(cells.tensor().numpy(), rows.tensor().numpy())
    with pytest.raises(DataError, match="sex, height"):
        data.load_as(frame.drop("sex", "height"), loaded.spec)


def test_labels_are_taken_out_and_may_be_absent_later():
    frame = people().with_columns(
        pl.when(pl.col("age").is_null()).then(None).otherwise("city").alias("city")
    )
    found = data.load(frame, labels="city", condition="sex")
    assert found.spec.columns == ("age", "height") and found.spec.label_column == "city"
    labels = np.concatenate([part.labels for part in (found.train, found.validation, found.test)])
    assert (labels == -1).sum() == 60  # rows without a label are kept
    assert data.load_as(frame, found.spec).labels is not None
    assert data.load_as(frame.drop("city"), found.spec).labels is None


def test_a_file_is_read_as_a_frame(tmp_path, loaded):
    people().write_csv(tmp_path / "people.csv")
    found = data.load(tmp_path / "people.csv", missing="Oslo")
    assert found.spec.columns == NAMES
    assert note(found.spec.notes, "cells_missing").data["columns"]["city"] > 0.2
    assert len(data.load_as(tmp_path / "people.csv", found.spec)) == 300


@pytest.mark.parametrize("kinds", [["height=positive"], {"height": "positive"}])
def test_kinds_are_chosen_by_name(kinds, tmp_path):
    assert data.load(people(), kinds=kinds).spec.schema.columns[3].kind == "positive"
    (tmp_path / "kinds.toml").write_text('height = "positive"\n')
    found = data.load(people(), kinds=[str(tmp_path / "kinds.toml")])
    assert found.spec.schema.columns[3].kind == "positive"


@pytest.mark.parametrize(
    "options",
    [
        {"kinds": ["weight=positive"]},
        {"kinds": ["height=tall"]},
        {"kinds": ["positive"]},
        {"kinds": ["height=positive"], "likelihood": "normal"},
        {"unseen": "maybe"},
        {"network": "conv"},
    ],
)
def test_impossible_options_are_refused(options):
    with pytest.raises(ArgumentError) as caught:
        data.load(people(), **options)
    assert caught.value.argument == next(iter(options))


@pytest.mark.parametrize("text", [None, "[kinds", 'age = "purple"\n', "age = 3\n", "[[columns]]\n"])
def test_a_file_of_kinds_is_named_where_it_is_wrong(tmp_path, text):
    path = tmp_path / "kinds.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(AevbError) as caught:
        data.load(people(), kinds=str(path))
    assert caught.value.argument == "kinds"


def test_kinds_are_for_tables():
    with pytest.raises(ArgumentError) as caught:
        data.load(np.random.default_rng(0).normal(size=(50, 3)), kinds=["x=count"])
    assert caught.value.argument == "kinds"


def test_complete_real_numbers_are_read_as_numbers():
    x = np.random.default_rng(0).normal(size=(200, 2))
    frame = pl.DataFrame(x, schema=["a", "b"])
    found, numbers = data.load(frame).spec, data.load(frame, likelihood="normal").spec
    assert (found.scale, found.likelihood) == (numbers.scale, numbers.likelihood)
    assert data.load(frame.with_columns(name=pl.lit("x"))).spec.schema is None  # a constant
    assert data.load(frame, kinds={"a": "continuous"}).spec.schema is not None
    hole = frame.with_columns(pl.when(pl.col("a") > 2).then(None).otherwise("a").alias("a"))
    assert len(data.load(hole).train) == 160
    assert len(data.load(hole, likelihood="normal").train) < 160  # rows with holes are dropped


@pytest.mark.parametrize(
    "frame",
    [
        people().select("id", "planet"),
        people().select("sex")[:1],
        pd.DataFrame([[1, 2], [3, 4], [5, 6]], columns=["a", "a"]),
        pl.DataFrame({"x": [[1], [2, 3], [4]], "y": [1.5, 2.5, 3.5]}),
        people().with_columns(height=pl.lit(float("inf"))),
        people().select("id", one=pl.lit(1)),
        people().select("id", parts=pl.struct("id", "sex")),
    ],
    ids=["nothing usable", "one row", "equal names", "nested", "infinite", "one value", "parts"],
)
def test_tables_that_cannot_be_used_are_refused(frame):
    with pytest.raises(DataError) as caught:
        data.load(frame)
    assert caught.value.reason


@pytest.mark.parametrize("convert", [lambda frame: frame, pl.DataFrame.to_pandas])
def test_columns_of_lists_and_records_are_set_aside_and_put_back(convert):
    frame = people().select("height", "sex", parts=pl.struct("id", "sex"))
    frame = convert(frame.with_columns(tags=pl.lit([1, 2])))
    made = data.load(frame)
    kinds = {column.name: column.kind for column in made.spec.schema.columns}
    assert kinds["parts"] == kinds["tags"] == "identifier"
    assert made.spec.event_shape == (2,)
    rows = data.load_as(frame, made.spec)
    back = made.spec.schema.decode(rows, like=frame)
    assert [list(each) for each in back["tags"]] == [[1, 2]] * len(frame)
    assert list(back["parts"]) == list(frame["parts"])
    assert list(made.spec.schema.decode(rows).columns) == list(frame.columns)


def test_one_column_of_lists_beside_labels_is_the_data():
    frame = pl.DataFrame({"x": [[1.5, 2.0], [3.5, 4.0], [5.0, 1.0]] * 9, "label": [0, 1, 2] * 9})
    assert data.load(frame, labels="label").spec.event_shape == (2,)


def test_a_column_of_weights_is_no_data(tmp_path):
    weights = np.arange(len(people())) % 4
    frame = people().with_columns(times=weights)
    made, named = data.load(frame.drop("times"), weights=weights), data.load(frame, weights="times")
    assert named.spec.schema == made.spec.schema
    assert torch.equal(named.train.weights, made.train.weights)
    frame.write_csv(tmp_path / "people.csv")
    read = data.load(tmp_path / "people.csv", weights="times")
    assert torch.equal(read.validation.weights, made.validation.weights)


@pytest.mark.parametrize("values", [[-1.0, 2.0], [None, 1.0], [0.0, 0.0], ["a", "b"]])
def test_weights_below_0_empty_or_all_0_are_refused(values):
    frame = people().with_columns(w=pl.Series(values * len(people()))[: len(people())])
    with pytest.raises(ArgumentError) as caught:
        data.load(frame, weights="w")
    assert (caught.value.argument, caught.value.value) == ("weights", "w")
    with pytest.raises(DataError) as absent:
        data.load(frame, weights="no such column")
    assert absent.value.argument == "weights"
