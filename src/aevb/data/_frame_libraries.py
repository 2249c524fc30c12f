"""Series and data frames of pandas, polars and pyarrow, made from arrays of numpy."""

from __future__ import annotations

import datetime as dt
import importlib.util
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar, Literal
from zoneinfo import ZoneInfo

import numpy as np

from ..errors import ArgumentError, missing_extra
from ..networks._column import Level
from ._number_texts import parse_numbers

TRIED_CELLS = 1000  # of a column of objects or text, which show how its values are written


def level_text(value: Any) -> str:
    """A category as text.

    >>> level_text("a"), level_text(3.0), level_text(0.5), level_text(True)
    ('a', '3', '0.5', 'True')
    """
    if isinstance(value, float | np.floating):
        return str(int(value)) if float(value).is_integer() else repr(float(value))
    return str(value)


def level_value(level: Level, dtype: Any) -> Any:
    """A category as a value of a narwhals dtype.

    >>> import narwhals
    >>> level_value(True, narwhals.Int64()), level_value(3, narwhals.String())
    (1, '3')
    """
    name = str(dtype)
    if dtype.is_integer():
        return int(float(level))
    if dtype.is_numeric():
        return Decimal(str(level)) if name.startswith("Decimal") else float(level)
    if name == "Boolean":
        return level.lower() == "true" if isinstance(level, str) else bool(level)
    if name == "Date":
        return dt.date.fromisoformat(str(level)[:10])
    if name.startswith("Datetime"):
        return dt.datetime.fromisoformat(str(level))
    return level_text(level) if name in ("String", "Categorical") or "Enum" in name else level


def match_categories(levels: Sequence[Level], categories: Sequence[Any]) -> tuple[list, np.ndarray]:
    """The categories of a dtype with the levels that it lacks, and the place of each level.

    >>> match_categories([1, "b"], [2.0, 1.0])
    ([2.0, 1.0, 'b'], array([ 1,  2, -1]))
    """
    known = {level_text(each): place for place, each in enumerate(categories)}
    added = [level for level in levels if level_text(level) not in known]
    known |= {level_text(each): len(categories) + place for place, each in enumerate(added)}
    return [*categories, *added], np.array([*(known[level_text(each)] for each in levels), -1])


def number_texts(values: np.ndarray, examples: Sequence[Any]) -> list[str | None]:
    """Numbers as text, with the decimal mark of other cells of the column.

    >>> number_texts(np.array([0.5, 3.0, np.nan]), ["1,5"])
    ['0,5', '3', None]
    """
    texts = dict.fromkeys(str(each).strip() for each in examples if isinstance(each, str))
    mark = parse_numbers(texts).format.decimal
    return [
        None if np.isnan(value) else f"{value:.{7 if value % 1 else 17}g}".replace(".", mark)
        for value in values
    ]


def narwhals_dtype(series: Any) -> Any:
    """The narwhals dtype of a series."""
    import narwhals

    return narwhals.from_native(series, series_only=True).dtype


def dtype_text(template: Any) -> str:
    """The dtype of a series, as its library writes it."""
    return str(getattr(template, "type", None) or template.dtype)


def time_zone(template: Any) -> str:
    """The time zone of the dtype of a series; empty where it has none.

    narwhals does not read every zone of pandas.
    """
    match = re.search(r"(?:datetime64\[\w+, |tz=|time_zone=')([^\]']+)", dtype_text(template))
    return "" if match is None else match[1]


def tick_of(template: Any) -> float:
    """The unit of a dtype of times or durations in seconds, at least a microsecond."""
    match = re.search(r"\b(s|ms)\b", dtype_text(template))
    return 1e-6 if match is None else {"s": 1.0, "ms": 1e-3}[match[1]]


def zone_midnights(days: np.ndarray, zone: str) -> np.ndarray:
    """When days begin in a time zone, datetime64[us] of UTC."""
    distinct, places = np.unique(days.astype("datetime64[D]"), return_inverse=True)
    here = _time_zone(zone)
    starts = [
        None
        if day is None
        else dt.datetime(day.year, day.month, day.day, tzinfo=here)
        .astimezone(dt.UTC)
        .replace(tzinfo=None)
        for day in distinct.tolist()
    ]
    return np.array(starts, dtype="datetime64[us]")[places.reshape(-1)]


def _time_zone(zone: str) -> dt.tzinfo:
    """The time zone with a name, or an offset such as ``"+02:00"``."""
    if zone[0] in "+-":
        return dt.datetime.fromisoformat(f"2000-01-01T00:00{zone}").tzinfo or dt.UTC
    return ZoneInfo(zone)


class FrameLibrary(ABC):
    """Makes the series of a library.

    A *template* is a series of the library, which may be empty: what is made has its dtype.
    """

    name: ClassVar[Literal["pandas", "polars", "pyarrow"]]

    def empty(self, name: str, dtype: Any) -> Any:
        """An empty series of a narwhals dtype."""
        import narwhals

        return narwhals.new_series(name, [], dtype, backend=self.name).to_native()

    @abstractmethod
    def numbers(self, values: np.ndarray, template: Any) -> Any:
        """Numbers, float64 ``[N]``, NaN in missing cells."""

    @abstractmethod
    def dates(self, values: np.ndarray, template: Any) -> Any:
        """Times of UTC, or of no zone, datetime64[us] ``[N]``, NaT in missing cells."""

    @abstractmethod
    def texts(self, values: list[str | None], template: Any) -> Any:
        """Texts, ``None`` in missing cells."""

    @abstractmethod
    def levels(self, levels: Sequence[Level], codes: np.ndarray, template: Any) -> Any:
        """Categories by their places in ``levels``, int64 ``[N]``, -1 in missing cells."""

    @abstractmethod
    def replace(self, old: Any, new: Any, rows: np.ndarray) -> Any:
        """A series with the cells of some rows replaced."""

    @abstractmethod
    def frame(self, columns: Mapping[Any, Any], like: Any) -> Any:
        """A frame with these columns; the index is that of ``like`` where the length is equal."""

    @abstractmethod
    def with_columns(self, frame: Any, columns: Mapping[Any, Any]) -> Any:
        """A frame with columns replaced."""


class Polars(FrameLibrary):
    """Series of polars."""

    name = "polars"

    def numbers(self, values: np.ndarray, template: Any) -> Any:
        import polars

        if template.dtype.is_numeric() or template.dtype in (polars.Boolean, polars.Float64):
            return polars.Series(values, nan_to_null=True).cast(template.dtype)
        if template.dtype == polars.Duration:
            microseconds = polars.Series(np.rint(values * 1e6), nan_to_null=True)
            return microseconds.cast(polars.Int64).cast(polars.Duration("us")).cast(template.dtype)
        if template.dtype == polars.Time:
            nanoseconds = polars.Series(np.rint(values * 1e9), nan_to_null=True)
            return nanoseconds.cast(polars.Int64).cast(polars.Time)
        examples = template.head(TRIED_CELLS).cast(polars.String).to_list()
        return self.texts(number_texts(values, examples), template)

    def texts(self, values: list[str | None], template: Any) -> Any:
        import polars

        dtype = polars.String if isinstance(template.dtype, polars.Enum) else template.dtype
        return polars.Series(values, dtype=dtype)

    def dates(self, values: np.ndarray, template: Any) -> Any:
        import polars

        series = polars.Series(values)
        if zone := time_zone(template):
            series = series.dt.replace_time_zone("UTC").dt.convert_time_zone(zone)
        return series.cast(template.dtype)

    def levels(self, levels: Sequence[Level], codes: np.ndarray, template: Any) -> Any:
        import polars

        dtype = template.dtype
        values = [level_value(level, narwhals_dtype(template)) for level in levels]
        if isinstance(dtype, polars.Enum):
            dtype = polars.Enum(match_categories(values, dtype.categories.to_list())[0])
        place = np.where(codes < 0, len(levels), codes)
        return polars.Series([*values, None], dtype=dtype, strict=False).gather(place)

    def replace(self, old: Any, new: Any, rows: np.ndarray) -> Any:
        import polars

        return polars.concat([old.cast(new.dtype), new]).gather(_replacing(len(old), rows))

    def frame(self, columns: Mapping[Any, Any], like: Any) -> Any:
        import polars

        return polars.DataFrame([series.alias(name) for name, series in columns.items()])

    def with_columns(self, frame: Any, columns: Mapping[Any, Any]) -> Any:
        return frame.with_columns(series.alias(name) for name, series in columns.items())


class Pandas(FrameLibrary):
    """Series of pandas."""

    name = "pandas"

    def numbers(self, values: np.ndarray, template: Any) -> Any:
        import pandas

        dtype, series = template.dtype, pandas.Series(values)
        kind = str(narwhals_dtype(template))
        if kind.startswith("Duration"):
            return pandas.to_timedelta(series, unit="s").astype(dtype)
        if kind in ("String", "Object", "Categorical") or kind.startswith("Enum"):
            return self._objects(values, template)
        if isinstance(dtype, np.dtype) and dtype.kind in "biu" and np.isnan(values).any():
            dtype = {"b": "boolean"}.get(dtype.kind, kind)
        if kind == "Boolean":
            series = series.astype("boolean")
        return series.astype(dtype)

    def _objects(self, values: np.ndarray, template: Any) -> Any:
        """Numbers in a column of text or objects."""
        examples = template.dropna().iloc[:TRIED_CELLS].tolist()
        example = examples[0] if examples else 0.0
        if isinstance(example, str):
            return self.texts(number_texts(values, examples), template)
        cells = [None if np.isnan(x) else _like_example(x, examples) for x in values.tolist()]
        return self.texts(cells, template)

    def texts(self, values: list[Any], template: Any) -> Any:
        import pandas

        categorical = isinstance(template.dtype, pandas.CategoricalDtype)
        series = pandas.Series(values, dtype=object if categorical else template.dtype)
        return series.astype("category") if categorical else series

    def dates(self, values: np.ndarray, template: Any) -> Any:
        import pandas

        dtype, series = template.dtype, pandas.Series(values)
        if str(narwhals_dtype(template)) == "Object":
            examples = template.dropna()
            plain = len(examples) and not isinstance(examples.iloc[0], dt.datetime)
            cells = series.dt.date if plain else series.astype(object)
            return cells.where(series.notna(), None)
        if time_zone(template):
            series = series.dt.tz_localize("UTC")
        return series.astype(dtype)

    def levels(self, levels: Sequence[Level], codes: np.ndarray, template: Any) -> Any:
        import pandas

        dtype = template.dtype
        if isinstance(dtype, pandas.CategoricalDtype):
            categories, places = match_categories(levels, dtype.categories.tolist())
            if len(categories) > len(dtype.categories):
                dtype = pandas.CategoricalDtype(categories, dtype.ordered)
            return pandas.Series(pandas.Categorical.from_codes(places[codes], dtype=dtype))
        kind = narwhals_dtype(template)
        values = [level_value(level, kind) for level in levels]
        examples = template.dropna().iloc[:1].tolist() if str(kind) == "Object" else []
        if examples and not isinstance(examples[0], str | bool | int | float):
            values = [_like_example(level, examples) for level in levels]
        elif examples and isinstance(examples[0], str):
            values = [level_text(level) for level in levels]
        missing = (codes < 0).any()
        if isinstance(dtype, np.dtype) and dtype.kind in "biu" and missing:
            dtype = "boolean" if dtype.kind == "b" else str(kind)
        series = pandas.Series([*values, *([None] if missing else [])], dtype=dtype)
        return series.take(np.where(codes < 0, len(levels), codes)).reset_index(drop=True)

    def replace(self, old: Any, new: Any, rows: np.ndarray) -> Any:
        import pandas

        both = pandas.concat([old.astype(new.dtype), new], ignore_index=True)
        return both.take(_replacing(len(old), rows)).set_axis(old.index)

    def frame(self, columns: Mapping[Any, Any], like: Any) -> Any:
        import pandas

        frame = pandas.DataFrame(dict(enumerate(columns.values())))
        frame.columns = pandas.Index(list(columns), dtype=None if like is None else object)
        if like is not None:
            frame.columns = frame.columns.astype(like.columns.dtype).rename(like.columns.name)
            if len(like) == len(frame):
                frame.index = like.index
        return frame

    def with_columns(self, frame: Any, columns: Mapping[Any, Any]) -> Any:
        frame = frame.copy(deep=False)
        for name, series in columns.items():
            frame[name] = series.set_axis(frame.index)
        return frame


class PyArrow(FrameLibrary):
    """Arrays of pyarrow."""

    name = "pyarrow"

    def numbers(self, values: np.ndarray, template: Any) -> Any:
        import pyarrow

        kind = template.type
        is_time = pyarrow.types.is_time(kind)
        if is_time or pyarrow.types.is_duration(kind):
            ticks = pyarrow.array(np.rint(values * 1e6), from_pandas=True).cast(pyarrow.int64())
            fine = pyarrow.time64("us") if is_time else pyarrow.duration("us")
            return ticks.cast(fine).cast(kind, safe=False)
        if pyarrow.types.is_decimal(kind):
            example = [Decimal(1).scaleb(-kind.scale)]
            cells = [None if np.isnan(x) else _like_example(x, example) for x in values.tolist()]
            return pyarrow.array(cells, kind)
        if pyarrow.types.is_dictionary(kind) and not pyarrow.types.is_string(kind.value_type):
            plain = self.numbers(
                values, pyarrow.chunked_array([], type=kind.value_type)
            ).dictionary_encode()
            indices = plain.indices.cast(kind.index_type)
            return pyarrow.DictionaryArray.from_arrays(
                indices, plain.dictionary, ordered=kind.ordered
            )
        if str(narwhals_dtype(template)) in ("String", "Categorical"):
            examples = template.slice(0, TRIED_CELLS).to_pylist()
            return self.texts(number_texts(values, examples), template)
        return pyarrow.array(values, from_pandas=True).cast(kind, safe=False)

    def texts(self, values: list[str | None], template: Any) -> Any:
        import pyarrow

        array = pyarrow.array(values, pyarrow.string())
        categorical = pyarrow.types.is_dictionary(template.type)
        return array.dictionary_encode() if categorical else array.cast(template.type)

    def dates(self, values: np.ndarray, template: Any) -> Any:
        import pyarrow

        array = pyarrow.array(values)
        if time_zone(template):
            array = array.cast(pyarrow.timestamp("us", "UTC"))
        return array.cast(template.type, safe=False)

    def levels(self, levels: Sequence[Level], codes: np.ndarray, template: Any) -> Any:
        import pyarrow

        kind = template.type
        if pyarrow.types.is_dictionary(kind):
            known = template.unify_dictionaries().chunks if len(template) else []
            categories = known[0].dictionary.to_pylist() if known else []
            categories, places = match_categories(levels, categories)
            indices = pyarrow.array(places[codes], mask=codes < 0)
            dictionary = pyarrow.array([*categories], kind.value_type)
            return pyarrow.DictionaryArray.from_arrays(
                indices.cast(kind.index_type), dictionary, ordered=kind.ordered
            )
        values = [level_value(level, narwhals_dtype(template)) for level in levels]
        indices = pyarrow.array(np.where(codes < 0, len(levels), codes))
        return pyarrow.array([*values, None], kind).take(indices)

    def replace(self, old: Any, new: Any, rows: np.ndarray) -> Any:
        import pyarrow

        both = pyarrow.chunked_array([*old.chunks, new]).unify_dictionaries().combine_chunks()
        return both.take(pyarrow.array(_replacing(len(old), rows)))

    def frame(self, columns: Mapping[Any, Any], like: Any) -> Any:
        import pyarrow

        return pyarrow.table(list(columns.values()), names=list(columns))

    def with_columns(self, frame: Any, columns: Mapping[Any, Any]) -> Any:
        for name, array in columns.items():
            place = frame.column_names.index(name)
            frame = frame.set_column(place, frame.schema.field(name).with_type(array.type), array)
        return frame


LIBRARIES: dict[str, FrameLibrary] = {each.name: each for each in (Polars(), Pandas(), PyArrow())}


def library_of(table: Any) -> FrameLibrary:
    """The library of a narwhals frame; the installed one where there is no frame.

    Raises:
        ArgumentError: The library is none of pandas, polars and pyarrow.
    """
    if table is None:
        for name in ("polars", "pandas"):
            if importlib.util.find_spec(name) is not None:
                return LIBRARIES[name]
        raise missing_extra("tables", "making data frames")
    name = str(table.implementation.value)
    if name not in LIBRARIES:
        raise ArgumentError(
            f"frames of {name} are read, but not made",
            argument="like",
            suggestions=("Give a frame of pandas, polars or pyarrow",),
        )
    return LIBRARIES[name]


def _like_example(value: Any, examples: Sequence[Any]) -> Any:
    """A number in the class of other values of the column."""
    example = examples[0] if examples else value
    if isinstance(example, Decimal):
        digits = max(-int(each.as_tuple().exponent) for each in examples)
        return Decimal(repr(float(value))).quantize(Decimal(1).scaleb(-digits))
    if isinstance(example, dt.timedelta):
        return dt.timedelta(seconds=value)
    if isinstance(example, dt.time):
        return (dt.datetime(1970, 1, 1) + dt.timedelta(seconds=value)).time()
    return type(example)(value)


def _replacing(n_rows: int, rows: np.ndarray) -> np.ndarray:
    """Places in the old cells followed by the new ones."""
    places = np.arange(n_rows)
    places[rows] = n_rows + np.arange(len(rows))
    return places
