"""Columns that are functions of another one: what is found, and what is no proof."""

import math

import numpy as np
import pandas
import polars
import pyarrow
import pytest

from aevb.data import Column, Schema, SchemaBuilder, load
from aevb.data._functions import Line
from aevb.data._number_fits import _lgamma
from aevb.errors import ArgumentError

N = 400
RNG = np.random.default_rng(0)
COLOUR = RNG.choice(["red", "blue", "green", "grey"], N)
HUE = {"red": 3, "blue": 1, "green": 2, "grey": 0}
AGE = RNG.integers(17, 60, N)
SIZE = RNG.normal(170, 9, N)


def sources(frame, **arguments):
    """The source of each derived column."""
    return {column.name: column.source for column in Schema.of(frame, **arguments).derived}


def hues(colours):
    return [HUE.get(colour) for colour in colours]


def without(values, places):
    return [None if place in places else value for place, value in enumerate(values)]


FOUND = {
    "of columns that determine each other the first one remains": (
        {"hue": hues(COLOUR), "colour": COLOUR},
        {"colour": "hue"},
    ),
    "categories remain rather than numbers": (
        {"code": AGE, "name": [f"n{age}" for age in AGE]},
        {"code": "name"},
    ),
    "the finer column remains, wherever it stands": (
        {"warm": COLOUR == "red", "colour": COLOUR},
        {"warm": "colour"},
    ),
    "all columns of a chain follow from the finest": (
        {"old": AGE >= 30, "decade": AGE // 10, "age": AGE},
        {"old": "age", "decade": "age"},
    ),
    "numbers in other units": (
        {"m": SIZE / 100, "cm": SIZE, "inches from 5 feet": SIZE / 2.54 - 60},
        {"cm": "m", "inches from 5 feet": "m"},
    ),
    "equal columns": ({"a": SIZE, "b": SIZE, "c": -SIZE}, {"b": "a", "c": "a"}),
    "whole numbers on a line": ({"age": AGE, "born": 2000 - AGE}, {"born": "age"}),
    "float32": ({"a": SIZE.astype("f4"), "b": (3 * SIZE).astype("f4")}, {"b": "a"}),
    "an empty cell that the other says": (
        {"colour": without(COLOUR, range(9)), "hue": hues(COLOUR)},
        {"hue": "colour"},
    ),
    "empty cells of the function": (
        {"colour": COLOUR, "warm": without(COLOUR == "red", range(99))},
        {"warm": "colour"},
    ),
    "a value that is always empty": (
        {"colour": COLOUR, "hue": [None if c == "red" else HUE[c] for c in COLOUR]},
        {"hue": "colour"},
    ),
}


@pytest.mark.parametrize("case", FOUND)
def test_functions_are_found(case):
    values, expected = FOUND[case]
    frame = polars.DataFrame({name: list(cells) for name, cells in values.items()}, strict=False)
    if case == "float32":
        frame = frame.cast(polars.Float32)
    assert sources(frame) == expected
    assert sources(frame.to_pandas()) == expected
    assert sources(frame.to_arrow()) == expected


NOT_FOUND = {
    "one row contradicts": {
        "colour": COLOUR,
        "hue": [*hues(COLOUR[:-1]), (HUE[COLOUR[-1]] + 1) % 4],
    },
    "few rows": {"colour": COLOUR[:90], "hue": hues(COLOUR[:90])},
    "values that occur once": {"key": np.arange(N) // 1.1 // 1, "truth": RNG.random(N) < 0.5},
    "two rows for a value": {"key": np.arange(N) // 2 * 3.5, "truth": np.arange(N) // 2 % 2 == 0},
    "one rare value": {"key": RNG.permutation(N) % 3, "rare": np.arange(N) == 7},
    "an empty cell that several values say": {
        "colour": without(COLOUR, range(9)),
        "warm": COLOUR == "red",
    },
    "whether a cell is empty": {
        "colour": without(COLOUR, range(0, N, 2)),
        "known": [place % 2 == 1 for place in range(N)],
    },
    "a line with noise": {"a": SIZE, "b": SIZE + 1e-6 * RNG.normal(size=N)},
    "close times": {"a": 1.7e9 + AGE * 1e5, "b": 1.7e9 + AGE * 1e5 + RNG.integers(0, 3, N)},
    "few numbers on a line": {"a": SIZE[:15], "b": 2 * SIZE[:15]},
}


@pytest.mark.parametrize("case", NOT_FOUND)
def test_accidents_are_no_functions(case):
    frame = polars.DataFrame(
        {name: list(cells) for name, cells in NOT_FOUND[case].items()}, strict=False
    )
    assert sources(frame) == {}


@pytest.mark.parametrize("rows", [120, 300, 1000])
def test_independent_columns_are_no_functions(rows):
    rng = np.random.default_rng(rows)
    columns = {f"{n} {s}": rng.integers(0, n, rows) for n in (2, 3, 9, 40, 200) for s in range(5)}
    columns |= {f"rare {s}": rng.random(rows) < 0.01 for s in range(9)}
    assert sources(polars.DataFrame(columns)) == {}


def test_rare_values_of_the_source_must_not_hide_what_follows_from_them():
    codes = RNG.permutation(
        np.concatenate([np.arange(50).repeat(20), np.arange(50, 300).repeat(4)])
    )
    names = [f"n{code}" for code in codes]
    frame = polars.DataFrame({"name": names, "odd": codes % 2 == 1, "code": codes})
    assert Schema.of(frame).columns[0].pooled
    assert sources(frame) == {"code": "name"}


@pytest.mark.parametrize("seed", range(3))
def test_any_division_of_the_rows_gives_the_same_functions(seed):
    rng = np.random.default_rng(seed)
    colours = without(COLOUR, range(50))
    frame = polars.DataFrame(
        {
            "hue": hues(colours), "colour": colours, "warm": [c == "red" for c in COLOUR],
            "age": AGE, "old": AGE >= 30, "m": SIZE / 100, "cm": without(SIZE, range(99)),
        }
    )  # fmt: skip
    part = np.where(np.arange(N) < 50, 0, rng.integers(0, 5, N))
    builders = [SchemaBuilder().update(frame.filter(part == i)) for i in range(5)]
    whole = SchemaBuilder()
    for i in rng.permutation(5):
        whole.merge(builders[i])
    expected = Schema.of(frame)
    assert {c.name: c.source for c in expected.derived} == {
        "colour": "hue", "old": "age", "cm": "m"
    }  # fmt: skip
    assert whole.schema().derived == expected.derived


def test_a_line_has_no_rounding_errors():
    x = np.round(RNG.normal(20, 5, 99), 1)
    line = Line.through(x, 32 + 1.8 * x, 99, 1e-12)
    assert (line.scale, line.shift) == (1.8, 32.0)
    assert (line.inverse.inverse.scale, line.inverse.inverse.shift) == (1.8, 32.0)


FRAME = polars.DataFrame({"colour": COLOUR, "hue": hues(COLOUR), "age": AGE}, strict=False)


def test_a_requested_kind_decides():
    assert sources(FRAME, kinds={"hue": "ordinal"}) == {}
    assert sources(FRAME, kinds={"colour": "derived:hue"}) == {"colour": "hue"}
    assert sources(FRAME.head(20), kinds={"hue": "derived:colour"}) == {"hue": "colour"}
    kept = Schema.of(FRAME, kinds={"hue": "categorical"})
    assert [column.kind for column in kept.columns[:2]] == ["categorical", "categorical"]


@pytest.mark.parametrize(
    "kinds",
    [
        {"age": "derived:colour"},
        {"hue": "derived"},
        {"hue": "derived:"},
        {"hue": "derived:hue"},
        {"hue": "derived:size"},
        {"hue": "derived:colour", "colour": "derived:hue"},
        {"hue": "derived:colour", "colour": "identifier"},
    ],
)
def test_impossible_requests_are_refused(kinds):
    with pytest.raises(ArgumentError) as caught:
        Schema.of(FRAME, kinds=kinds)
    assert caught.value.argument == "kinds" and next(iter(kinds)) in str(caught.value)


def test_the_schema_of_a_table_of_one_column_or_of_thousands_is_learned():
    assert sources(FRAME.select("age")) == {}
    wide = {f"c{place}": RNG.integers(0, 2, 50) for place in range(1200)}
    assert len(Schema.of(polars.DataFrame(wide)).columns) == 1200


def test_columns_of_every_library_have_the_same_functions():
    values = {"colour": COLOUR.tolist(), "hue": hues(COLOUR), "warm": (COLOUR == "red").tolist()}
    frames = (pandas.DataFrame(values), polars.DataFrame(values), pyarrow.table(values))
    found = [Schema.of(frame).derived for frame in frames]
    assert found[0][0].codes == found[1][0].codes == found[2][0].codes == (1, 2, 0, 3)
    categories = frames[0].astype({"colour": "category", "hue": "Int8"})
    assert Schema.of(categories).derived[0].codes == (1, 2, 0, 3)
    assert all(isinstance(column, Column) for column in found[0])


def test_a_schema_that_is_given_is_used_as_it_is():
    schema = Schema.of(FRAME, kinds={"hue": "categorical"})
    assert load(FRAME.head(200), kinds=schema).spec.schema == schema


def test_the_gamma_function_of_large_numbers_is_exact():
    x = np.concatenate([np.linspace(20, 1e3, 99), np.logspace(3, 9, 50)])
    assert np.allclose(_lgamma(x), [math.lgamma(each) for each in x], rtol=1e-12)
