"""Numbers that likely stand for missing values: -999, -200, 9999 apart from all other values."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..notes import Argument, Note, message
from ._columns import TableColumn
from ._formatting import format_count, format_list

MISSING_CODE_NOTE = "missing_codes"
MIN_CELLS = 2  # with the same value
MIN_GAP = 0.5  # between a code and the other values, in units of their range
_NINES = re.compile(r"9{2,}")
_ROUND = re.compile(r"[1-9]0{2,}")
HUGE = 1e19  # fill values of array files


@dataclass(frozen=True)
class MissingCode:
    """A value that likely stands for a missing one.

    Args:
        value: The value.
        count: The number of cells that hold it.
        low: The least other value.
        high: The greatest other value.
    """

    value: float
    count: int
    low: float
    high: float


def find_missing_codes(cells: np.ndarray) -> tuple[MissingCode, ...]:
    """The least and the greatest value of a column, where they look like codes.

    A code consists of nines, or is negative and round (-200), or is huge. It occurs more than once,
    and lies apart from the other values, or is negative where all of these are not.

    >>> find_missing_codes(np.array([5.0, 7.0, -999.0, 6.0, -999.0]))
    (MissingCode(value=-999.0, count=2, low=5.0, high=7.0),)
    """
    cells = cells[np.isfinite(cells)]
    if not len(cells):
        return ()
    found = (_check_code(cells, float(value)) for value in (cells.min(), cells.max()))
    return tuple(code for code in found if code is not None)


def missing_code_notes(columns: Sequence[TableColumn]) -> tuple[Note, ...]:
    """The warning about codes for missing values, if there are any."""
    found = {column.name: find_missing_codes(column.cells) for column in columns}
    found = {name: codes for name, codes in found.items() if codes}
    found = dict(sorted(found.items(), key=lambda item: -item[1][0].count))
    if not found:
        return ()
    rows = len(columns[0].cells)
    texts = [
        f"{name} holds {code.value:g} in {code.count:,} of {format_count(rows, 'row')}, and other "
        f"values from {code.low:g} to {code.high:g}"
        for name, codes in found.items()
        for code in codes
    ]
    values = sorted({code.value for codes in found.values() for code in codes})
    written = [int(value) if value == round(value) else value for value in values]
    text = message(
        f"{format_list(written)} likely {'stands' if len(values) == 1 else 'stand'} "
        f"for missing values: {'; '.join(texts[:5])}"
        f"{f'; and {len(texts) - 5:,} more' if len(texts) > 5 else ''}. If so, write {{missing}}.",
        missing=Argument("missing", written[0] if len(written) == 1 else written),
    )
    data = {
        name: [{"value": code.value, "count": code.count} for code in codes]
        for name, codes in found.items()
    }
    return (Note(MISSING_CODE_NOTE, text, "warning", {"rows": rows, "columns": data}),)


def _check_code(cells: np.ndarray, value: float) -> MissingCode | None:
    """The code, if the value is one."""
    if not _looks_like_code(value):
        return None
    others = cells[cells != value]
    count = len(cells) - len(others)
    if count < MIN_CELLS or not len(others):
        return None
    low, high = float(others.min()), float(others.max())
    gap = max(low - value, value - high)
    if low == high or not (value < 0 <= low or gap >= MIN_GAP * (high - low)):
        return None
    return MissingCode(value, count, low, high)


def _looks_like_code(value: float) -> bool:
    """Whether a value is written as codes are."""
    digits = f"{abs(value):.15g}".replace(".", "")
    return (
        abs(value) >= HUGE
        or _NINES.fullmatch(digits) is not None
        or (value < 0 and _ROUND.fullmatch(digits) is not None)
    )
