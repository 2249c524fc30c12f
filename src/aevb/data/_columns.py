"""One column of a table: numbers with NaN in empty cells, or text, which is not read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

EMPTY_CELL_TEXTS = frozenset({"", "na", "n/a", "nan", "null", "?"})


@dataclass(frozen=True)
class NonNumericCell:
    """A text among numbers, and its row, counted from 0."""

    row: int
    text: str


@dataclass(frozen=True, eq=False)
class TableColumn:
    """A column of a table.

    Args:
        name: The name of the column.
        cells: The numbers ``[N]``, float64, NaN where a cell holds no number.
        kind: ``"numbers"``, or what the column holds instead.
        non_numeric: The first text in a column of numbers.
    """

    name: str
    cells: np.ndarray
    kind: str = "numbers"
    non_numeric: NonNumericCell | None = None

    @property
    def numeric(self) -> bool:
        """Whether this is a column of numbers."""
        return self.kind == "numbers"


def read_column(name: str, series: Any, required: bool) -> TableColumn:
    """Read a narwhals series of numbers or booleans (0 and 1), or parse numbers in text.

    Text is a column of numbers where at least half of the cells that are not empty are numbers, or
    where the column is ``required``: a text that remains is then reported in ``non_numeric``.
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
    """The cells as float64, NaN where they are empty."""
    import narwhals

    return np.array(
        series.cast(narwhals.Float64).fill_null(float("nan")).to_numpy(), dtype=np.float64
    )


def _parse_text_column(name: str, texts: list[Any], required: bool) -> TableColumn:
    """Numbers where most texts are numbers, with the first other text; otherwise text."""
    cells = np.full(len(texts), np.nan)
    non_numeric: list[NonNumericCell] = []
    numbers = 0
    for row, text in enumerate(texts):
        text = "" if text is None else str(text).strip()
        if text.lower() in EMPTY_CELL_TEXTS:
            continue
        try:
            cells[row] = float(text)
            numbers += 1
        except ValueError:
            non_numeric.append(NonNumericCell(row, text))
    if numbers >= len(non_numeric) or required:
        return TableColumn(name, cells, non_numeric=non_numeric[0] if non_numeric else None)
    return TableColumn(name, cells, "text")
