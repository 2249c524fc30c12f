"""One column of a table: numbers with NaN where a cell is empty, or text that is set aside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

EMPTY_CELL_TEXTS = frozenset({"", "na", "n/a", "nan", "null", "?"})


@dataclass(frozen=True)
class NonNumericCell:
    """A text among numbers: its row, counted from 0."""

    row: int
    text: str


@dataclass(frozen=True, eq=False)
class TableColumn:
    """A column: float64 ``cells`` with NaN where there is no number; ``kind`` says what it holds where that is not numbers."""

    name: str
    cells: np.ndarray
    kind: str = "numbers"
    non_numeric: NonNumericCell | None = None

    @property
    def numeric(self) -> bool:
        """Whether this is a column of numbers."""
        return self.kind == "numbers"


def read_column(name: str, series: Any, required: bool) -> TableColumn:
    """Read a narwhals series: numbers, booleans (0 and 1), or text of which at least half of the cells that are not empty are numbers.

    ``wanted`` columns must be numbers: any text in them is stray.
    """
    if series.dtype.is_numeric() or str(series.dtype) == "Boolean":
        column = TableColumn(name, _to_floats(series))
    elif str(series.dtype) in ("String", "Object", "Categorical", "Enum"):
        column = _parse_text_column(name, series.to_list(), required)
    else:
        column = TableColumn(name, np.full(len(series), np.nan), str(series.dtype).lower())
    if column.numeric and not required and np.isnan(column.cells).all():
        return TableColumn(name, column.cells, "empty")
    return column


def _to_floats(series: Any) -> np.ndarray:
    import narwhals

    return np.array(
        series.cast(narwhals.Float64).fill_null(float("nan")).to_numpy(), dtype=np.float64
    )


def _parse_text_column(name: str, texts: list[Any], required: bool) -> TableColumn:
    """Numbers where most texts are numbers; the first other text is then reported, not dropped."""
    cells = np.full(len(texts), np.nan)
    stray: list[NonNumericCell] = []
    numbers = 0
    for row, text in enumerate(texts):
        text = "" if text is None else str(text).strip()
        if text.lower() in EMPTY_CELL_TEXTS:
            continue
        try:
            cells[row] = float(text)
            numbers += 1
        except ValueError:
            stray.append(NonNumericCell(row, text))
    if numbers >= len(stray) or required:
        return TableColumn(name, cells, non_numeric=stray[0] if stray else None)
    return TableColumn(name, cells, "text")
