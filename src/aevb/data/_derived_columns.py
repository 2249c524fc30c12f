"""Which columns of a schema are functions of another one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..errors import ArgumentError
from ..networks._column import Column, Level
from ._cells import numbers_of
from ._column_statistics import ColumnStatistics
from ._columns import CellRules
from ._encode_column import codes_of_values
from ._formatting import format_count
from ._functions import MIN_ROWS_PER_VALUE, Functions, Line, ValueTable

REQUEST = "derived"
MAX_POOLED_SHARE = 0.05  # of the rows, with rare values of a source that is not one-to-one


def requested_source(kind: str | None) -> str | None:
    """The source in a kind such as ``"derived:survived"``; ``None`` for another kind.

    >>> requested_source("derived:survived"), requested_source("count")
    ('survived', None)
    """
    name, colon, source = (kind or "").partition(":")
    return source if name == REQUEST and colon else None


@dataclass(frozen=True, eq=False)
class _Candidates:
    """The columns of a table, and what is known about functions between them."""

    columns: Mapping[str, Column]
    statistics: Mapping[str, ColumnStatistics]
    functions: Functions
    rules: CellRules

    def find(self, source: str, name: str, is_requested: bool = False) -> Column | None:
        """A column as a function of a source; ``None`` where it is none beyond doubt."""
        own, other = self.columns[name], self.columns[source]
        is_unique = is_requested and own.kind == "identifier"
        if not (_is_usable(other) and (_is_usable(own) or is_unique)):
            return None
        line = self.functions.line(source, name)
        if line is not None and own.levels is None and other.levels is None:
            is_proven = line.scale and (is_requested or line.is_established)
            return _linear(own, other, line) if is_proven else None
        table = self.functions.tables.get((source, name))
        if table is None or not (is_requested or self._is_established(table, other)):
            return None
        return self._of_values(own, other, table)

    def _is_established(self, table: ValueTable, source: Column) -> bool:
        """Whether the rows suffice, and no information is lost without the column."""
        rows = sum(table.counts.values())
        few = rows >= MIN_ROWS_PER_VALUE * self.statistics[source.name].distinct
        pooled = sum(source.pooled_counts) <= MAX_POOLED_SHARE * rows or table.is_one_to_one
        return few and pooled and table.is_complete and table.is_established

    def _of_values(self, own: Column, source: Column, table: ValueTable) -> Column | None:
        """A column with the value for each value of the source."""
        values, images = list(table.images), list(table.images.values())
        is_text = self.statistics[own.name].cells == "texts"  # which is put back as it was
        levels = tuple(sorted({*images})) if is_text else self._levels(own, images)
        levels = own.all_levels if set(levels) <= set(own.all_levels) else levels
        sources = self._levels(source, values)
        place = codes_of_values(_with_levels(own, levels), images, self.rules)
        source_place = codes_of_values(_with_levels(source, sources), values, self.rules)
        if len(place) < len(values) or len(source_place) < len(values):
            return None  # a text is a number that stands for an empty cell
        codes = {source_place[i]: place[i] for i in range(len(values))}
        rows = format_count(sum(table.counts.values()), "row")
        how = "one-to-one with" if table.is_one_to_one else "a function of"
        return replace(
            _without_kind(own),
            levels=levels,
            source=source.name,
            source_levels=sources,
            codes=tuple(codes.get(i, -1) for i in range(len(sources))),
            reason=f"{how} {source.name} in {rows}",
        )

    def _levels(self, column: Column, values: Sequence[Any]) -> tuple[Level, ...]:
        """All values of a column, of which some were seen."""
        if column.levels is not None:
            return column.all_levels
        numbers = numbers_of(column.name, list(dict.fromkeys(values)), self.rules).values()
        kind = int if "Int" in column.dtype else float
        return tuple(sorted({kind(number) for number in numbers}))


def _is_usable(column: Column) -> bool:
    """Whether a column can be a function or the source of one: dates and durations cannot."""
    return column.modelled and not column.unit


def _with_levels(column: Column, levels: tuple[Level, ...]) -> Column:
    """A column with these levels, none of which is pooled."""
    return replace(column, levels=levels, pooled=(), pooled_counts=())


def _without_kind(column: Column) -> Column:
    """A column without the fields of its kind."""
    return replace(
        column, kind="derived", likelihood="", pooled=(), pooled_counts=(), atoms=(), edges=()
    )


def _linear(own: Column, source: Column, line: Line) -> Column:
    """A column as a linear function."""
    scale, shift = line.scale, line.shift
    formula = f"{scale:g} {source.name}" if scale != 1 else source.name
    formula += f" {'+' if shift > 0 else '-'} {abs(shift):g}" if shift else ""
    return replace(
        _without_kind(own),
        shift=shift,
        scale=scale,
        source=source.name,
        reason=f"equal to {formula} in {format_count(line.rows, 'row')}",
    )


def find_derived_columns(
    columns: Sequence[Column],
    statistics: Mapping[str, ColumnStatistics],
    functions: Functions,
    requested: Mapping[str, str],
    rules: CellRules = CellRules(),
) -> tuple[Column, ...]:
    """The columns, with those that follow from another one as derived.

    Of columns that determine each other the first one remains, categories before numbers.

    Args:
        columns: The columns with their kinds.
        statistics: Their statistics.
        functions: Which pairs of columns may be functions.
        requested: The kinds that were asked for; such a column is not derived, unless it was
            asked for as ``"derived:SOURCE"``.
        rules: How cells are read.

    Raises:
        ArgumentError: A column that was asked for as derived is not a function of its source.
    """
    by_name = {column.name: column for column in columns}
    candidates = _Candidates(by_name, statistics, functions, rules)
    sources = {name: requested_source(kind) for name, kind in requested.items()}
    asked = {name: source for name, source in sources.items() if source is not None}
    found = {name: _requested(candidates, name, asked) for name in asked}
    kept = set(asked.values())
    possible = functions.sources()
    order = {name: place for place, name in enumerate(by_name)}
    for name in sorted(
        by_name,
        key=lambda name: (-statistics[name].distinct, by_name[name].levels is None, order[name]),
    ):
        if name in found or name in kept:
            continue
        options = () if name in requested else kept.intersection(possible.get(name, ()))
        finds = (candidates.find(source, name) for source in sorted(options, key=order.__getitem__))
        each = next(filter(None, finds), None)
        if each is None:
            kept.add(name)
        else:
            found[name] = each
    return tuple(found.get(column.name, column) for column in columns)


def _requested(candidates: _Candidates, name: str, asked: Mapping[str, str]) -> Column:
    """A column that was asked for as derived.

    Raises:
        ArgumentError: It is not a function of its source, or that is no column of the model.
    """
    source = asked[name]
    reason = ""
    if source not in candidates.columns or source == name:
        reason = f'there is no other column "{source}"'
    elif source in asked:
        reason = f"{source} is itself derived from {asked[source]}"
    elif not candidates.columns[source].modelled:
        reason = f"{source} is set aside as {candidates.columns[source].kind}"
    found = None if reason else candidates.find(source, name, is_requested=True)
    if found is None:
        raise ArgumentError(
            f'column "{name}" cannot be derived: '
            + (reason or f"it is no function of {source} in these rows, or holds dates"),
            argument="kinds",
            suggestions=("Choose another kind, or leave the column out of the kinds",),
        )
    return found
