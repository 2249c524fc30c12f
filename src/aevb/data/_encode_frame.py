"""Data frames as encoded cells: one number per cell of a modelled column."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..errors import DataError
from ..networks._column import Column, Level, atom_cells
from ..notes import Note
from ._cells import distinct_cells, numbers_of, read_numbers
from ._columns import CellRules
from ._formatting import format_count, format_list, suggest_nearest
from ._frame_libraries import level_text
from ._rows import Rows
from ._tables import to_narwhals

if TYPE_CHECKING:
    from ._schema import Schema

MAX_COUNT_CELL = 2**24  # the largest count that float32 holds with all smaller ones
MAX_LISTED_VALUES = 5
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


def encode_frame(schema: Schema, frame: Any, rules: CellRules = CellRules()) -> Rows:
    """The rows of ``Schema.encode``.

    Args:
        schema: The schema.
        frame: A data frame of any library.
        rules: How cells are read.
    """
    table = open_frame(schema, frame)
    encoded = {
        column.name: encode_column(column, table[column.name], rules) for column in schema.modelled
    }
    cells = np.empty((len(table), len(encoded)), dtype=np.float32)
    for place, each in enumerate(encoded.values()):
        cells[:, place] = each.cells
    known = {column.name for column in schema.columns}
    extra = [name for name in table.columns if name not in known]
    notes = (*_refused_notes(schema, encoded), *_extra_notes(extra))
    return Rows(torch.from_numpy(cells), notes=notes)


def open_frame(schema: Schema, frame: Any) -> Any:
    """A frame with all modelled columns and at least one row, as a narwhals frame.

    Raises:
        DataError: A modelled column is missing, or there are no rows.
    """
    table = to_narwhals(frame, "frame")
    names = list(table.columns)
    present = set(names)
    missing = [column.name for column in schema.modelled if column.name not in present]
    if missing:
        known = {column.name for column in schema.columns}
        extra = [name for name in names if name not in known]
        raise DataError(
            f"the frame has no {'column' if len(missing) == 1 else 'columns'} "
            f"{format_list((repr(name) for name in missing), 5)}",
            argument="frame",
            suggestions=[text for name in missing[:3] for text in suggest_nearest(name, extra)],
        )
    if not len(table):
        raise DataError("the frame holds no rows", argument="frame")
    return table


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
    assert column.levels is not None
    cells = distinct_cells(series)
    codes = level_codes(column)
    has_texts = any(isinstance(level, str) for level in codes)
    readable = [value for value in cells.values if not (has_texts and isinstance(value, str))]
    numbers, empty_texts = numbers_of(column.name, readable, rules), rules.empty_texts(column.name)

    def is_empty(value: Any) -> bool:
        if isinstance(value, str) and value.strip().lower() in empty_texts:
            return True
        return numbers.get(value) != numbers.get(value)  # NaN

    places = {
        place: _find_level(value, numbers.get(value), codes)
        for place, value in enumerate(cells.values)
        if value in codes or not is_empty(value)
    }
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


def _refused_notes(schema: Schema, encoded: Mapping[str, EncodedColumn]) -> tuple[Note, ...]:
    """What was made a missing cell: new categories, and numbers that a column cannot hold.

    Raises:
        DataError: There are such values, and ``Schema.unseen`` is ``"refuse"``.
    """
    refused = {name: each.refused for name, each in encoded.items() if each.refused}
    if not refused:
        return ()
    texts = [_describe_refused(name, values) for name, values in refused.items()]
    if schema.unseen == "refuse":
        raise DataError(
            f"the schema does not have {format_list(texts, 3)}",
            argument="frame",
            suggestions=("Empty these cells, or fit to data with these values",),
        )
    has_levels = {column.name: column.levels is not None for column in schema.modelled}
    notes = []
    for code, noun, kind in (
        ("unseen_categories", "new categories", True),
        ("impossible_values", "values that the column cannot hold", False),
    ):
        names = [name for name in refused if has_levels[name] is kind]
        if names:
            listed = format_list(_describe_refused(name, refused[name]) for name in names)
            data = {name: sum(refused[name].values()) for name in names}
            text = f"Cells with {noun} count as missing: {listed}."
            notes.append(Note(code, text, "warning", {"columns": data}))
    return tuple(notes)


def _describe_refused(name: str, values: Mapping[Any, int]) -> str:
    """The name of a column, a few of the values, and the number of cells."""
    listed = format_list(values, MAX_LISTED_VALUES)
    return f"{name} ({listed}; {format_count(sum(values.values()), 'cell')})"


def _extra_notes(names: list[str]) -> tuple[Note, ...]:
    """The columns of the frame that the schema does not have."""
    if not names:
        return ()
    count = format_count(len(names), "column")
    text = f"Ignored {count} that the schema does not have: {format_list(names)}."
    return (Note("columns_ignored", text, data={"columns": names}),)
