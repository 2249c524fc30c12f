"""A frame that is encoded and decoded is the same frame, but for the rounding of real numbers."""

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import pandas
import polars
import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aevb.data import Column, Schema

DISCRETE = ("bernoulli", "categorical", "ordinal", "discretised_logistic", "negative_binomial")
EMPTY_TEXTS = ("", "NA", " ?")
BERLIN = "Europe/Berlin"
JOBS = ["cook", "Cook", "cook ", "ü", "1e", "x,y"]


@dataclass(frozen=True)
class Source:
    """Values of a kind, and the dtypes that hold them in each library."""

    values: st.SearchStrategy
    pandas: tuple = ()
    polars: tuple = ()
    pyarrow: tuple = ()


def decimals(digits):
    return st.integers(-999, 999).map(lambda number: Decimal(number).scaleb(-digits))


def moments(zone=None):
    start = dt.datetime(2001, 3, 4, tzinfo=zone)
    return st.integers(0, 10**6).map(lambda minutes: start + dt.timedelta(minutes=minutes))


def nullable(name, arrow):
    return (name, pandas.ArrowDtype(arrow))


REAL = st.floats(-1e6, 1e6, width=32)
SOURCES = {
    "truth": Source(
        st.booleans(), (object, *nullable("boolean", pyarrow.bool_())), (polars.Boolean,),
        (pyarrow.bool_(),),
    ),
    "text": Source(
        st.sampled_from(JOBS), ("str", object, *nullable("string", pyarrow.string())),
        (polars.String, polars.Categorical), (pyarrow.string(), pyarrow.large_string()),
    ),
    "hole": Source(
        st.sampled_from([*JOBS[:2], *EMPTY_TEXTS]), ("str", object), (polars.String,),
        (pyarrow.string(),),
    ),
    "category": Source(
        st.sampled_from(JOBS),
        (pandas.CategoricalDtype(["?", *JOBS]), pandas.CategoricalDtype([*JOBS, ""], True)),
        (polars.Enum([*JOBS, ""]),),
        (pyarrow.dictionary(pyarrow.int8(), pyarrow.string(), True),),
    ),
    "number category": Source(
        st.sampled_from([3, 5, 9]), (pandas.CategoricalDtype([9, 7, 3, 5], True),), (polars.Int64,),
        (pyarrow.dictionary(pyarrow.int32(), pyarrow.int64()),),
    ),
    "code": Source(
        st.integers(0, 2), ("Int8", "float64", "UInt8"), (polars.UInt8, polars.Float32),
        (pyarrow.uint8(), pyarrow.float64()),
    ),
    "whole": Source(
        st.integers(-60, 200), ("Int64", "float64", *nullable("Int16", pyarrow.int32())),
        (polars.Int16, polars.Int64, polars.Float64), (pyarrow.int16(), pyarrow.int64()),
    ),
    "count": Source(
        st.integers(0, 10).map(lambda n: n * n), ("UInt8", "float32"), (polars.UInt32,),
        (pyarrow.uint64(),),
    ),
    "real": Source(
        REAL, ("float64", "float32", "Float64", object), (polars.Float64, polars.Float32),
        (pyarrow.float64(), pyarrow.float32()),
    ),
    "positive": Source(
        st.floats(1e-3, 1e3), ("float64",), (polars.Float64,), (pyarrow.float64(),)
    ),
    "decimal": Source(
        decimals(2), (object, pandas.ArrowDtype(pyarrow.decimal128(9, 2))),
        (polars.Decimal(9, 2),), (pyarrow.decimal128(9, 2),),
    ),
    "number in text": Source(
        decimals(1).map(lambda number: f"{number:.1f}".replace(".", ",")), ("str",),
        (polars.String,), (pyarrow.string(),),
    ),
    "day": Source(
        moments().map(dt.datetime.date), (object, pandas.ArrowDtype(pyarrow.date32())),
        (polars.Date,), (pyarrow.date32(), pyarrow.date64()),
    ),
    "day in text": Source(
        moments().map(lambda time: time.strftime("%d/%m/%Y")), ("str",), (polars.String,),
        (pyarrow.string(),),
    ),
    "midnight": Source(
        moments().map(lambda time: dt.datetime.combine(time, dt.time())),
        ("datetime64[ns]", "datetime64[s]"), (polars.Datetime("us"),), (pyarrow.timestamp("ms"),),
    ),
    "time": Source(
        moments(), ("datetime64[us]",), (polars.Datetime("ns"),), (pyarrow.timestamp("s"),)
    ),
    "time in a zone": Source(
        moments(dt.UTC), (f"datetime64[ns, {BERLIN}]", "datetime64[us, America/New_York]"),
        (polars.Datetime("us", BERLIN),), (pyarrow.timestamp("us", BERLIN),),
    ),
    "duration": Source(
        st.integers(1, 10**4).map(lambda seconds: dt.timedelta(seconds=seconds)),
        ("timedelta64[ns]",), (polars.Duration("ms"),), (pyarrow.duration("s"),),
    ),
    "time of day": Source(
        moments().map(dt.datetime.time), (object,), (polars.Time,), (pyarrow.time64("us"),)
    ),
}  # fmt: skip
TEXTS = ("number in text", "day in text")


@st.composite
def tables(draw, library):
    """Values by the name of a column, and the dtypes of the columns."""
    names = draw(st.lists(st.sampled_from(list(SOURCES)), min_size=1, max_size=4, unique=True))
    rows = draw(st.integers(2, 40))
    values, dtypes = {}, {}
    for name in names:
        source = SOURCES[name]
        dtypes[name] = draw(st.sampled_from(getattr(source, library)))
        few = draw(st.lists(source.values, min_size=1, max_size=rows))
        cells = st.sampled_from(few) | (st.none() if draw(st.booleans()) else st.nothing())
        values[name] = draw(st.lists(cells, min_size=rows, max_size=rows))
    return {**values, "pair": ["ab"[row % 2] for row in range(rows)]}, dtypes


def make_pandas(values, dtypes):
    series = {
        name: pandas.Series(cells, dtype=dtypes.get(name, "str"), index=range(3, len(cells) + 3))
        for name, cells in values.items()
    }
    return pandas.DataFrame(series)


def make_polars(values, dtypes):
    return polars.DataFrame(
        [
            polars.Series(name, cells, dtypes.get(name, polars.String), strict=False)
            for name, cells in values.items()
        ]
    )


def make_pyarrow(values, dtypes):
    def array(cells, kind):
        if not pyarrow.types.is_dictionary(kind):
            return pyarrow.array(cells, kind)
        plain = pyarrow.array(cells, kind.value_type).dictionary_encode()
        return pyarrow.DictionaryArray.from_arrays(
            plain.indices.cast(kind.index_type), plain.dictionary, ordered=kind.ordered
        )

    kinds = {name: dtypes.get(name, pyarrow.string()) for name in values}
    return pyarrow.table({name: array(cells, kinds[name]) for name, cells in values.items()})


MAKERS = {"pandas": make_pandas, "polars": make_polars, "pyarrow": make_pyarrow}


def cells_of(frame, name):
    """The cells of a column as Python objects, ``None`` where they are missing."""
    if isinstance(frame, pandas.DataFrame):
        return [None if pandas.isna(cell) else cell for cell in frame[name].astype(object)]
    cells = frame[name].to_pylist() if isinstance(frame, pyarrow.Table) else frame[name].to_list()
    return [None if cell != cell else cell for cell in cells]


def dtypes_of(frame):
    """The dtypes of the columns, with categories and zones."""
    if isinstance(frame, pandas.DataFrame):
        return dict(frame.dtypes)
    return (
        dict(zip(frame.schema.names, frame.schema.types, strict=True))
        if isinstance(frame, pyarrow.Table)
        else dict(frame.schema)
    )


def number(cell):
    """A number, a date or a duration as a number."""
    if isinstance(cell, str) and "/" in cell:
        cell = dt.datetime.strptime(cell, "%d/%m/%Y")
    if isinstance(cell, str):
        return float(cell.replace(",", "."))
    if isinstance(cell, dt.datetime):
        return cell.replace(tzinfo=cell.tzinfo or dt.UTC).timestamp()
    if isinstance(cell, dt.date):
        return float(cell.toordinal())
    if isinstance(cell, dt.time):
        return dt.datetime.combine(dt.date(1970, 1, 1), cell, dt.UTC).timestamp()
    return cell.total_seconds() if isinstance(cell, dt.timedelta) else float(cell)


def tolerance(column: Column, x: float, dtype) -> float:
    """Twice the rounding of an encoded cell to float32, in data units, and that of the dtype."""
    if column.likelihood == "log_normal":
        size = x * (abs(np.log(x) - column.shift) + column.scale)
    elif column.likelihood == "beta":
        size = column.high - column.low
    else:
        size = abs(x - column.shift) + column.scale
    single = "32" in str(dtype) or str(dtype) == "float"  # as pyarrow names float32
    return 2.0**-23 * size + (1e-6 if single else 1e-9) * abs(x)


def same_cell(column, before, after, dtype):
    """Whether a cell is the same, up to rounding; constants are put into missing cells."""
    empty = (
        isinstance(before, str) and before in EMPTY_TEXTS and before not in (column.levels or ())
    )
    if before is None or empty:
        return after is None or column.kind == "constant"
    if after is None:
        return False
    if column.kind == "constant" or (column.likelihood in DISCRETE and column.name not in TEXTS):
        return before == after or (before in column.pooled and after in column.pooled)
    return abs(number(before) - number(after)) <= tolerance(column, number(before), dtype)


def check(values, dtypes, library):
    frame = MAKERS[library](values, dtypes)
    schema = Schema.of(frame)
    decoded = schema.decode(schema.encode(frame), like=frame)
    assert dtypes_of(decoded) == dtypes_of(frame)
    for column in schema.columns:
        if column.kind == "identifier":
            continue
        dtype = dtypes.get(column.name)
        pairs = zip(cells_of(frame, column.name), cells_of(decoded, column.name), strict=True)
        wrong = [each for each in pairs if not same_cell(column, *each, dtype)]
        assert not wrong, (column, wrong[:3])
    if library == "pandas":
        assert decoded.index.equals(frame.index)
    completed = schema.complete(frame, np.zeros((len(frame), len(schema.modelled))))
    assert dtypes_of(completed) == dtypes_of(frame)
    for column in schema.columns:
        pairs = zip(cells_of(frame, column.name), cells_of(completed, column.name), strict=True)
        for before, after in pairs:
            if before is None or (before in EMPTY_TEXTS and before not in (column.levels or ())):
                assert after is not None or not column.modelled
            else:
                assert before == after


@pytest.mark.parametrize("library", MAKERS)
@settings(max_examples=15, deadline=None, derandomize=True)
@given(data=st.data())
def test_decoding_an_encoded_frame_gives_the_frame(library, data):
    check(*data.draw(tables(library)), library)


FUNCTIONS = {
    "upper": (lambda place: "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[place % 26] * (1 + place // 26), "text"),
    "parity": (lambda place: place % 2 == 0, "truth"),
    "square": (lambda place: place**2, "whole"),
}


@st.composite
def derived_tables(draw, library):
    """A table with columns that are functions of its column, and what they are."""
    name = draw(st.sampled_from(["text", "category", "number category", "code", "whole", "count"]))
    source = SOURCES[name]
    dtype = draw(st.sampled_from(getattr(source, library)))
    rows = draw(st.integers(4, 40))
    few = draw(st.lists(source.values, min_size=2, max_size=rows, unique=True))
    cells = few + draw(st.lists(st.sampled_from(few), min_size=rows, max_size=rows))
    values, dtypes = {name: cells}, {name: dtype}
    for each in draw(st.lists(st.sampled_from(list(FUNCTIONS)), min_size=1, unique=True)):
        function, kind = FUNCTIONS[each]
        holes = draw(st.lists(st.integers(0, len(cells) - 1), max_size=3))
        found = [function(few.index(cell)) for cell in cells]
        values[each] = [None if place in holes else x for place, x in enumerate(found)]
        dtypes[each] = draw(st.sampled_from(getattr(SOURCES[kind], library)[-1:]))
        if len({*values[each]} - {None}) < 2:
            del values[each], dtypes[each]
    order = draw(st.permutations(list(values)))
    return {key: values[key] for key in order}, dtypes, name, few


@pytest.mark.parametrize("library", MAKERS)
@settings(max_examples=15, deadline=None, derandomize=True)
@given(data=st.data())
def test_functions_of_a_column_return_from_it(library, data):
    """Empty cells of a function are filled, unless all beside a value of the source are empty."""
    values, dtypes, name, few = data.draw(derived_tables(library))
    derived = [each for each in values if each != name]
    frame = MAKERS[library](values, dtypes)
    kinds = dict.fromkeys(derived, f"derived:{name}")
    if name in ("whole", "count", "code"):
        kinds[name] = "ordinal" if len(few) > 2 else "binary"
    schema = Schema.of(frame, kinds=kinds)
    assert [column.name for column in schema.derived] == derived
    decoded = schema.decode(schema.encode(frame), like=frame)
    completed = schema.complete(frame, np.zeros((len(frame), len(schema.modelled))))
    assert cells_of(completed, name) == cells_of(frame, name)
    for made in (decoded, completed):
        assert dtypes_of(made) == dtypes_of(frame)
        sources = cells_of(made, name)  # of which rare ones may be others that share their code
        for each in derived:
            pairs = zip(values[name], values[each], strict=True)
            function = {source: value for source, value in pairs if value is not None}
            assert cells_of(made, each) == [function.get(source) for source in sources]
