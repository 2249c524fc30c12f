"""Cells of columns that are functions of another column: their values, and what these say of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..networks._column import Column, Level
from ._cells import read_numbers
from ._columns import CellRules
from ._encode_column import EncodedColumn, encode_column, level_codes, to_cells

BESIDE_VALUE = 1e-3  # of the distance to the value before: how far a number may be rounded down
BESIDE_GRID = 0.4  # the same for a number on a grid, in its steps
SEEN, AGREES = 1e-9, 1e-6  # rounding of a number that is seen, and of one that agrees


@dataclass(frozen=True, eq=False)
class DerivedCells:
    """The cells of a derived column of a frame.

    Args:
        empty: Which cells are empty, ``[N]``.
        contradicts: Which cells hold another value than that of their source, ``[N]``.
        source_cells: Encoded cells of the source, float32 ``[N]``, where it is empty and the cell
            says what it holds; NaN elsewhere.
    """

    empty: np.ndarray
    contradicts: np.ndarray
    source_cells: np.ndarray


def read_derived_columns(
    columns: tuple[Column, ...],
    table: Any,
    encoded: Mapping[str, EncodedColumn],
    rules: CellRules = CellRules(),
) -> dict[str, DerivedCells]:
    """The cells of the derived columns that a frame has.

    Args:
        columns: All columns of the schema.
        table: A narwhals frame.
        encoded: The encoded cells of the modelled columns.
        rules: How cells are read.
    """
    sources = {column.name: column for column in columns}
    present = set(table.columns)
    return {
        column.name: (_read_line if column.levels is None else _read_levels)(
            column, sources[column.source], table, encoded[column.source], rules
        )
        for column in columns
        if column.source and column.name in present
    }


def fill_source_cells(
    columns: tuple[Column, ...],
    encoded: Mapping[str, EncodedColumn],
    derived: Mapping[str, DerivedCells],
) -> dict[str, np.ndarray]:
    """The encoded cells of modelled columns, with those that only a derived column says."""
    cells = {name: each.cells for name, each in encoded.items()}
    for column in columns:
        if column.name in derived:
            known = derived[column.name].source_cells
            own = cells[column.source]
            cells[column.source] = np.where(np.isnan(own), known, own)
    return cells


def derived_codes(
    column: Column, source: Column, series: Any, rules: CellRules = CellRules()
) -> np.ndarray:
    """The places in ``levels`` of the values of a derived column, int64 ``[N]``, -1 for none.

    Args:
        column: The derived column, with levels.
        source: Its source.
        series: The cells of the source, a narwhals series.
        rules: How cells are read.
    """
    return np.array([*column.codes, -1])[_source_places(column, source, series, rules)]


def derived_numbers(
    column: Column, source: Column, series: Any, rules: CellRules = CellRules()
) -> np.ndarray:
    """The values of a linear function, float64 ``[N]``; arguments as for ``derived_codes``."""
    return column.shift + column.scale * read_numbers(source, series, rules)


def _source_places(column: Column, source: Column, series: Any, rules: CellRules) -> np.ndarray:
    """The place of each cell of the source in ``source_levels``, -1 for none.

    A number that is none of them has the place of the greatest one below.
    """
    if source.levels is not None:
        each = replace(source, levels=column.source_levels, pooled=(), pooled_counts=())
        cells = encode_column(each, series, rules).cells
        return np.where(np.isnan(cells), -1, cells).astype(np.int64)
    x = read_numbers(source, series, rules)
    places = np.searchsorted(lower_ends(column, source), x, side="right") - 1
    return np.where(np.isnan(x), -1, np.maximum(places, 0))


def lower_ends(column: Column, source: Column) -> np.ndarray:
    """The least number that belongs to each value of a source of numbers."""
    ends = np.array(column.source_levels, dtype=np.float64)
    ends[1:] -= BESIDE_GRID * source.step if source.step else BESIDE_VALUE * np.diff(ends)
    return ends


def _read_levels(
    column: Column, source: Column, table: Any, cells: EncodedColumn, rules: CellRules
) -> DerivedCells:
    """The cells of a derived column with levels."""
    own, series = encode_column(column, table[column.name], rules), table[source.name]
    places = _source_places(column, source, series, rules)
    if source.levels is None:  # what a number that was never seen gives is not known
        known = np.array(column.source_levels, dtype=np.float64)[places]
        seen = np.isclose(read_numbers(source, series, rules), known, SEEN, SEEN * source.scale)
        places = np.where(seen, places, -1)
    expected = np.array([*column.codes, -1])[places]
    is_new = ~own.empty & np.isnan(own.cells)
    contradicts = ~own.empty & (expected >= 0) & (own.cells != expected)
    told = np.append(_told_cells(column, source), np.float32(np.nan))
    codes = np.where(np.isnan(own.cells), -1, own.cells).astype(np.int64)
    return DerivedCells(
        own.empty,
        contradicts | (is_new & cells.empty),
        np.where(cells.empty, told[codes], np.float32(np.nan)),
    )


def _told_cells(column: Column, source: Column) -> np.ndarray:
    """The encoded cell of the source for each level, NaN where several have this level."""
    told = np.full(len(column.levels or ()), np.nan, dtype=np.float32)
    cells = cells_of_levels(source, column.source_levels)
    for code in range(len(told)):
        places = np.flatnonzero(np.array(column.codes) == code)
        if len(places) == 1:
            told[code] = cells[places[0]]
    return told


def cells_of_levels(source: Column, levels: tuple[Level, ...]) -> np.ndarray:
    """Values of a column as encoded cells, float32."""
    if source.levels is None:
        return to_cells(source, np.array(levels, dtype=np.float64))
    codes = level_codes(source)
    return np.array([codes[level] for level in levels], dtype=np.float32)


def _read_line(
    column: Column, source: Column, table: Any, cells: EncodedColumn, rules: CellRules
) -> DerivedCells:
    """The cells of a linear function."""
    y = read_numbers(column, table[column.name], rules)
    expected = derived_numbers(column, source, table[source.name], rules)
    width = (column.high or 0.0) - (column.low or 0.0)
    tolerance = (column.step or column.grid) / 2 + AGREES * width + 4e-16 * np.abs(y)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        told = to_cells(source, (y - column.shift) / column.scale)
    told = np.where(cells.empty & np.isfinite(told), told, np.float32(np.nan))
    return DerivedCells(np.isnan(y), np.abs(y - expected) > tolerance, told)
