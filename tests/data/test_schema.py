"""The schema of a table: kinds of columns, overrides, notes and faults."""

import datetime as dt
from pathlib import Path

import numpy as np
import pandas
import polars
import pyarrow
import pytest

from aevb.data import Column, Reading, Schema
from aevb.data._column_kinds import RULES
from aevb.errors import ArgumentError, DataError

RNG = np.random.default_rng(0)
N = 600
FRAME = {"age": [20 + 7 * i % 40 for i in range(200)], "sex": ["fmm"[i % 3] for i in range(200)]}
LOGISTIC = "discretised_logistic"
START = np.datetime64("2020-01-01T00:00:07")

# what a column holds, and the kind and likelihood that a statistician would choose
CASES = {
    "nothing": ([None] * N, "constant", ""),
    "one value": ([3.5] * N, "constant", ""),
    "one text": (["a"] * N, "constant", ""),
    "row numbers": (list(range(N)), "identifier", ""),
    "shuffled row numbers": (RNG.permutation(N) + 1, "identifier", ""),
    "customer_id": (RNG.permutation(5000)[:N] + 10_000, "identifier", ""),
    "serial numbers": (RNG.integers(10**17, 10**18, N), "identifier", ""),
    "names": ([f"n{i}" for i in range(N)], "identifier", ""),
    "truths": ([True, False, None] * (N // 3), "binary", "bernoulli"),
    "two numbers": ([0.5, 1.5] * (N // 2), "binary", "bernoulli"),
    "two texts": (["yes", "no"] * (N // 2), "binary", "bernoulli"),
    "colours": (["red", "blue", "green"] * (N // 3), "categorical", "categorical"),
    "ratings": (RNG.integers(1, 6, N), "ordinal", "ordinal"),
    "halves": (RNG.integers(2, 11, N) / 2, "ordinal", "ordinal"),
    "days": (START.astype("datetime64[D]") + RNG.integers(0, 900, N), "date", LOGISTIC),
    "times": (START + RNG.integers(0, 10**7, N), "date", "normal"),
    "days in text": ([f"2004-03-{1 + i % 28:02}" for i in range(N)], "date", LOGISTIC),
    "python days": ([dt.date(2020, 1, 1 + i % 28) for i in range(N)], "date", LOGISTIC),
    "hours": (np.where(RNG.random(N) < 0.47, 40, RNG.integers(1, 99, N)), "spiky", "spiky"),
    "gains": (np.where(RNG.random(N) < 0.92, 0, RNG.integers(100, 9999, N)), "spiky", "spiky"),
    "rain": (np.where(RNG.random(N) < 0.3, 0, RNG.gamma(2, 3, N)), "spiky", "spiky"),
    "fares": (np.where(RNG.random(N) < 0.03, 0, RNG.lognormal(3, 1, N)), "spiky", "spiky"),
    "closed shares": (np.clip(RNG.normal(0.5, 0.4, N), 0, 1), "spiky", "spiky"),
    "visits": (RNG.negative_binomial(1, 0.03, N), "count", "negative_binomial"),
    "many zeros": (RNG.negative_binomial(0.3, 0.01, N), "count", "negative_binomial"),
    "ages": (np.rint(RNG.normal(45, 12, N)), "integer", LOGISTIC),
    "temperatures": (np.round(RNG.normal(18, 3, N), 1), "integer", LOGISTIC),
    "incomes": (RNG.lognormal(10, 1, N), "positive", "log_normal"),
    "open shares": (RNG.beta(0.5, 0.5, N), "bounded", "beta"),
    "percentages": (100 * RNG.beta(0.6, 0.6, N), "bounded", "beta"),
    "heights": (RNG.normal(170, 8, N), "continuous", "normal"),
    "returns": (RNG.standard_t(2.5, N), "continuous", "student_t"),
    "durations": (RNG.integers(0, 9999, N).astype("timedelta64[s]"), "continuous", "normal"),
    "numbers in text": ([f"{x:,.2f} kg" for x in RNG.normal(2e3, 3e2, N)], "continuous", "normal"),
}


def test_the_documentation_has_the_rules():
    page = (Path(__file__).parents[2] / "docs" / "tables.md").read_text(encoding="utf-8")
    for rule in RULES:
        likelihoods = " or ".join(f"`{name}`" for name in rule.likelihoods) or "set aside"
        if rule.kind == "derived":
            likelihoods = "probability 1 given the other column"
        assert f"| {rule.kind} | {rule.rule} | {likelihoods} |" in page, rule.kind


def of(values, **arguments):
    """The column of these values, beside one that can be modelled."""
    frame = pandas.DataFrame({"x": pandas.Series(values), "other": np.arange(len(values)) % 2})
    return Schema.of(frame, **arguments).columns[0]


@pytest.mark.parametrize("name", CASES)
def test_each_column_has_the_kind_of_its_values(name):
    values, kind, likelihood = CASES[name]
    frame = pandas.DataFrame({name: pandas.Series(values), "other": np.arange(N) % 2})
    column = Schema.of(frame).columns[0]
    assert (column.kind, column.likelihood) == (kind, likelihood), column.reason
    assert column.reason
    rule = next(rule for rule in RULES if rule.kind == kind)
    assert likelihood in (rule.likelihoods or ("",))


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_the_library_of_a_frame_does_not_change_its_schema(library):
    module = pytest.importorskip(library)
    frame = module.table(FRAME) if library == "pyarrow" else module.DataFrame(FRAME)
    columns = Schema.of(frame).columns
    assert [(c.name, c.kind, c.levels) for c in columns] == [
        ("age", "integer", None),
        ("sex", "binary", ("f", "m")),
    ]


def test_numbers_have_the_shift_scale_and_range_of_their_cells():
    x = RNG.normal(1e6, 2.0, 500)
    column = of(np.where(np.arange(500) < 100, np.nan, x))
    known = x[100:]
    assert (column.low, column.high, column.missing) == (known.min(), known.max(), 0.2)
    assert column.shift == pytest.approx(known.mean(), rel=1e-15)
    assert column.scale == pytest.approx(known.std(), rel=1e-9)  # of 2e-6 of the mean


def test_the_step_of_a_grid_divides_all_values():
    assert of(np.rint(RNG.normal(0, 30, N)) * 0.25).step == 0.25
    assert of(np.rint(RNG.normal(0, 30, N)) * 5).step == 5.0
    assert of((np.rint(RNG.normal(0, 30, N)) / 10).astype(np.float32)).step == 0.1


def test_a_spiky_column_has_its_repeated_values_as_atoms_and_edges_around_the_others():
    hours = CASES["hours"][0]
    column = of(hours)
    assert (column.atoms, column.step) == ((40.0,), 1.0)
    assert 10 < len(column.edges) <= 21
    assert column.edges[0] == hours.min() - 0.5 and column.edges[-1] == hours.max() + 0.5
    rest = hours[hours != 40]
    counts = np.histogram(rest, column.edges)[0]
    assert counts.sum() == len(rest) and counts.min() >= 10


def test_values_that_repeat_by_chance_are_no_atoms():
    rng = np.random.default_rng(5)
    readings = np.round(rng.lognormal(0.5, 0.5, 40), 1)
    assert np.unique(readings, return_counts=True)[1].max() >= 4  # 10 % of the cells
    assert of(readings).kind != "spiky"
    # a histogram of 80 counts is closer to them than the distribution that they were drawn from
    assert of(np.random.default_rng(30).negative_binomial(0.5, 0.03, 80)).kind == "count"


def test_categories_keep_the_order_and_the_unused_levels_of_their_dtype():
    sizes = pandas.Categorical(["m", "s"] * 50, ["s", "m", "l"], ordered=True)
    assert of(sizes).levels == ("s", "m", "l") and of(sizes).kind == "ordinal"
    names = pandas.Categorical(["m", "s"] * 50, ["s", "m", "l"])
    assert of(names).levels == ("s", "m", "l") and of(names).kind == "categorical"
    assert of(["m", "s", "l"] * 40).levels == ("l", "m", "s")


def test_the_order_of_an_enum_and_of_a_dictionary_is_kept():
    pyarrow = pytest.importorskip("pyarrow")
    places, sizes = [0, 1, 2, 1] * 25, ["s", "m", "l"]
    enum = polars.Series([sizes[i] for i in places], dtype=polars.Enum(sizes))
    dictionary = pyarrow.DictionaryArray.from_arrays(places, sizes, ordered=True)
    for frame in (polars.DataFrame({"x": enum}), pyarrow.table({"x": dictionary})):
        (column,) = Schema.of(frame).columns
        assert (column.kind, column.levels) == ("ordinal", ("s", "m", "l"))


def test_rare_levels_are_pooled_where_there_are_many():
    texts = [f"common{i % 39:02}" for i in range(3900)] + ["rare1"] * 2 + ["rare2"]
    column = of(texts)
    assert (column.pooled, column.pooled_counts) == (("rare1", "rare2"), (2, 1))
    assert column.n_levels == 40 and column.levels[-1] not in texts
    assert of([*texts[:-3], "rare"]).pooled == ()  # one level alone keeps its code
    assert of(["a"] * 50 + ["b"] * 50 + ["c", "d"]).pooled == ()  # few levels


def test_more_than_a_thousand_levels_are_an_identifier():
    texts = [f"t{i % 1001}" for i in range(5000)]
    assert of(texts).kind == "identifier"
    assert of([f"t{i % 1000}" for i in range(5000)]).kind == "categorical"


def test_texts_for_empty_cells_are_missing():
    column = of(["a", "b", "c", "?", "NA", " "] * 20)
    assert (column.levels, column.missing) == (("a", "b", "c"), 0.5)
    column = of(["a", "b", "none", "c"] * 20, reading=Reading(missing=("none",)))
    assert (column.levels, column.missing) == (("a", "b", "c"), 0.25)
    assert of([1.5, 2.5, -9.0, 4.0] * 9, reading=Reading(missing=("x=-9",))).missing == 0.25


def test_levels_that_look_alike_are_named_and_kept():
    schema = Schema.of(pandas.DataFrame({"x": ["Yes", "yes", "no", "no "] * 25}))
    (note,) = schema.notes
    assert note.code == "similar_levels"
    assert note.data["levels"] == [["Yes", "yes"], ["no", "no "]]
    assert schema.columns[0].n_levels == 4


def test_numbers_that_stand_for_missing_cells_are_named():
    schema = Schema.of(pandas.DataFrame({"x": [-999] * 9 + list(range(20, 120))}))
    (note,) = schema.notes
    assert note.code == "missing_codes"
    assert note.data["columns"] == {"x": [{"value": -999.0, "count": 9}]}


def test_kinds_are_overridden_by_name():
    schema = Schema.of(pandas.DataFrame(FRAME), kinds={"age": "count", "sex": "categorical"})
    assert [each.likelihood for each in schema.columns] == ["negative_binomial", "categorical"]


@pytest.mark.parametrize(
    "values, kind",
    [
        (CASES["heights"][0], "count"),
        (CASES["heights"][0], "integer"),
        (CASES["returns"][0], "positive"),
        (CASES["ages"][0], "binary"),
        (CASES["ages"][0], "constant"),
        (CASES["ages"][0], "date"),
        (CASES["heights"][0], "spiky"),
        (CASES["times"][0], "continuous"),
        (CASES["colours"][0], "continuous"),
        (CASES["colours"][0], "binary"),
        (["a", "b"], "unknown"),
    ],
)
def test_kinds_that_contradict_the_values_are_refused(values, kind):
    with pytest.raises(ArgumentError) as caught:
        of(values, kinds={"x": kind})
    assert caught.value.argument == "kinds" and '"x"' in str(caught.value)


@pytest.mark.parametrize("kind", [rule.kind for rule in RULES])
def test_every_kind_can_be_requested(kind):
    request = {"derived": "derived:other"}.get(kind, kind)
    values = {
        "constant": [1.0] * N,
        "binary": CASES["two numbers"][0],
        "derived": CASES["two numbers"][0],
        "date": CASES["days"][0],
        "bounded": CASES["closed shares"][0],
        "positive": CASES["incomes"][0],
        "spiky": CASES["fares"][0],
    }.get(kind, CASES["visits"][0])
    assert of(values, kinds={"x": request}).kind == kind


def test_unknown_columns_among_the_kinds_are_refused():
    with pytest.raises(ArgumentError) as caught:
        Schema.of(pandas.DataFrame(FRAME), kinds={"agee": "count"})
    assert any('"age"' in str(each) for each in caught.value.suggestions)
    with pytest.raises(ArgumentError):
        Schema.of(pandas.DataFrame(FRAME), kinds=["age"])


@pytest.mark.parametrize(
    "frame, words",
    [
        (pandas.DataFrame({"x": [1, 2, "a"] * 9}), ('"x"', "row 3", '"a"')),
        (pandas.DataFrame({"x": [*map(str, range(50)), "many"]}), ('"x"', "row 51", '"many"')),
        (pandas.DataFrame({"x": [1.0, np.inf, 2.0]}), ('"x"', "row 2", "inf")),
        (pandas.DataFrame({"x": [1e300, -1.0, 2.5]}), ('"x"', "1e+300")),
        (pandas.DataFrame({"x": [[1], [2]]}), ("x (identifier", "list")),
        (polars.DataFrame({"x": [{"a": 1}, {"a": 2}]}), ("x (identifier", "struct")),
        (pandas.DataFrame({"x": [1 + 2j, 2]}), ("x (identifier", "complex")),
        (pandas.DataFrame(np.zeros((3, 2)), columns=["x", "x"]), ("'x'",)),
        (pandas.DataFrame({("x", 1): [1, 2]}), ("levels",)),
        (pandas.DataFrame({"x": [1], "y": ["a"]}), ("x (constant", "y (constant")),
        (pandas.DataFrame({"x": [None, None]}), ("x (constant",)),
        (pandas.DataFrame({"x": []}), ("no rows",)),
        ([1, 2], ("list",)),
    ],
)
def test_tables_that_cannot_be_modelled_are_refused(frame, words):
    with pytest.raises(DataError) as caught:
        Schema.of(frame)
    assert all(word in str(caught.value) for word in words)


def test_columns_of_mixed_types_are_read_where_they_are_requested_as_categories():
    frame = pandas.DataFrame({"x": [1, 2, "a"] * 9})
    assert Schema.of(frame, kinds={"x": "categorical"}).columns[0].levels == ("1", "2", "a")


def test_a_column_with_many_texts_is_read_without_all_of_them():
    frame = polars.DataFrame({"x": [f"t{i}" for i in range(30_000)], "y": [0, 1, 2] * 10_000})
    column, _ = Schema.of(frame).columns
    assert column.kind == "identifier" and column.levels is None


def test_long_columns_of_numbers_and_dates_in_text_are_read_whole():
    n = 9000
    dates = pandas.date_range("2000-01-01", periods=n, freq="h").strftime("%Y-%m-%d %H:%M:%S")
    x = np.round(RNG.normal(5000, 900, n), 2)
    frame = pandas.DataFrame({"t": dates, "x": [f"{value:,.2f}" for value in x]})
    t, numbers = Schema.of(frame).columns
    assert (t.kind, t.low, t.high) == ("date", 946_684_800.0, 946_684_800.0 + 3600 * (n - 1))
    assert (numbers.low, numbers.high) == (x.min(), x.max())
    assert numbers.shift == pytest.approx(x.mean(), rel=1e-12)


@pytest.mark.parametrize("form", ["%Y-%m-%d", "%d/%m/%Y", "%Y-%m-%d %H:%M:%S"])
def test_dates_in_text_are_encoded_and_written_in_their_format(form):
    days = pandas.date_range("2004-03-10", periods=60).strftime(form)
    frame = pandas.DataFrame({"day": [*days, None], "x": [i % 7 for i in range(61)]})
    schema = Schema.of(frame)
    (day, _) = schema.columns
    assert (day.kind, day.unit, day.format, day.missing) == ("date", "day", form, 1 / 61)
    decoded = schema.decode(schema.encode(frame), like=frame)
    pandas.testing.assert_frame_equal(decoded, frame)


def test_a_file_is_read_with_all_its_rows_and_columns(tmp_path):
    path = tmp_path / "people.csv"
    path.write_text("age;wage;city\n" + "31;1.200,5;Rome\n45;?;Oslo\n28;900,0;Rome\n" * 20)
    schema = Schema.of(path)
    assert schema.rows == 60
    assert [(c.kind, round(c.missing, 2)) for c in schema.columns] == [
        ("ordinal", 0),
        ("binary", 0.33),
        ("binary", 0),
    ]
    assert schema.columns[1].levels == ("1.200,5", "900,0")


def test_the_text_of_a_schema_is_80_columns_wide_and_names_every_column():
    schema = Schema.of(pandas.DataFrame({**FRAME, "a very long name of a column": range(200)}))
    lines = str(schema).splitlines()
    assert max(map(len, lines)) <= 80 and len(lines) >= 5
    assert [row.name for row in schema.table()] == [column.name for column in schema.columns]
    assert schema._repr_html_().count("<tr>") == 4


def test_html_shows_names_as_text():
    assert "<b>" not in Schema((Column("<b>", "constant"),), 3)._repr_html_()


def test_every_value_that_repeats_far_more_than_its_neighbours_is_an_atom():
    gains = np.repeat([1055.0, 3103.0, 7298.0, 99999.0], 12)  # of a tax form
    rng = np.random.default_rng(0)
    frame = polars.DataFrame(
        {"gain": np.concatenate([np.zeros(900), gains, rng.integers(1, 9000, 52)])}
    )
    (column,) = Schema.of(frame).columns
    assert (column.kind, column.atoms) == ("spiky", (0.0, 1055.0, 3103.0, 7298.0, 99999.0))


@pytest.mark.parametrize("kind", [None, "continuous"])
def test_whole_numbers_beyond_those_of_float64_are_read_from_every_library(kind):
    numbers = [2**60 + 3 * place for place in range(40)] * 2
    kinds = None if kind is None else {"n": kind}
    table = {"n": numbers, "m": [*range(40)] * 2}
    frames = (pandas.DataFrame(table), polars.DataFrame(table), pyarrow.table(table))
    columns = [Schema.of(frame, kinds=kinds).columns[0] for frame in frames]
    assert columns[0] == columns[1] == columns[2]
    assert Schema.of(frames[2], kinds=kinds).encode(frames[2]).tensor().isfinite().all()


def test_the_ends_of_few_shares_are_no_atoms():
    shares = np.linspace(0, 1, 60) ** 2  # one cell at 0 and one at 1
    (column,) = Schema.of(polars.DataFrame({"x": shares})).columns
    assert column.kind in ("bounded", "continuous")
    repeated = np.concatenate([np.zeros(6), shares])
    (column,) = Schema.of(polars.DataFrame({"x": repeated})).columns
    assert column.kind == "spiky" and column.atoms == (0.0,)
