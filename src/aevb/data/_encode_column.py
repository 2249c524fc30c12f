"""Columns of a data frame as encoded cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import DataError
from ..networks._column import Column, Level, atom_cells
from ._cells import distinct_cells, numbers_of, read_numbers
from ._columns import CellRules
from ._frame_libraries import level_text

MAX_COUNT_CELL = 2**24  # the largest count that float32 holds with all smaller ones
_TRUTHS = {"true": True, "false": False}
BOUND = 2.0**-24  # between the cells of a bounded column and 0 or 1


@dataclass(frozen=True, eq=False)
class EncodedColumn:
    """The encoded cells of a column.

    Args:
        cells: float32 ``[N]``, NaN for an empty cell and for a value that cannot be encoded.
        empty: Which cells of the frame are empty, ``[N]``.
        refused: How often each value occurs that cannot be encoded.
    """

    cells: np.ndarray
    empty: np.ndarray
    refused: Mapping[Any, int] = field(default_factory=dict)


def encode_column(column: Column, series: Any, rules: CellRules = CellRules()) -> EncodedColumn:
    """Encode a column.

    Args:
        column: The column of the schema.
        series: A narwhals series.
        rules: How cells are read.

    Raises:
        DataError: A cell is infinite, or holds something else than its column.
    """
    if column.levels is not None:
        return _encode_levels(column, series, rules)
    x = read_numbers(column, series, rules)
    _check_finite(column, x)
    empty = np.isnan(x)
    with np.errstate(divide="ignore", invalid="ignore"):
        y = to_cells(column, x)
    refused = ~np.isfinite(y) & ~empty
    if not refused.any():
        return EncodedColumn(y, empty)
    values, counts = np.unique(x[refused], return_counts=True)
    occurrences = dict(zip(values.tolist(), counts.tolist(), strict=True))
    return EncodedColumn(np.where(refused, np.float32(np.nan), y), empty, occurrences)


def to_cells(column: Column, x: np.ndarray) -> np.ndarray:
    """Encode numbers; see ``Column``.

    Args:
        column: A column of numbers or dates.
        x: Values in data units, float64.

    Returns:
        The encoded cells, float32; NaN or infinite where the column cannot hold the value.

    >>> to_cells(Column("n", "count", "negative_binomial"), np.array([3.0, -1.0, 0.5]))
    array([ 3., nan, nan], dtype=float32)
    """
    if column.likelihood == "negative_binomial":
        possible = (x >= 0) & (x <= MAX_COUNT_CELL) & (x == np.rint(x))
        return np.where(possible, x, np.nan).astype(np.float32)
    if column.likelihood == "log_normal":
        return ((np.log(x) - column.shift) / column.scale).astype(np.float32)
    if column.likelihood == "beta":
        return _bounded_cells(column, x)
    if column.step:
        x = snap_to_step(x, column.step)
    y = ((x - column.shift) / column.scale).astype(np.float32)
    return _snap_to_atoms(column, y) if column.atoms else y


def snap_to_step(x: np.ndarray, step: float) -> np.ndarray:
    """The nearest multiples of a step, without rounding errors for steps such as 0.1.

    >>> snap_to_step(np.array([0.29999, 7.0]), 0.1).tolist()
    [0.3, 7.0]
    """
    inverse = round(1 / step)
    if step < 1 and inverse and abs(inverse * step - 1) < 1e-9:
        return np.rint(x * inverse) / inverse
    return np.rint(x / step) * step


def _bounded_cells(column: Column, x: np.ndarray) -> np.ndarray:
    """Cells strictly between 0 and 1; NaN for values beyond the bounds."""
    low, high = column.bounds
    y = (x - low) / (high - low)
    inside = np.clip(y, BOUND, 1 - BOUND).astype(np.float32)
    return np.where((y >= 0) & (y <= 1), inside, np.float32(np.nan))


def _snap_to_atoms(column: Column, y: np.ndarray) -> np.ndarray:
    """Cells with those next to an atom moved onto it."""
    atoms = atom_cells(column)
    right = np.clip(np.searchsorted(atoms, y), 1, max(len(atoms) - 1, 1))
    pair = np.stack([atoms[right - 1], atoms[np.minimum(right, len(atoms) - 1)]])
    nearest = np.where(np.abs(y - pair[0]) <= np.abs(y - pair[1]), pair[0], pair[1])
    return np.where(np.abs(y - nearest) <= 2 * np.spacing(np.abs(nearest)), nearest, y)


def _encode_levels(column: Column, series: Any, rules: CellRules) -> EncodedColumn:
    """Cells of a binary, ordinal or categorical column."""
    cells = distinct_cells(series)
    places = codes_of_values(column, cells.values, rules)
    table = np.full(len(cells.values) + 1, np.nan, dtype=np.float32)
    empty = np.ones(len(table), dtype=bool)
    for place, code in places.items():
        table[place], empty[place] = np.nan if code is None else code, False
    counts = np.bincount(cells.places + 1, minlength=len(table))[1:]
    refused = {
        cells.values[place]: int(counts[place])
        for place, code in places.items()
        if code is None and counts[place]
    }
    return EncodedColumn(table[cells.places], empty[cells.places], refused)


def codes_of_values(
    column: Column, values: Sequence[Any], rules: CellRules = CellRules()
) -> dict[int, int | None]:
    """The codes of values of a column with levels.

    Args:
        column: The column.
        values: Distinct values of a frame.
        rules: How cells are read.

    Returns:
        The code of each value by its place, ``None`` where it is no level; those that stand for
        an empty cell are left out.

    >>> codes_of_values(Column("x", "binary", levels=(1, 2)), [2.0, "1", "", 3])
    {0: 1, 1: 0, 3: None}
    """
    codes = level_codes(column)
    has_texts = any(isinstance(level, str) for level in codes)
    readable = [value for value in values if not (has_texts and isinstance(value, str))]
    numbers, empty_texts = numbers_of(column.name, readable, rules), rules.empty_texts(column.name)

    def is_empty(value: Any) -> bool:
        if isinstance(value, str) and value.strip().lower() in empty_texts:
            return True
        return numbers.get(value) != numbers.get(value)  # NaN

    return {
        place: _find_level(value, numbers.get(value), codes)
        for place, value in enumerate(values)
        if value in codes or not is_empty(value)
    }


def level_codes(column: Column) -> dict[Level | None, int]:
    """The code of each level, those of pooled levels included."""
    levels = column.levels or ()
    last = len(levels) - 1
    return {
        **dict.fromkeys(column.pooled, last),
        **{level: code for code, level in enumerate(levels)},
    }


def _find_level(value: Any, number: Any, codes: Mapping[Level | None, int]) -> int | None:
    """The code of a value of a frame; ``None`` where it is no level."""
    if number is None and isinstance(value, str):
        number = _TRUTHS.get(value.strip().lower())
    if number is not None and number in codes:
        return codes[number]
    text = level_text(value)
    return codes.get(value if value in codes else text if text in codes else text.strip())


def _check_finite(column: Column, x: np.ndarray) -> None:
    """Refuse infinite values."""
    infinite = np.isinf(x)
    if infinite.any():
        raise DataError(
            f'column "{column.name}" holds {x[infinite][0]} in row {int(infinite.argmax()) + 1:,}',
            argument="frame",
            suggestions=("Correct the value, or empty the cell",),
        )
