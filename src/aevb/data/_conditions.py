"""Conditions on the columns of a table, as text: ``sex=Female``, ``age>60``."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import ArgumentError
from ..networks._column import Column, Level
from ._cell_conditions import ANY_NUMBER, CellCondition, Intervals, intersect
from ._cells import MICROSECONDS
from ._columns import is_float
from ._date_texts import ISO, parse_date
from ._derived_cells import cells_of_levels, lower_ends
from ._encode_column import level_codes, to_cells
from ._formatting import format_list, suggest_nearest
from ._frame_libraries import level_text
from ._schema import Schema
from ._tables import to_narwhals

OPERATORS = ("!=", ">=", "<=", "==", "=", ">", "<")
EQUAL = ("=", "==")
ON_GRID = 1e-6  # in steps: how far a value on a grid may be rounded
BESIDE_GRID = 0.4  # in steps: between a bound and the next value, so that bounds do not touch
_COMPARISON = re.compile(rf"\s*({'|'.join(OPERATORS)})\s*(.*)", re.DOTALL)

Conditions = str | Sequence[str] | Mapping[str, Any]


def parse_conditions(schema: Schema, where: Conditions) -> tuple[CellCondition, ...]:
    """Read conditions on the columns of a table.

    A condition is a column, one of ``=``, ``!=``, ``>``, ``>=``, ``<`` and ``<=``, and a value in
    the units of the data: a number, a level, or a date as ISO text. Levels are compared where
    they have an order. Several conditions hold together, also in one text with ``and``.

    Args:
        schema: The schema of the table.
        where: Conditions, or a dict with the values of columns.

    Returns:
        One condition per column, in the order of the encoded cells. A condition that a constant
        column meets is left out.

    Raises:
        ArgumentError: A text is no condition, a column or level is unknown, a column cannot hold
            the value, or conditions contradict each other.

    Example:
        >>> age = Column("age", "integer", "discretised_logistic", shift=40.0, scale=10.0, step=1.0)
        >>> sex = Column("sex", "binary", "bernoulli", levels=("Female", "Male"))
        >>> for each in parse_conditions(Schema((age, sex), 100), ["sex=Female", "age>60"]):
        ...     print(each)
        CellCondition(cell=0, intervals=((2.06, inf),), text='age>60')
        CellCondition(cell=1, intervals=((0.0, 0.0),), text='sex=Female')
    """
    places = {column.name: place for place, column in enumerate(schema.modelled)}
    merged: dict[str, CellCondition] = {}
    columns = {column.name: column for column in schema.columns}
    for each in _comparisons(schema, where):
        column = each.column
        if not column.modelled and not column.source:
            _check_constant(each)
            continue
        name = column.source or column.name
        before = merged.get(name, CellCondition(places[name], ANY_NUMBER))
        found = _derived_intervals(each, columns[name]) if column.source else _intervals(each)
        if not found:
            raise _never(each.text, f"{column.name} has no such value")
        both = intersect(before.intervals, found)
        text = f"{before.text} and {each.text}" if before.text else each.text
        if not both:
            raise _never(text, "they contradict each other")
        merged[name] = CellCondition(places[name], both, text)
    return tuple(sorted(merged.values(), key=lambda each: each.cell))


def restrict_pooled_levels(schema: Schema, where: Conditions) -> Schema:
    """The schema that decodes rows with a given rare level to this level.

    Args:
        schema: The schema.
        where: As for ``parse_conditions``.
    """
    columns = {column.name: column for column in schema.columns}
    for each in _comparisons(schema, where):
        column = columns[each.column.source or each.column.name]
        if each.column.source and column.pooled:
            kept = set(_source_levels(each))
        elif each.operator in (*EQUAL, "!=") and _is_pooled(column, each.value):
            is_equal = each.operator != "!="
            kept = {x for x in column.pooled if _is_level(x, each.value) is is_equal}
        else:
            continue
        counts = dict(
            zip(column.pooled, column.pooled_counts or [1] * len(column.pooled), strict=True)
        )
        counts = {level: count for level, count in counts.items() if level in kept}
        if counts:
            columns[column.name] = replace(
                column, pooled=tuple(counts), pooled_counts=tuple(counts.values())
            )
    return replace(schema, columns=tuple(columns.values()))


def split_conditions(
    schema: Schema, where: Conditions, names: Collection[str]
) -> tuple[list[str], list[str]]:
    """Conditions on some columns, and those on the others.

    Args:
        schema: The schema of all columns.
        where: As for ``parse_conditions``.
        names: The names of some columns.
    """
    found: tuple[list[str], list[str]] = ([], [])
    for each in _comparisons(schema, where):
        found[each.column.name not in names].append(each.text)
    return found


def rows_that_fulfil(schema: Schema, where: Conditions, frame: Any) -> np.ndarray:
    """Which rows of a frame fulfil conditions, bool ``[N]``; False where a cell is missing.

    Args:
        schema: The schema of the frame.
        where: As for ``parse_conditions``.
        frame: A data frame.
    """
    conditions = parse_conditions(schema, where)
    cells = replace(schema, unseen="missing").encode(frame).tensor().double().numpy()
    fulfil = np.ones(len(cells), bool)
    for each in conditions:
        x = cells[:, each.cell]
        inside = [(low <= x) & (x <= high) for low, high in each.intervals]
        fulfil &= np.any(inside, 0)
    for each in _comparisons(schema, where):
        if each.column.pooled and each.operator in (*EQUAL, "!="):
            values = to_narwhals(frame)[each.column.name].to_list()
            equal = np.array([_is_level(value, each.value) for value in values], bool)
            fulfil &= equal == (each.operator != "!=")
    return fulfil


def _source_levels(comparison: _Comparison) -> list[Level]:
    """The values of the source for which a derived column with levels meets a condition."""
    column = comparison.column
    numbers = not any(isinstance(level, str) for level in column.levels or ())
    kind = "ordinal" if numbers else "categorical"
    own = replace(comparison, column=replace(column, kind=kind, likelihood=kind))
    accepted = {code for code, _ in _level_intervals(own)}
    pairs = zip(column.source_levels, column.codes, strict=True)
    return [level for level, code in pairs if code in accepted]


def _derived_intervals(comparison: _Comparison, source: Column) -> Intervals:
    """The encoded values of the source for which a derived column meets a condition."""
    column = comparison.column
    if column.levels is None:
        value = (_read_value(comparison) - column.shift) / column.scale
        operator = comparison.operator
        if column.scale < 0:
            operator = {"<": ">", ">": "<"}.get(operator[0], operator[0]) + operator[1:]
        written = comparison.text
        return _intervals(_Comparison(source, operator, repr(value), written))
    levels = _source_levels(comparison)
    if source.levels is not None:
        codes = set(cells_of_levels(source, tuple(levels)).tolist())
        return tuple((code, code) for code in sorted(codes))
    return _number_ranges(column, source, levels)


def _number_ranges(column: Column, source: Column, levels: list[Level]) -> Intervals:
    """The encoded numbers up to the next value of the source, for some of its values."""
    is_count = source.kind == "count"
    plain = replace(source, likelihood="normal", scale=1.0) if is_count else source
    ends = to_cells(replace(plain, step=0.0, atoms=()), lower_ends(column, source))
    ends[0], after = -np.inf, [*np.nextafter(ends[1:], np.float32(-np.inf)), np.inf]
    places = np.flatnonzero(np.isin(column.source_levels, levels))
    found: list[tuple[float, float]] = []
    for place in places.tolist():
        joins = bool(found) and place - 1 in places
        low = found.pop()[0] if joins else float(ends[place])
        found.append((low, float(after[place])))
    return tuple(found)


def _is_pooled(column: Column, text: str) -> bool:
    """Whether a text names a level that shares its code with others."""
    return any(_is_level(level, text) for level in column.pooled)


@dataclass(frozen=True)
class _Comparison:
    """A column, an operator and a value."""

    column: Column
    operator: str
    value: str
    written: str = ""  # where it follows from the condition on a derived column

    @property
    def text(self) -> str:
        """As it was written, without blanks."""
        return self.written or f"{self.column.name}{self.operator}{self.value}"


def _comparisons(schema: Schema, where: Conditions) -> list[_Comparison]:
    if isinstance(where, Mapping):
        return [_equality(schema, str(name), value) for name, value in where.items()]
    texts = [where] if isinstance(where, str) else list(where)
    parts = [part for text in texts for part in _parts(schema, str(text))]
    return [_parse(schema, part) for part in parts]


def _equality(schema: Schema, name: str, value: Any) -> _Comparison:
    """The condition that a column has a value; blanks around a level count where it has them."""
    column = next((each for each in schema.columns if each.name == name), None)
    text = level_text(value)
    if column is None:
        raise _unknown_column(schema, name, f"{name}={text}")
    levels = map(level_text, level_codes(column))
    return _Comparison(column, "=", text if text in levels else text.strip())


def _parts(schema: Schema, text: str) -> list[str]:
    """The conditions in a text such as ``age>60 and age<80``; a level may hold the word, too."""
    parts = re.split(r"\s+and\s+", text)
    return parts if all(_match(schema, part) for part in parts) else [text]


def _match(schema: Schema, text: str) -> _Comparison | None:
    """A condition on a known column; the longest name of a column counts."""
    columns = {column.name: column for column in schema.columns if column.name}
    stripped = text.strip()
    for name in sorted(columns, key=len, reverse=True):
        match = _COMPARISON.fullmatch(stripped[len(name) :]) if stripped.startswith(name) else None
        if match and match[2].strip():
            return _Comparison(columns[name], match[1], match[2].strip())
    return None


def _parse(schema: Schema, text: str) -> _Comparison:
    """Read one condition."""
    found = _match(schema, str(text))
    if found is not None:
        return found
    columns = {column.name: column for column in schema.columns if column.name}
    stripped = str(text).strip()
    name, operator, value = _split_unknown(stripped)
    if not operator or not name or not value or name in columns:
        raise ArgumentError(
            "this is no condition",
            argument="where",
            value=text,
            suggestions=("Write a column, an operator and a value, such as age>60",),
        )
    raise _unknown_column(schema, name, text)


def _unknown_column(schema: Schema, name: str, text: Any) -> ArgumentError:
    columns = [column.name for column in schema.columns if column.name]
    return ArgumentError(
        f'there is no column "{name}"',
        argument="where",
        value=text,
        suggestions=suggest_nearest(name, columns) or (f"The columns: {format_list(columns)}",),
    )


def _split_unknown(text: str) -> tuple[str, str, str]:
    """The parts around the first operator; empty without one."""
    match = re.search("|".join(OPERATORS), text)
    if match is None:
        return text, "", ""
    return text[: match.start()].strip(), match[0], text[match.end() :].strip()


def _check_constant(comparison: _Comparison) -> None:
    """Check a condition on a column that is set aside."""
    column = comparison.column
    if column.kind != "constant" or not column.levels or comparison.operator not in EQUAL:
        raise ArgumentError(
            f"{column.name} is set aside as {column.kind}: the model does not have it",
            argument="where",
            value=comparison.text,
        )
    if not any(_is_level(level, comparison.value) for level in column.levels):
        raise _never(comparison.text, f"{column.name} is always {column.levels[0]}")


def _never(text: str, why: str) -> ArgumentError:
    return ArgumentError(
        f"this never occurs: {why}, and the probability is 0", argument="where", value=text
    )


def _intervals(comparison: _Comparison) -> Intervals:
    """The encoded values that meet a condition."""
    column = comparison.column
    if column.levels is not None:
        return _level_intervals(comparison)
    value = _read_value(comparison)
    if _is_outside(column, comparison.operator, value):
        return ()
    if column.step or column.kind == "count":
        return _grid_intervals(comparison, value, column.step or 1.0)
    return _real_intervals(comparison, value)


def _is_outside(column: Column, operator: str, value: float) -> bool:
    """Whether no value of one sign, where all values of a column have it, meets a condition."""
    if column.kind == "date":
        return False
    if column.low is not None and column.low >= 0:
        return value < 0 if operator in ("<=", *EQUAL) else operator == "<" and value <= 0
    if column.high is not None and column.high <= 0:
        return value > 0 if operator in (">=", *EQUAL) else operator == ">" and value >= 0
    return False


def _level_intervals(comparison: _Comparison) -> Intervals:
    column, operator, text = comparison.column, comparison.operator, comparison.value
    codes = [code for level, code in level_codes(column).items() if _is_level(level, text)]
    code = codes[0] if codes else _number_place(comparison)
    if code is None:
        raise ArgumentError(
            f'{column.name} has no level "{comparison.value}"',
            argument="where",
            value=comparison.text,
            suggestions=suggest_nearest(comparison.value, map(level_text, level_codes(column)))
            or (f"The levels: {format_list(map(level_text, column.levels or ()))}",),
        )
    if operator in (">", ">=", "<", "<=") and not _has_order(column):
        raise ArgumentError(
            f"the levels of {column.name} have no order",
            argument="where",
            value=comparison.text,
            suggestions=("Compare with = or !=",),
        )
    is_rare = _is_pooled(column, text)
    return tuple(
        (float(each), float(each))
        for each in range(column.n_levels)
        if _holds(each, operator, code) or (operator == "!=" and is_rare and len(column.pooled) > 1)
    )


def _number_place(comparison: _Comparison) -> float | None:
    """The place of a number among levels that are numbers, for a comparison of their order."""
    levels = [level for level in comparison.column.levels or () if not isinstance(level, str)]
    is_number = is_float(comparison.value) and math.isfinite(float(comparison.value))
    has_order = comparison.operator[0] in "<>" and len(levels) == comparison.column.n_levels
    if not (has_order and is_number):
        return None
    return sum(level < float(comparison.value) for level in levels) - 0.5


def _has_order(column: Column) -> bool:
    numbers = all(not isinstance(level, str) for level in column.levels or ())
    return column.kind == "ordinal" or (column.kind == "binary" and numbers)


def _is_level(level: Level | None, text: str) -> bool:
    """Whether a text names a level; numbers and truth values have several spellings."""
    if text == level_text(level):
        return True
    if isinstance(level, bool) and text in (str(level).lower(), str(int(level))):
        return True
    return isinstance(level, int | float) and is_float(text) and float(text) == level


def _holds(left: float, operator: str, right: float) -> bool:
    return {
        "=": left == right,
        "==": left == right,
        "!=": left != right,
        ">": left > right,
        ">=": left >= right,
        "<": left < right,
        "<=": left <= right,
    }[operator]


def _read_value(comparison: _Comparison) -> float:
    """The value in the units of the column."""
    column, text = comparison.column, comparison.value
    try:
        value = _read_date(column, text) if column.kind == "date" else float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        noun = "dates, such as 2024-12-31" if column.kind == "date" else "numbers"
        raise ArgumentError(
            f'{column.name} holds {noun}, and "{text}" is none',
            argument="where",
            value=comparison.text,
        )
    return value


def _read_date(column: Column, text: str) -> float:
    unit = MICROSECONDS[column.unit or "second"] / 1e6
    try:
        return parse_date(text, ISO) / unit
    except ValueError:
        if column.format in ("", ISO):
            raise
    return parse_date(text, column.format) / unit


def _grid_intervals(comparison: _Comparison, value: float, step: float) -> Intervals:
    """Bounds between the values on a grid."""
    column, place = comparison.column, value / step
    nearest = round(place)
    is_on_grid = abs(place - nearest) <= ON_GRID

    def bound(number: float, side: float) -> float:
        x = (number + side * BESIDE_GRID) * step
        return x if column.kind == "count" else (x - column.shift) / column.scale

    below = nearest if is_on_grid else math.floor(place)
    above = nearest if is_on_grid else math.ceil(place)
    first, last = (0 if column.kind == "count" else -math.inf), math.inf
    match comparison.operator:
        case "=" | "==":
            if not is_on_grid or nearest < first:
                raise _cannot_hold(comparison)
            return _point(comparison, value)
        case "!=":
            if not is_on_grid:
                return ANY_NUMBER
            return ((-math.inf, bound(nearest - 1, 1)), (bound(nearest + 1, -1), math.inf))
        case ">" | ">=":
            least = above + (comparison.operator == ">" and is_on_grid)
            return ((bound(least, -1), last),)
        case _:
            most = below - (comparison.operator == "<" and is_on_grid)
            return ((-math.inf, bound(most, 1)),) if most >= first else ()


def _real_intervals(comparison: _Comparison, value: float) -> Intervals:
    """Bounds in float32, as the encoded cells."""
    column, operator = comparison.column, comparison.operator
    if operator in EQUAL:
        return _point(comparison, value)
    low, high = _open_range(column)
    if not low < value < high:
        inside = {">": value <= low, ">=": value <= low, "<": value >= high, "<=": value >= high}
        return ANY_NUMBER if inside.get(operator, True) else ()
    with np.errstate(over="ignore"):
        y = to_cells(column, np.array([value]))[0]
    before, after = (float(np.nextafter(y, np.float32(end))) for end in (-np.inf, np.inf))
    found: Intervals = {
        "!=": ((-math.inf, before), (after, math.inf)),
        ">": ((after, math.inf),),
        ">=": ((float(y), math.inf),),
        "<": ((-math.inf, before),),
        "<=": ((-math.inf, float(y)),),
    }[operator]
    return tuple((low, high) for low, high in found if low < math.inf and high > -math.inf)


def _open_range(column: Column) -> tuple[float, float]:
    """The numbers between which all values of a column of real numbers lie."""
    if column.likelihood == "log_normal":
        return 0.0, math.inf
    if column.likelihood == "beta":
        return column.bounds
    return -math.inf, math.inf


def _point(comparison: _Comparison, value: float) -> Intervals:
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        y = float(to_cells(comparison.column, np.array([value]))[0])
    if not math.isfinite(y):
        raise _cannot_hold(comparison)
    return ((y, y),)


def _cannot_hold(comparison: _Comparison) -> ArgumentError:
    column = comparison.column
    return _never(comparison.text, f"{column.name} ({column.kind}) cannot hold this value")
