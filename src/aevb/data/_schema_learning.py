"""Columns of a schema, learned from a table in one pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ArgumentError, DataError
from ..networks._column import Column
from ..notes import Note
from ._column_kinds import KINDS, choose_column
from ._column_statistics import ColumnStatistics, read_statistics
from ._columns import TRIED_TEXTS, CellRules, TableColumn, read_column
from ._date_texts import find_date_format, parse_date
from ._derived_columns import REQUEST, find_derived_columns, requested_source
from ._formatting import format_count, format_list, suggest_nearest
from ._functions import Functions, read_functions
from ._missing_codes import find_missing_codes, missing_code_notes
from ._number_texts import parse_numbers
from ._schema_file import read_kinds
from ._tables import SourceTable
from ._value_counts import NumberCounts

Kinds = Mapping[str, str] | str | Path
_REQUESTS = [f"{kind}:COLUMN" if kind == REQUEST else kind for kind in KINDS]


@dataclass(frozen=True)
class LearnedColumns:
    """The columns of a table.

    Args:
        columns: The columns with their kinds.
        rows: The number of rows.
        notes: What needs attention: codes for missing cells, levels that look alike.
    """

    columns: tuple[Column, ...]
    rows: int
    notes: tuple[Note, ...]


def learn_columns(
    table: SourceTable, kinds: Kinds | None = None, rules: CellRules = CellRules()
) -> LearnedColumns:
    """The columns of a table with their kinds.

    Args:
        table: The table.
        kinds: The kinds of some columns by name, or a TOML file with them.
        rules: How cells are read.

    Raises:
        DataError: A column cannot be read, or none can be modelled.
        ArgumentError: ``kinds`` names an unknown column or kind, or contradicts the values.
    """
    requested = check_kinds(kinds, table.frame.columns)
    found: dict[str, ColumnStatistics] = {}

    def learn(series: Any) -> _Learned:
        statistics = found[series.name] = read_statistics(series.name, series, rules)
        if statistics.texts.rest and statistics.categories is None:
            statistics = _parse_long(statistics, series, requested.get(series.name), rules)
        kind = requested.get(series.name)
        return _choose(statistics, kind, rules, lambda text: _find_row(series, text))

    if not len(table.frame):
        raise DataError(f"{table.origin} holds no rows", argument="source")
    learned = _collect(map(learn, table.frame.iter_columns()), len(table.frame))
    asked = [(n, source) for n, kind in requested.items() if (source := requested_source(kind))]
    functions = read_functions(table.frame, found, rules, [name for pair in asked for name in pair])
    columns = find_derived_columns(learned.columns, found, functions, requested, rules)
    return replace(learned, columns=columns)


def learn_from_statistics(
    statistics: Mapping[str, ColumnStatistics],
    functions: Functions,
    kinds: Kinds | None = None,
    rules: CellRules = CellRules(),
) -> LearnedColumns:
    """The columns of a table whose statistics are known."""
    requested = check_kinds(kinds, list(statistics))
    learned = (_choose(each, requested.get(each.name), rules) for each in statistics.values())
    rows = next((each.rows for each in statistics.values()), 0)
    if not rows:
        raise DataError("the parts hold no rows", argument="frame")
    found = _collect(learned, rows)
    columns = find_derived_columns(found.columns, statistics, functions, requested, rules)
    return replace(found, columns=columns)


@dataclass(frozen=True)
class _Learned:
    """A column, what needs attention, and its cells where some likely stand for missing ones."""

    column: Column
    notes: tuple[Note, ...] = ()
    coded: TableColumn | None = None


def _choose(
    statistics: ColumnStatistics,
    kind: str | None,
    rules: CellRules,
    locate: Callable[[str], int | None] = lambda text: None,
) -> _Learned:
    """A column with its kind; the own one of a column that was asked for as derived."""
    kind = None if requested_source(kind) is not None else kind
    column = choose_column(statistics, kind, rules, locate)
    notes, numbers = _level_notes(column), statistics.numbers
    if not column.modelled or column.kind in ("date", "binary") or not numbers.total:
        return _Learned(column, notes)
    codes = find_missing_codes(np.repeat(numbers.values, np.minimum(numbers.counts, 2)))
    if not codes:
        return _Learned(column, notes)
    listed = format_list(f"{code.value:g}" for code in codes)
    verb = "stands" if len(codes) == 1 else "stand"
    reason = f"{column.reason}; {listed} likely {verb} for missing values"
    cells = np.repeat(numbers.values, numbers.counts)
    cells = np.append(cells, np.full(statistics.rows - len(cells), np.nan))
    return _Learned(replace(column, reason=reason), notes, TableColumn(column.name, cells))


def _collect(learned: Iterable[_Learned], rows: int) -> LearnedColumns:
    """The columns of a table, at least one of which can be modelled.

    Raises:
        DataError: None can be.
    """
    each = list(learned)
    columns = tuple(one.column for one in each)
    if not any(column.modelled for column in columns):
        listed = format_list((f"{c.name} ({c.kind}: {c.reason})" for c in columns), 5)
        raise DataError(
            f"the table has {format_count(rows, 'row')}, and none of its columns can be modelled: "
            f"{listed}",
            argument="source",
            suggestions=("Give a table with different values in a column",),
        )
    coded = missing_code_notes([one.coded for one in each if one.coded is not None])
    return LearnedColumns(columns, rows, (*coded, *(note for one in each for note in one.notes)))


def check_kinds(kinds: Kinds | None, names: list[str]) -> Mapping[str, str]:
    """The kinds that were asked for, by the name of their column.

    Raises:
        ArgumentError: A column or a kind is unknown.
    """
    if kinds is not None and not isinstance(kinds, str | Path | Mapping):
        raise ArgumentError(
            "give a kind by name of column, or the path of a TOML file",
            argument="kinds",
            value=kinds,
        )
    found = read_kinds(kinds) if isinstance(kinds, str | Path) else dict(kinds or {})
    for name, kind in found.items():
        if name not in names:
            raise ArgumentError(
                f'the table has no column "{name}"',
                argument="kinds",
                suggestions=suggest_nearest(name, names),
            )
        if kind not in KINDS or kind == REQUEST:
            if requested_source(kind):
                continue
            raise ArgumentError(
                f'"{kind}" of column "{name}" is no kind',
                argument="kinds",
                suggestions=(f"Write one of {format_list(_REQUESTS, len(_REQUESTS))}",),
            )
    return found


def _find_row(series: Any, text: str) -> int | None:
    """The row of a text, counted from 0."""
    found = [str(cell).strip() == text for cell in series.to_list()]
    return found.index(True) if any(found) else None


def _parse_long(
    statistics: ColumnStatistics, series: Any, kind: str | None, rules: CellRules
) -> ColumnStatistics:
    """The statistics of a long column of numbers or dates in text, of all its cells."""
    if kind in ("categorical", "identifier"):
        return statistics
    form = find_date_format(list(statistics.texts.counts)[:64])
    if form:
        return _parse_long_dates(statistics, series, form, rules)
    held = list(statistics.texts.counts)[:TRIED_TEXTS]
    if not any(value == value for value in parse_numbers(held, rules.decimal).values.values()):
        return statistics
    column = read_column(statistics.name, series, False, rules)
    if not column.numeric or column.non_numeric is not None:
        return statistics
    known = np.isfinite(column.cells)
    return replace(
        statistics,
        cells="numbers",
        numbers=NumberCounts.of(column.cells[known]),
        missing=int(np.count_nonzero(~known)),
    )


def _parse_long_dates(
    statistics: ColumnStatistics, series: Any, form: str, rules: CellRules
) -> ColumnStatistics:
    """The statistics of dates in text; those of texts where one is no date."""
    texts, empty = series.to_list(), rules.empty_texts(statistics.name)
    known = [x for x in texts if isinstance(x, str) and x.strip().lower() not in empty]
    try:
        seconds = np.array([parse_date(text, form) for text in known])
    except ValueError:
        return statistics
    return replace(
        statistics,
        cells="dates",
        numbers=NumberCounts.of(seconds),
        missing=len(texts) - len(known),
        format=form,
    )


def _level_notes(column: Column) -> tuple[Note, ...]:
    """The note about levels that differ only by case or blanks."""
    alike: dict[str, list[str]] = {}
    for level in (*(column.levels or ()), *column.pooled):
        if isinstance(level, str):
            alike.setdefault(" ".join(level.split()).casefold(), []).append(level)
    found = [levels for levels in alike.values() if len(levels) > 1]
    if not found or not column.modelled:
        return ()
    listed = format_list((" and ".join(f'"{x}"' for x in levels) for levels in found), 5)
    text = f"Levels of {column.name} differ only by case or blanks: {listed}. They stay apart."
    data = {"column": column.name, "levels": found}
    return (Note("similar_levels", text, "warning", data),)
