"""Columns of a schema, learned from a table in one pass."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ArgumentError, DataError
from ..networks._column import Column
from ._column_kinds import KINDS, choose_column
from ._column_statistics import read_statistics
from ._columns import CellRules
from ._formatting import format_list, suggest_nearest
from ._raw import ReadOptions
from ._tables import read_source_table


def learn_columns(
    source: Any,
    kinds: Mapping[str, str] | str | Path | None = None,
    options: ReadOptions | None = None,
) -> tuple[tuple[Column, ...], int]:
    """The columns of a table with their kinds, and the number of its rows.

    Args:
        source: A path or a data frame.
        kinds: The kinds of some columns by name.
        options: How a file is read.
    """
    options = options or ReadOptions()
    table = read_source_table(source, options)
    requested = check_kinds(kinds or {}, table.frame.columns)
    rules = table.cell_rules(options)
    columns = tuple(
        _learn_column(name, table.frame[name], requested.get(name), rules)
        for name in table.frame.columns
    )
    check_usable(columns, len(table.frame))
    return columns, len(table.frame)


def _learn_column(name: str, series: Any, kind: str | None, rules: CellRules) -> Column:
    """A column with its kind."""

    def locate(text: str) -> int | None:
        found = np.array([str(cell).strip() == text for cell in series.to_list()])
        return int(found.argmax()) if found.any() else None

    return choose_column(read_statistics(name, series), kind, rules, locate)


def check_kinds(kinds: Any, names: list[str]) -> Mapping[str, str]:
    """The kinds that were asked for.

    Raises:
        ArgumentError: A column or a kind is unknown.
    """
    for name, kind in kinds.items():
        if name not in names:
            raise ArgumentError(
                f'the table has no column "{name}"',
                argument="kinds",
                suggestions=suggest_nearest(name, names),
            )
        if kind not in KINDS:
            raise ArgumentError(
                f'the kind "{kind}" of column "{name}" is not known',
                argument="kinds",
                suggestions=(f"Write one of {format_list(KINDS, len(KINDS))}",),
            )
    return kinds


def check_usable(columns: tuple[Column, ...], rows: int) -> None:
    """Refuse a table without a column that can be modelled.

    Raises:
        DataError: There is none.
    """
    if any(column.modelled for column in columns):
        return
    listed = format_list(f"{column.name} ({column.kind}: {column.reason})" for column in columns)
    what = f"none of its columns can be modelled: {listed}" if columns else "it has no columns"
    raise DataError(
        f"the table has {rows:,} rows, and {what}",
        argument="source",
        suggestions=("Give a table with at least two different values in a column",),
    )
