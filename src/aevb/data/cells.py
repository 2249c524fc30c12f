"""One column of a table: numbers with NaN where a cell is empty, or text that is set aside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

EMPTY = frozenset({"", "na", "n/a", "nan", "null", "?"})


@dataclass(frozen=True)
class Stray:
    """A text among numbers: its row, counted from 0."""

    row: int
    text: str


@dataclass(frozen=True, eq=False)
class Column:
    """A column: float64 ``cells`` with NaN where there is no number; ``kind`` says what it holds where that is not numbers."""

    name: str
    cells: np.ndarray
    kind: str = "numbers"
    stray: Stray | None = None

    @property
    def numeric(self) -> bool:
        """Whether this is a column of numbers."""
        return self.kind == "numbers"


def read_column(name: str, series: Any, wanted: bool) -> Column:
    """Read a narwhals series: numbers, booleans (0 and 1), or text of which at least half of the cells that are not empty are numbers.

    ``wanted`` columns must be numbers: any text in them is stray.
    """
    if series.dtype.is_numeric() or str(series.dtype) == "Boolean":
        column = Column(name, _numbers(series))
    elif str(series.dtype) in ("String", "Object", "Categorical", "Enum"):
        column = _parse(name, series.to_list(), wanted)
    else:
        column = Column(name, np.full(len(series), np.nan), str(series.dtype).lower())
    if column.numeric and not wanted and np.isnan(column.cells).all():
        return Column(name, column.cells, "empty")
    return column


def _numbers(series: Any) -> np.ndarray:
    import narwhals

    return np.array(series.cast(narwhals.Float64).fill_null(float("nan")).to_numpy(), dtype=np.float64)


def _parse(name: str, texts: list[Any], wanted: bool) -> Column:
    """Numbers where most texts are numbers; the first other text is then reported, not dropped."""
    cells = np.full(len(texts), np.nan)
    stray: list[Stray] = []
    numbers = 0
    for row, text in enumerate(texts):
        text = "" if text is None else str(text).strip()
        if text.lower() in EMPTY:
            continue
        try:
            cells[row] = float(text)
            numbers += 1
        except ValueError:
            stray.append(Stray(row, text))
    if numbers >= len(stray) or wanted:
        return Column(name, cells, stray=stray[0] if stray else None)
    return Column(name, cells, "text")
