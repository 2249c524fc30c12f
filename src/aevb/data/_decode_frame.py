"""Encoded cells as data frames, with legal values only."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ..errors import ArgumentError, check_counts
from ..networks._column import Column, Level, atom_cells
from ._cells import MICROSECONDS
from ._column_statistics import is_missing_cell
from ._columns import CellRules
from ._date_texts import format_date, parse_date
from ._derived_cells import derived_codes, derived_numbers, fill_source_cells
from ._encode_column import BOUND, snap_to_step
from ._encode_frame import read_columns
from ._frame_libraries import (
    FrameLibrary,
    dtype_text,
    library_of,
    narwhals_dtype,
    tick_of,
    time_zone,
    zone_midnights,
)
from ._rows import Rows
from ._tables import to_narwhals

if TYPE_CHECKING:
    from ._schema import Schema

SMALLEST = float(np.finfo(np.float32).tiny)  # of a positive column
WHOLE_SECONDS = 0.05  # seconds of rounding in an encoded time from which it is shown in seconds
LAST_SECOND, MAX_DURATION = 86_399.999999, 9.2e9  # of a day; of what int64 nanoseconds hold
FIRST_DAY, LAST_DAY = (np.datetime64(day, "us") for day in ("0001-01-02", "9999-12-30"))
FIRST_NS, LAST_NS = (np.datetime64(day, "us") for day in ("1677-09-22", "2262-04-10"))


@dataclass(frozen=True)
class _Maker:
    """Makes the series of columns in a library, after the dtypes of another frame.

    Args:
        library: The library.
        like: A narwhals frame; ``None`` for the dtypes of the schema.
    """

    library: FrameLibrary
    like: Any

    def template(self, column: Column) -> Any:
        """A series with the dtype of a column; that of an empty column of numbers says nothing."""
        if self.like is not None and column.name in self.like.columns:
            series = self.like[column.name]
            if not (column.modelled or column.source) or not _is_untyped(series):
                return series.to_native()
        return self.library.empty(column.name, dtype_of_column(column))

    def series(self, column: Column, y: np.ndarray, uniforms: np.ndarray) -> Any:
        """The cells of a modelled column."""
        template = self.template(column)
        if column.levels is not None:
            return self._levels(column, *decode_levels(column, y, uniforms), template)
        x = decode_numbers(column, y, narwhals_dtype(template))
        if column.unit == "second":
            x = _round_seconds(column, x, tick_of(template))
        if column.kind == "date":
            return self._dates(column, x, template)
        return self.library.numbers(x, template)

    def _levels(
        self, column: Column, levels: tuple[Level, ...], codes: np.ndarray, template: Any
    ) -> Any:
        """Cells by their places in ``levels``, -1 where they are missing."""
        if column.unit and levels:  # durations, or a constant date
            values = np.array([*(_seconds_or_days(level, column.unit) for level in levels), np.nan])
            numbers = column.kind != "constant" or not isinstance(levels[0], str)
            make = self.library.numbers if numbers else partial(self._dates, column)
            return make(values[codes], template)
        used = np.unique(codes[codes >= 0])  # others are not added to the categories of a dtype
        places = np.full(len(levels) + 1, -1)
        places[used] = np.arange(len(used))
        return self.library.levels([levels[code] for code in used], places[codes], template)

    def _dates(self, column: Column, x: np.ndarray, template: Any) -> Any:
        """Dates from days or seconds since 1970."""
        if str(narwhals_dtype(template)) == "String":
            return self.library.levels(*_date_levels(column, x), template)
        times = _to_times(column, x, "ns" in dtype_text(template))
        zone = time_zone(template)
        if zone and column.unit == "day":
            times = zone_midnights(times, zone)
        return self.library.dates(times, template)

    def derived(
        self, column: Column, source: Column, series: Any, rows: np.ndarray | None = None
    ) -> Any:
        """The cells of a derived column in some rows, by default all, from those of its source."""
        template = self.template(column)
        cells = to_narwhals(self.library.frame({source.name: series}, None), "frame")[source.name]
        if rows is not None:
            cells = cells[rows.tolist()]
        if column.levels is not None:
            codes = derived_codes(column, source, cells)
            return self._levels(column, column.levels, codes, template)
        x = derived_numbers(column, source, cells)
        return self.library.numbers(legal_numbers(column, x, narwhals_dtype(template)), template)

    def other(self, column: Column, n_rows: int) -> Any:
        """The cells of a column that is set aside: its value, numbers of rows, or nothing.

        Identifiers of a frame with the same rows are kept.
        """
        template = self.template(column)
        like = self.like
        if column.kind == "identifier" and like is not None and len(like) == n_rows:
            own = like[column.name] if column.name in like.columns else None
            if own is not None:  # without the index, which is set for the whole frame
                import narwhals

                return narwhals.maybe_reset_index(own).to_native()
        if column.kind == "identifier" and narwhals_dtype(template).is_integer():
            return self.library.numbers(np.arange(1.0, n_rows + 1), template)
        is_constant = column.kind == "constant" and column.levels
        codes = np.full(n_rows, 0 if is_constant else -1)
        return self._levels(column, column.levels or () if is_constant else (), codes, template)


def _is_untyped(series: Any) -> bool:
    """Whether a column has no value, and a dtype that a reader gives to such a column."""
    dtype = series.dtype
    usual = dtype.is_numeric() or str(dtype) in ("Boolean", "Object", "Unknown")
    return usual and len(series) > 0 and all(map(is_missing_cell, series.drop_nulls().to_list()))


def _date_levels(column: Column, x: np.ndarray) -> tuple[tuple[Level, ...], np.ndarray]:
    """Dates as distinct texts, and the place of each cell, -1 where it is missing."""
    size = MICROSECONDS[column.unit or "second"] / 1e6
    form = column.format or ("%Y-%m-%d" if column.unit == "day" else "iso")
    x = np.clip(x, FIRST_DAY.astype(np.int64) / size / 1e6, LAST_DAY.astype(np.int64) / size / 1e6)
    values, places = np.unique(x[~np.isnan(x)], return_inverse=True)
    codes = np.full(len(x), -1)
    codes[~np.isnan(x)] = places
    return tuple(format_date(value * size, form) for value in values.tolist()), codes


def decode_frame(schema: Schema, tensor: Any, like: Any = None, seed: int = 0) -> Any:
    """The frame of ``Schema.decode``.

    Args:
        schema: The schema.
        tensor: Encoded cells ``[N, D]``.
        like: A frame with the library and the dtypes of the result.
        seed: Seed of the draws from pooled levels.
    """
    check_counts(0, seed=seed)
    cells = _check_cells(schema, tensor, "tensor", 2)
    table = None if like is None else to_narwhals(like, "like")
    maker = _Maker(library_of(table), table)
    places = {column.name: place for place, column in enumerate(schema.modelled)}
    made = {
        column.name: maker.series(
            column,
            cells[:, places[column.name]],
            _uniforms(column, len(cells), seed, 0, places[column.name]),
        )
        for column in schema.modelled
    }
    sources = {column.name: column for column in schema.modelled}
    columns = {
        column.name: made[column.name]
        if column.modelled
        else maker.derived(column, sources[column.source], made[column.source])
        if column.source
        else maker.other(column, len(cells))
        for column in schema.columns
    }
    native = None if table is None else _native(like)
    return maker.library.frame(_native_names(columns, native), native)


def complete_frame(
    schema: Schema,
    frame: Any,
    draws: Any,
    seed: int = 0,
    rules: CellRules = CellRules(),
    derive: bool = True,
) -> Any:
    """The frame of ``Schema.complete``, or a list of frames.

    Args:
        schema: The schema.
        frame: The frame with missing cells.
        draws: Encoded cells ``[N, D]``, or ``[M, N, D]``.
        seed: Seed of the draws from pooled levels.
        rules: How cells are read.
        derive: Whether empty cells of derived columns are filled, too.
    """
    check_counts(0, seed=seed)
    table, encoded, derived = read_columns(schema, frame, rules)
    cells = _check_cells(schema, draws, "draws", 3)
    if cells.shape[-2] != len(table):
        raise ArgumentError(
            f"there are draws for {cells.shape[-2]:,} rows, and the frame has {len(table):,}",
            argument="draws",
        )
    filled = fill_source_cells(schema.columns, encoded, derived)
    known = np.stack(list(filled.values()), 1)
    empty = np.stack([each.empty for each in encoded.values()], 1)
    missing = {
        column.name: np.flatnonzero(each.empty)
        for column in schema.columns
        for each in [encoded.get(column.name) or (derived.get(column.name) if derive else None)]
        if each is not None
    }
    several = cells if cells.ndim == 3 else cells[None]
    frames = [
        _complete(
            schema,
            table,
            _native(frame),
            missing,
            np.where(empty & ~np.isnan(known), known, each),
            (seed, number),
        )
        for number, each in enumerate(several)
    ]
    return frames if cells.ndim == 3 else frames[0]


def fill_constants(schema: Schema, frame: Any) -> Any:
    """A frame in which the missing cells of constant columns hold their value.

    Args:
        schema: The schema.
        frame: The frame; columns in which no cell has a value stay as they are.
    """
    table, columns = to_narwhals(frame, "frame"), {}
    maker = _Maker(library_of(table), table)
    for column in schema.columns:
        if column.kind != "constant" or not column.levels or column.name not in table.columns:
            continue
        rows = np.flatnonzero([is_missing_cell(cell) for cell in table[column.name].to_list()])
        if len(rows):
            new = maker.other(column, len(rows))
            whole = len(rows) == len(table)
            template = maker.template(column)
            columns[column.name] = new if whole else maker.library.replace(template, new, rows)
    native = _native(frame)
    return maker.library.with_columns(native, _native_names(columns, native))


def _complete(
    schema: Schema,
    table: Any,
    frame: Any,
    missing: Mapping[str, np.ndarray],
    cells: np.ndarray,
    seeds: tuple[int, int],
) -> Any:
    """The frame with missing cells replaced by decoded ones, those of derived columns last."""
    maker = _Maker(library_of(table), table)
    columns: dict[str, Any] = {}

    def put(column: Column, new: Any) -> None:
        rows = missing[column.name]
        is_whole = len(rows) == len(table)
        columns[column.name] = (
            new if is_whole else maker.library.replace(maker.template(column), new, rows)
        )

    for place, column in enumerate(schema.modelled):
        rows = missing[column.name]
        if len(rows):
            uniforms = _uniforms(column, len(cells), *seeds, place)
            put(column, maker.series(column, cells[rows, place], uniforms[rows]))
    sources = {column.name: column for column in schema.modelled}
    for column in schema.columns:
        if column.source and len(missing.get(column.name, ())):
            series = columns.get(column.source, table[column.source].to_native())
            rows = missing[column.name]
            put(column, maker.derived(column, sources[column.source], series, rows))
    return maker.library.with_columns(frame, _native_names(columns, frame))


def decode_numbers(column: Column, y: np.ndarray, dtype: Any) -> np.ndarray:
    """Encoded cells as the nearest values that a column and a dtype can hold.

    Args:
        column: A column of numbers or dates.
        y: Encoded cells, float32 ``[N]``.
        dtype: The narwhals dtype of the result.

    Returns:
        Values in data units, float64 ``[N]``, NaN where a cell is missing.

    >>> import narwhals
    >>> column = Column("n", "integer", "discretised_logistic", shift=3.0, scale=2.0, step=1.0)
    >>> decode_numbers(column, np.float32([0.1, 1e9, np.nan]), narwhals.UInt8())
    array([  3., 255.,  nan])
    """
    return legal_numbers(column, from_cells(column, y.astype(np.float64)), dtype)


def legal_numbers(column: Column, x: np.ndarray, dtype: Any) -> np.ndarray:
    """The nearest values that a column and a dtype can hold, float64."""
    if column.step or column.grid:
        x = snap_to_step(x, column.step or column.grid)
    if dtype.is_integer():
        x = np.rint(x)
    return np.clip(x, *_legal_range(column, dtype))


def from_cells(column: Column, y: np.ndarray) -> np.ndarray:
    """The inverse of ``to_cells``."""
    with np.errstate(over="ignore"):
        if column.likelihood == "negative_binomial":
            return np.rint(y)
        if column.likelihood == "log_normal":
            return np.exp(column.shift + column.scale * y)
        if column.likelihood == "beta":
            low, high = column.bounds
            return low + np.clip(y, BOUND, 1 - BOUND) * (high - low)
        x = column.shift + column.scale * y
    if not column.atoms:
        return x
    atoms = atom_cells(column).astype(np.float64)
    place = np.clip(np.searchsorted(atoms, y), 0, len(atoms) - 1)
    return np.where(atoms[place] == y, np.array(column.atoms)[place], x)


def _legal_range(column: Column, dtype: Any) -> tuple[float, float]:
    """The least and the greatest legal value. A column without negative values stays without."""
    low, high = _dtype_range(dtype)
    if column.kind == "bounded":
        return max(low, column.bounds[0]), min(high, column.bounds[1])
    if column.kind == "date":
        return low, high
    if column.kind == "count" or (column.low is not None and column.low >= 0):
        low = max(low, 0.0)
    if column.high is not None and column.high <= 0:
        high = min(high, 0.0)
    if column.kind == "positive":
        low = column.step or column.grid or (1.0 if dtype.is_integer() else SMALLEST)
    return low, high


def _dtype_range(dtype: Any) -> tuple[float, float]:
    """The numbers between which all numbers of float64 fit into a dtype."""
    name = str(dtype)
    if dtype.is_integer():
        bits = int(name.lstrip("UInt"))
        signed = name.startswith("Int")
        low, high = (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1)) if signed else (0.0, 2.0**bits)
        return low, float(min(np.nextafter(high, 0), high - 1))
    if name in ("Boolean", "Time"):
        return 0.0, 1.0 if name == "Boolean" else LAST_SECOND
    if name.startswith("Duration"):
        return -MAX_DURATION, MAX_DURATION
    if name.startswith("Decimal"):
        digits = 10.0 ** ((dtype.precision or 38) - dtype.scale)
        return -0.999999 * digits, 0.999999 * digits
    largest = float(np.finfo(np.float32 if name == "Float32" else np.float64).max)
    return -largest, largest


def decode_levels(
    column: Column, y: np.ndarray, uniforms: np.ndarray
) -> tuple[tuple[Level, ...], np.ndarray]:
    """Codes as places in a list of levels.

    Args:
        column: A binary, ordinal or categorical column.
        y: Codes, float32 ``[N]``.
        uniforms: A number between 0 and 1 per row, which chooses among pooled levels.

    Returns:
        The levels, those that were pooled in place of the last code, and the place of each cell,
        -1 where it is missing.
    """
    levels = column.levels or ()
    codes = np.where(np.isnan(y), -1, np.clip(np.rint(y), 0, len(levels) - 1)).astype(np.int64)
    if not column.pooled:
        return levels, codes
    last = len(levels) - 1
    shares = np.cumsum(column.pooled_counts or np.ones(len(column.pooled)))
    drawn = np.searchsorted(shares / shares[-1], uniforms, side="right")
    pooled = last + np.minimum(drawn, len(column.pooled) - 1)
    return (*levels[:last], *column.pooled), np.where(codes == last, pooled, codes)


def _seconds_or_days(level: Level, unit: str) -> float:
    """A duration, or a date as text, as a number."""
    if not isinstance(level, str):
        return float(level)
    return parse_date(level, "iso") * MICROSECONDS["second"] / MICROSECONDS[unit]


def _uniforms(column: Column, n_rows: int, *seeds: int) -> np.ndarray:
    """Numbers between 0 and 1 by row; zeros for a column without pooled levels."""
    return np.random.default_rng(seeds).random(n_rows) if column.pooled else np.zeros(n_rows)


def _round_seconds(column: Column, x: np.ndarray, tick: float) -> np.ndarray:
    """Seconds in the unit of a dtype, and whole where the encoded cells hold no fractions."""
    tick = 1.0 if column.scale * BOUND >= WHOLE_SECONDS else tick
    return np.rint(x / tick) * tick


def _to_times(column: Column, x: np.ndarray, nanoseconds: bool) -> np.ndarray:
    """Days or seconds since 1970 as datetime64[us], in the range of a dtype."""
    limit = 9.2e18 / MICROSECONDS[column.unit]
    present = np.isfinite(x)
    ticks = np.rint(np.where(present, np.clip(x, -limit, limit), 0) * MICROSECONDS[column.unit])
    times = ticks.astype(np.int64).astype("datetime64[us]")
    times = np.clip(times, *((FIRST_NS, LAST_NS) if nanoseconds else (FIRST_DAY, LAST_DAY)))
    return np.where(present, times, np.datetime64("NaT", "us"))


def dtype_of_column(column: Column) -> Any:
    """The narwhals dtype of a column of the schema; one after its values where there is none.

    >>> dtype_of_column(Column("t", "date", "normal", "Datetime(time_unit='us', time_zone=None)"))
    Datetime(time_unit='us', time_zone=None)
    """
    import narwhals
    from narwhals.dtypes import DType

    try:
        tree = ast.parse(column.dtype, mode="eval").body
        call = tree if isinstance(tree, ast.Call) else ast.Call(tree, [], [])
        name = call.func.id if isinstance(call.func, ast.Name) else ""
        dtype = getattr(narwhals, name, None)
        if not (isinstance(dtype, type) and issubclass(dtype, DType)):
            return _default_dtype(column)
        arguments = {each.arg: ast.literal_eval(each.value) for each in call.keywords if each.arg}
        found = dtype(**arguments)
    except (SyntaxError, TypeError, ValueError, RecursionError, MemoryError):
        return _default_dtype(column)
    return _default_dtype(column) if name in ("Object", "Unknown") else found


def _default_dtype(column: Column) -> Any:
    """A narwhals dtype that holds the values of a column."""
    import narwhals

    if column.format:
        return narwhals.String()
    if column.kind == "date" or (column.unit and isinstance((column.levels or (0,))[0], str)):
        return narwhals.Date() if column.unit == "day" else narwhals.Datetime("us")
    if column.unit:
        return narwhals.Duration("us")
    if column.levels is not None:
        kinds = {type(level) for level in column.levels}
        of_kinds = {bool: narwhals.Boolean, int: narwhals.Int64, float: narwhals.Float64}
        return of_kinds.get(kinds.pop() if len(kinds) == 1 else str, narwhals.String)()
    whole = column.step and column.step % 1 == 0
    return narwhals.Int64() if whole or column.kind == "count" else narwhals.Float64()


def _check_cells(schema: Schema, tensor: Any, argument: str, max_axes: int) -> np.ndarray:
    """Encoded cells as an array ``[..., N, D]``."""
    values = tensor.tensor() if isinstance(tensor, Rows) else torch.as_tensor(tensor)
    columns = len(schema.modelled)
    if not 2 <= values.ndim <= max_axes or values.shape[-1] != columns:
        shapes = "[N, D]" if max_axes == 2 else "[N, D] or [M, N, D]"
        raise ArgumentError(
            f"encoded cells have the shape {shapes} with D = {columns}, and these have "
            f"{tuple(values.shape)}",
            argument=argument,
        )
    return Tensor.numpy(values.detach().cpu().float())


def _native(frame: Any) -> Any:
    """The frame of its library that ``to_narwhals`` reads."""
    import narwhals

    wrapped = narwhals.from_native(frame)
    if isinstance(wrapped, narwhals.LazyFrame):
        wrapped = wrapped.collect()
    return wrapped.to_native()


def _native_names(columns: Mapping[str, Any], frame: Any) -> dict[Any, Any]:
    """The columns by the names in a frame, which may be numbers."""
    names = {} if frame is None else {str(name): name for name in _column_names(frame)}
    return {names.get(name, name): series for name, series in columns.items()}


def _column_names(frame: Any) -> list[Any]:
    """The names of the columns of a frame of a library."""
    import narwhals

    return list(narwhals.from_native(frame).columns)
