"""Constraints of tables: by construction, or by rejection."""

import datetime as dt
import json

import numpy as np
import pandas
import polars
import pyarrow
import pytest

from aevb.data import ConstrainedFrame, Identifier, Less, Range, Schema, Together, Unique
from aevb.data._constraints import constraint_from_dict
from aevb.data._rare_levels import without_rare_levels
from aevb.errors import ArgumentError, DataError

N = 60
RNG = np.random.default_rng(0)
CITIES = [("Paris", "FR", 1), ("Lyon", "FR", 2), ("Bonn", "DE", 3)]
PICKED = [CITIES[i] for i in RNG.integers(0, 3, N)]
STARTS = [dt.date(2020, 1, 1) + dt.timedelta(days=int(d)) for d in RNG.integers(0, 300, N)]
CELLS = {
    "id": [f"C-{i:03}" for i in range(1, N + 1)],
    "start": STARTS,
    "end": [
        s + dt.timedelta(days=int(d)) for s, d in zip(STARTS, RNG.integers(0, 9, N), strict=True)
    ],
    "low": RNG.integers(0, 50, N).tolist(),
    "high": None,
    "city": [city for city, _, _ in PICKED],
    "country": [country for _, country, _ in PICKED],
    "code": [code for _, _, code in PICKED],
    "age": RNG.integers(18, 99, N).tolist(),
}
CELLS["high"] = [low + int(d) for low, d in zip(CELLS["low"], RNG.integers(0, 20, N), strict=True)]
CONSTRAINTS = (
    Identifier("id", "C-{number:03}"),
    Less("low", "high"),
    Together("city", "country", "code"),
    Range("age", 18, 99),
    Unique("id"),
)
LIBRARIES = {
    "polars": polars.DataFrame,
    "pandas": pandas.DataFrame,
    "pyarrow": lambda cells: pyarrow.table(cells),
}


def cells_of(frame) -> dict[str, list]:
    import narwhals

    return narwhals.from_native(frame, eager_only=True).to_dict(as_series=False)


@pytest.mark.parametrize("library", LIBRARIES)
def test_restoring_what_was_prepared_gives_the_frame_back(library):
    frame = LIBRARIES[library](CELLS)
    constrained = ConstrainedFrame.of(frame, CONSTRAINTS)
    prepared = constrained.prepare(frame)
    assert set(cells_of(prepared)) == {
        "start",
        "end",
        "low",
        "high - low",
        "city, country, code",
        "age",
    }
    restored = constrained.restore(prepared)
    assert type(restored) is type(frame)
    assert cells_of(restored) == cells_of(frame)


@pytest.mark.parametrize("library", ["polars", "pandas"])
def test_differences_of_dates_are_modelled(library):
    cells = {"start": STARTS, "end": CELLS["end"]}
    if library == "pandas":
        cells = {name: pandas.to_datetime(values) for name, values in cells.items()}
    frame = LIBRARIES[library](cells)
    constrained = ConstrainedFrame.of(frame, [Less("start", "end")])
    assert cells_of(constrained.restore(constrained.prepare(frame))) == cells_of(frame)


def test_chains_are_restored_in_any_order():
    frame = polars.DataFrame({"a": [1, 2], "b": [3, 2], "c": [3, 9]})
    for constraints in ([Less("a", "b"), Less("b", "c")], [Less("b", "c"), Less("a", "b")]):
        constrained = ConstrainedFrame.of(frame, constraints)
        assert constrained.restore(constrained.prepare(frame)).equals(frame)


def test_missing_cells_violate_nothing():
    frame = polars.DataFrame({"a": [1, None, 3], "b": [None, 2, 3], "c": ["x", None, "x"]})
    constrained = ConstrainedFrame.of(
        frame, [Less("a", "b"), Unique("b"), Range("a", 0, 5), Together("a", "c")][:3]
    )
    restored = constrained.restore(constrained.prepare(frame))
    # the second is missing where the first is
    assert restored["b"].to_list() == [None, None, 3] and restored["a"].equals(frame["a"])


def test_drawn_rows_fulfil_everything():
    frame = polars.DataFrame(CELLS).drop("start", "end")
    constraints = (*CONSTRAINTS[:-1], Unique("low"))
    frame = frame.unique("low", maintain_order=True)
    constrained = ConstrainedFrame.of(frame, constraints)

    def draw(n, call):  # a model that knows nothing of the constraints
        rng = np.random.default_rng(call)
        return polars.DataFrame(
            {
                "low": rng.integers(-5, 60, n),
                "high - low": rng.integers(-9, 9, n),
                "city, country, code": rng.choice(['["Paris", "FR", 1]', '["Bonn", "DE", 3]'], n),
                "age": rng.integers(0, 200, n),
            }
        )

    found, note = constrained.sample(30, draw, accept=lambda f: f["low"] > 0)
    assert len(found) == 30 and found.columns == frame.columns and found.schema == frame.schema
    assert (found["low"] <= found["high"]).all() and found["age"].is_between(18, 99).all()
    assert found["low"].is_unique().all() and (found["low"] > 0).all()
    assert found["id"].to_list() == [f"C-{i:03}" for i in range(1, 31)]
    assert set(zip(found["city"], found["country"], found["code"], strict=True)) <= set(CITIES)
    assert note.data["kept"] >= 30 and note.data["drawn"] > note.data["kept"]


def test_a_condition_that_no_row_fulfils_ends_within_its_budget():
    frame = polars.DataFrame({"a": [1, 2]})
    constrained = ConstrainedFrame.of(frame, [])
    drawn = []

    def draw(n, call):
        drawn.append(n)
        return polars.DataFrame({"a": [1] * n})

    with pytest.raises(DataError):
        constrained.sample(10, draw, accept=lambda f: f["a"] > 1, max_tries=20)
    assert sum(drawn) == 200


@pytest.mark.parametrize(
    "constraints",
    [[Less("a", "none")], [Less("a", "b"), Less("c", "b")], [Together("a", "b"), Less("c", "a")]],
)
def test_columns_that_do_not_exist_or_are_replaced_twice_are_refused(constraints):
    frame = polars.DataFrame({"a": [1], "b": [2], "c": [1]})
    with pytest.raises(ArgumentError) as error:
        ConstrainedFrame.of(frame, constraints)
    assert error.value.argument == "constraints"


@pytest.mark.parametrize("constraint", [Less("a", "b"), Range("a", 2, None), Unique("c")])
def test_rows_that_violate_a_constraint_are_named(constraint):
    frame = polars.DataFrame({"a": [2, 1, 9], "b": [2, 0, 10], "c": [1, 1, 2]})
    with pytest.raises(DataError):
        ConstrainedFrame.of(frame, [constraint])


def test_impossible_arguments_are_refused():
    for make in (
        lambda: Range("a", 3, 2),
        lambda: Range("a", "x", 2),
        lambda: Together("a"),
        lambda: Unique(),
    ):
        with pytest.raises(ArgumentError):
            make()


@pytest.mark.parametrize(
    "constraint",
    [
        *CONSTRAINTS,
        Range("day", dt.date(2020, 1, 1), dt.datetime(2021, 1, 1, 12)),
        Range("age", np.int64(3)),
        Unique("a", "b"),
    ],
)
def test_constraints_come_back_from_json(constraint):
    record = json.loads(json.dumps(constraint.to_dict()))
    assert constraint_from_dict(record) == constraint
    assert repr(constraint_from_dict(record)).startswith(type(constraint).__name__)


@pytest.mark.parametrize(
    "record", [{}, {"class": "os.system"}, {"class": "Less"}, {"class": "Range", "colum": "a"}]
)
def test_a_damaged_record_of_a_constraint_is_refused(record):
    with pytest.raises(DataError):
        constraint_from_dict(record)


GAPS = np.random.default_rng(1)
DIFFERENCES = {
    "half normal": abs(GAPS.normal(size=300)),
    "exponential": GAPS.exponential(1, 300),
    "with zeros": np.where(np.arange(300) % 100 == 0, 0, GAPS.exponential(1, 300)),
    "whole numbers": GAPS.integers(0, 900, 300),
    "days": [dt.timedelta(days=int(day)) for day in GAPS.integers(0, 200, 300)],
    "seconds": [dt.timedelta(seconds=int(x)) for x in GAPS.integers(1, 200_000, 300)],
}


@pytest.mark.parametrize("name", DIFFERENCES)
def test_differences_near_zero_have_a_kind_without_negative_values(name):
    first = [dt.datetime(2020, 1, 1)] * 300 if name in ("days", "seconds") else [0] * 300
    second = [a + d for a, d in zip(first, DIFFERENCES[name], strict=True)]
    frame = polars.DataFrame({"a": first, "b": second})
    constrained = ConstrainedFrame.of(frame, [Less("a", "b")])
    prepared = constrained.prepare(frame)
    column = Schema.of(prepared, kinds=constrained.kinds(prepared)).columns[-1]
    assert column.kind in {"positive", "spiky", "count", "ordinal"}
    assert constrained.restore(prepared).equals(frame)


def test_differences_far_from_zero_keep_their_kind():
    frame = polars.DataFrame({"a": np.zeros(300), "b": GAPS.normal(10, 1, 300)})
    constrained = ConstrainedFrame.of(frame, [Less("a", "b")])
    assert constrained.kinds(constrained.prepare(frame)) == {}


@pytest.mark.parametrize("library", ["polars", "pandas"])
def test_a_range_of_the_larger_column_of_two_holds(library):
    frame = LIBRARIES[library]({"a": [1, 2, 3], "b": [2, 4, 6]})
    constrained = ConstrainedFrame.of(frame, [Less("a", "b"), Range("b", 0.5, 6.5), Range("a", 1)])

    def draw(n, call):
        return LIBRARIES[library]({"a": [-3, 2, 5] * n, "b - a": [0, 9, 1] * n})

    found, note = constrained.sample(4, draw)
    cells = cells_of(found)
    assert all(1 <= a <= b <= 6 for a, b in zip(cells["a"], cells["b"], strict=True))
    assert note.data["share"] == 1.0
    if library == "pandas":
        assert [*found.index] == [0, 1, 2, 3]


def test_identifiers_that_a_column_cannot_hold_are_refused():
    frame = polars.DataFrame({"id": [1, 2], "x": [1.0, 2.0]})
    with pytest.raises(ArgumentError):
        ConstrainedFrame.of(frame, [Identifier("id", "C-{number}")])
    constrained = ConstrainedFrame.of(frame, [Identifier("id", first=10)])
    assert constrained.restore(frame.select("x"))["id"].to_list() == [10, 11]


@pytest.mark.parametrize("library", ["polars", "pandas"])
def test_texts_of_few_rows_become_missing_cells(library):
    cells = {
        "city": ["Bonn"] * 50 + ["Kiel"] * 50 + ["Rare"] * 2,
        "number": ["1,5"] * 101 + ["2,5"],
        "x": [*range(102)],
    }
    frame = LIBRARIES[library](cells)
    found = cells_of(without_rare_levels(frame, 3))
    assert {cell if isinstance(cell, str) else None for cell in found["city"]} == {
        "Bonn",
        "Kiel",
        None,
    }
    assert found["x"] == cells["x"]


@pytest.mark.parametrize("library", ["polars", "pandas"])
@pytest.mark.parametrize("low", [dt.date(2020, 3, 1), dt.datetime(2020, 2, 29, 12)])
def test_ranges_of_dates_hold(library, low):
    days = [dt.date(2020, 1, 1), dt.date(2020, 3, 5), dt.date(2021, 1, 1)]
    cells = {"a": days if library == "polars" else pandas.to_datetime(days)}
    frame = LIBRARIES[library](cells)
    constraint = Range("a", low, dt.date(2020, 12, 31))
    with pytest.raises(DataError):
        ConstrainedFrame.of(frame, [constraint])
    constrained = ConstrainedFrame.of(frame[1:2], [constraint])
    found = cells_of(constrained.restore(frame))["a"]
    first = dt.datetime(2020, 3, 1) if library == "polars" else low
    assert [str(day)[:10] for day in found] == [str(first)[:10], "2020-03-05", "2020-12-31"]


@pytest.mark.parametrize("cells", [["a", "b"], [True, False], [dt.date(2020, 1, 1)] * 2])
def test_a_range_of_numbers_needs_a_column_of_numbers(cells):
    with pytest.raises(ArgumentError) as error:
        ConstrainedFrame.of(polars.DataFrame({"a": cells}), [Range("a", 0, 5)])
    assert error.value.argument == "constraints"
