"""Cells of derived columns: checked and left out by encoding, put back by decoding."""

import numpy as np
import pandas
import polars
import pyarrow
import pytest
import torch

from aevb.data import Schema
from aevb.errors import DataError

N = 300
RNG = np.random.default_rng(0)
HUE = {"red": 3, "blue": 1, "green": 2, "grey": 0}
COLOUR = RNG.choice(list(HUE), N)
AGE = RNG.integers(17, 60, N)
SIZE = np.round(RNG.normal(170, 9, N), 1)
FRAME = polars.DataFrame(
    {
        "hue": [HUE[colour] for colour in COLOUR],
        "colour": COLOUR,
        "warm": COLOUR == "red",
        "age": AGE,
        "group": [f"{age // 10}0s" for age in AGE],
        "cm": SIZE,
        "mm": (10 * SIZE).round().astype(int),
    }
)
SCHEMA = Schema.of(FRAME)
MAKERS = {
    "polars": lambda: FRAME,
    "pandas": lambda: FRAME.to_pandas().astype({"colour": "category", "hue": "Int8"}),
    "pyarrow": FRAME.to_arrow,
}


def changed(**cells):
    """The frame with cells replaced, as ``column=(row, value)``."""
    columns = {
        name: polars.Series(
            [value if place == row else x for place, x in enumerate(FRAME[name])],
            dtype=FRAME[name].dtype,
            strict=False,
        )
        for name, (row, value) in cells.items()
    }
    return FRAME.with_columns(**columns)


def contradictions(rows):
    return {
        name: count
        for note in rows.notes
        if note.code == "contradictions"
        for name, count in note.data["columns"].items()
    }


def test_derived_columns_add_no_cells_and_the_others_stay():
    assert [column.name for column in SCHEMA.modelled] == ["hue", "age", "cm"]
    kept = Schema.of(FRAME.select("hue", "age", "cm"))
    rows = SCHEMA.encode(FRAME)
    assert torch.equal(rows.tensor(), kept.encode(FRAME).tensor()) and not rows.notes
    assert SCHEMA.measure == kept.measure


@pytest.mark.parametrize("library", MAKERS)
def test_decoding_puts_them_back_exactly(library):
    frame = MAKERS[library]()
    decoded = Schema.of(frame).decode(SCHEMA.encode(frame), like=frame)
    if library == "pandas":
        pandas.testing.assert_frame_equal(decoded, frame)
    else:
        assert decoded.equals(frame)


def test_samples_have_possible_pairs_only():
    cells = torch.stack(
        [torch.tensor([0.0, 1, 2, 3] * 50), torch.randn(200) * 9, torch.randn(200) * 9], 1
    )
    made = SCHEMA.decode(cells)
    assert made.columns == FRAME.columns and made.dtypes == FRAME.dtypes
    assert made["hue"].to_list() == [HUE[colour] for colour in made["colour"]]
    assert made["warm"].equals(made["colour"] == "red", check_names=False)
    assert np.allclose(made["mm"], 10 * made["cm"])
    groups = dict(zip(AGE.tolist(), FRAME["group"], strict=True))
    seen = np.array(sorted(groups))
    below = [max([a for a in seen if a <= age], default=seen[0]) for age in made["age"]]
    assert made["group"].to_list() == [groups[age] for age in below]


@pytest.mark.parametrize(
    "cells",
    [
        {"colour": (5, next(c for c in HUE if c != COLOUR[5]))},
        {"colour": (5, "pink")},
        {"warm": (5, COLOUR[5] != "red")},
        {"group": (5, "90s")},
        {"mm": (5, 17)},
        {"hue": (5, None), "colour": (5, "pink")},
    ],
)
def test_a_contradiction_is_counted_and_taken_as_missing(cells):
    frame = changed(**cells)
    rows = SCHEMA.encode(frame)
    (name,) = [name for name, count in contradictions(rows).items() if count == 1]
    assert name == list(cells)[-1]
    without = SCHEMA.encode(frame.drop(name))
    assert torch.equal(rows.tensor().nan_to_num(-9), without.tensor().nan_to_num(-9))
    with pytest.raises(DataError, match=name):
        Schema.of(FRAME, unseen="refuse").encode(frame)


def test_a_new_source_is_a_missing_cell_and_no_contradiction():
    rows = SCHEMA.encode(changed(hue=(5, 9), age=(6, 75)))
    assert [note.code for note in rows.notes] == ["unseen_categories"]
    assert rows.tensor()[5, 0].isnan() and rows.tensor()[6, 1].isfinite()


def test_an_empty_source_is_filled_where_one_value_remains():
    frame = changed(hue=(5, None), cm=(6, None), age=(7, None))
    rows, whole = SCHEMA.encode(frame).tensor(), SCHEMA.encode(FRAME).tensor()
    assert rows[5, 0] == whole[5, 0] and rows[6, 2] == pytest.approx(whole[6, 2].item())
    assert rows[7, 1].isnan()
    known = SCHEMA.encode(frame.drop("colour")).tensor()[5, 0]
    assert known == 3 if COLOUR[5] == "red" else known.isnan()  # warm says it of red alone


@pytest.mark.parametrize("library", MAKERS)
def test_completing_fills_both_columns_alike(library):
    holes = {name: polars.Series([None] * 9 + FRAME[name][9:].to_list()) for name in FRAME.columns}
    frames = {"polars": FRAME.with_columns(**holes).cast(dict(FRAME.schema))}
    frames["pandas"] = frames["polars"].to_pandas()
    frames["pyarrow"] = frames["polars"].to_arrow()
    draws = torch.zeros(2, N, 3)
    draws[1] = 1
    for number, made in enumerate(SCHEMA.complete(frames[library], draws)):
        full = polars.DataFrame(made) if library != "polars" else made
        assert full["colour"][:9].to_list() == [["grey", "blue"][number]] * 9
        assert full["warm"][:9].to_list() == [False] * 9
        assert np.allclose(full["mm"][:9].cast(float), 10 * full["cm"][:9])
        assert full[9:].select("hue", "colour").equals(FRAME[9:].select("hue", "colour"))


def test_empty_cells_follow_from_their_source_and_contradictions_stay():
    other = next(c for c in HUE if c != COLOUR[5])
    frame = changed(colour=(4, None), hue=(6, None), warm=(7, None)).with_columns(
        polars.when(polars.int_range(N) == 5).then(polars.lit(other)).otherwise("colour")
        .alias("colour")
    )  # fmt: skip
    made = SCHEMA.complete(frame, np.zeros((N, 3)))
    assert made["colour"][4] == COLOUR[4] and made["hue"][6] == HUE[COLOUR[6]]
    assert made["warm"][7] == (COLOUR[7] == "red") and made["colour"][5] == other


def test_a_value_beside_which_the_column_is_empty_gives_an_empty_cell():
    frame = FRAME.with_columns(name=polars.Series([None if c == "red" else c for c in COLOUR]))
    schema = Schema.of(frame.select("hue", "name"))
    made = schema.decode(schema.encode(frame))
    assert made["name"].to_list() == frame["name"].to_list()
    assert not contradictions(schema.encode(FRAME.with_columns(name="colour")))


def test_columns_are_found_by_name_and_may_be_absent():
    frame = FRAME.select(*reversed(FRAME.columns))
    assert torch.equal(SCHEMA.encode(frame).tensor(), SCHEMA.encode(FRAME).tensor())
    few = FRAME.drop("colour", "mm")
    made = SCHEMA.decode(SCHEMA.encode(few), like=few)
    assert made.equals(FRAME)


def test_rare_values_that_share_a_code_keep_their_own_value():
    codes = np.concatenate([np.arange(45).repeat(40), np.arange(45, 55).repeat(4)])
    frame = pandas.DataFrame({"name": [f"n{c}" for c in codes], "code": codes})
    schema = Schema.of(frame)
    assert schema.columns[0].pooled and schema.columns[1].source == "name"
    made = schema.decode(schema.encode(frame), like=frame)
    assert (made["name"] == "n" + made["code"].astype(str)).all() and made["code"].max() > 44


def test_arrow_dictionaries_hold_derived_values():
    frame = FRAME.to_arrow()
    place = frame.column_names.index("colour")
    frame = frame.set_column(place, "colour", frame["colour"].dictionary_encode())
    made = SCHEMA.decode(SCHEMA.encode(frame), like=frame)
    assert pyarrow.types.is_dictionary(made.schema.field("colour").type)
    assert made["colour"].to_pylist() == COLOUR.tolist()
