"""One column of a table: numbers with NaN in empty cells, or text, which is not read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ._number_texts import DecimalMark, NumberFormat, parse_numbers

EMPTY_CELL_TEXTS = frozenset({"", "na", "n/a", "nan", "null", "?"})


TRIED_TEXTS = 1000  # texts of a long column that are tried first


@dataclass(frozen=True)
class CellRules:
    """How the cells of a table are read.

    Args:
        decimal: The decimal mark of numbers in text.
        usual_decimal: The decimal mark where the cells of a column do not decide.
        missing: Values that stand for empty cells, as ``"-200"`` or ``"COLUMN=-200"``.
    """

    decimal: DecimalMark | None = None
    usual_decimal: DecimalMark = "."
    missing: tuple[str, ...] = ()

    def missing_in(self, name: str) -> tuple[str, ...]:
        """The values that stand for empty cells of a column.

        >>> CellRules(missing=("-9", "age=99")).missing_in("age")
        ('-9', '99')
        """
        prefix = f"{name}="
        return tuple(
            text.removeprefix(prefix)
            for text in self.missing
            if text.startswith(prefix) or "=" not in text
        )

    def empty_texts(self, name: str) -> frozenset[str]:
        """The texts that stand for empty cells of a column, in lower case without blanks around.

        >>> sorted(CellRules(missing=("Unknown", "-9")).empty_texts("age") - EMPTY_CELL_TEXTS)
        ['-9', 'unknown']
        """
        return EMPTY_CELL_TEXTS | {text.strip().lower() for text in self.missing_in(name)}

    def empty_numbers(self, name: str) -> list[float]:
        """The numbers that stand for empty cells of a column.

        >>> CellRules(missing=("Unknown", "-9", "age=1e3")).empty_numbers("age")
        [-9.0, 1000.0]
        """
        codes = [text.strip() for text in self.missing_in(name)]
        return [
            number
            for text in codes  # as Python writes numbers, or as the table does
            for number in (
                [float(text)]
                if is_float(text)
                else parse_numbers([text], self.decimal, usual=self.usual_decimal).values.values()
            )
        ]

    def without_codes(self, name: str, cells: np.ndarray) -> np.ndarray:
        """Numbers of a column with NaN in the place of those that stand for empty cells."""
        codes = self.empty_numbers(name)
        return np.where(np.isin(cells, codes), np.nan, cells) if codes else cells


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
        format: How the numbers are written, where they are text with units or separators.
    """

    name: str
    cells: np.ndarray
    kind: str = "numbers"
    non_numeric: NonNumericCell | None = None
    format: NumberFormat | None = None

    @property
    def numeric(self) -> bool:
        """Whether this is a column of numbers."""
        return self.kind == "numbers"


def read_column(
    name: str, series: Any, required: bool, rules: CellRules = CellRules()
) -> TableColumn:
    """Read a narwhals series of numbers or booleans (0 and 1), or parse numbers in text.

    Text is a column of numbers where at least half of the cells that are not empty are numbers, or
    where the column is ``required``: a text that remains is then reported in ``non_numeric``. Text
    with units is a column of numbers where every cell is a number.
    """
    if series.dtype.is_numeric() or str(series.dtype) == "Boolean":
        column = TableColumn(name, _to_floats(series))
    elif str(series.dtype) in ("String", "Object", "Categorical", "Enum"):
        column = _parse_text_column(name, series.to_list(), required, rules)
    else:
        column = TableColumn(name, np.full(len(series), np.nan), str(series.dtype).lower())
    if column.numeric:
        column = replace(column, cells=rules.without_codes(name, column.cells))
    if column.numeric and not required and np.isnan(column.cells).all():
        return TableColumn(name, column.cells, "empty")
    return column


def is_float(text: str) -> bool:
    """Whether Python reads the text as a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def _to_floats(series: Any) -> np.ndarray:
    """The cells as float64, NaN where they are empty."""
    return np.array(cast_to_float(series).fill_null(float("nan")).to_numpy(), dtype=np.float64)


def cast_to_float(series: Any) -> Any:
    """A series of numbers as float64, whole numbers above 2**53 rounded."""
    import narwhals

    if series.implementation.is_pyarrow():  # whose other casts refuse to round
        native = series.to_native().cast("float64", safe=False)
        return narwhals.from_native(native, series_only=True)
    return series.cast(narwhals.Float64)


def _parse_text_column(
    name: str, cells: list[Any], required: bool, rules: CellRules
) -> TableColumn:
    """Numbers where most texts are numbers, with the first other text; otherwise text."""
    empty = rules.empty_texts(name)
    texts = ["" if cell is None else str(cell).strip() for cell in cells]
    distinct = list(dict.fromkeys(texts))
    tried = parse_numbers(distinct[:TRIED_TEXTS], rules.decimal, empty=empty)
    if len(distinct) > TRIED_TEXTS and not required and not tried.values:
        return TableColumn(name, np.full(len(texts), np.nan), "text")
    found = parse_numbers(distinct, rules.decimal, usual=rules.usual_decimal, empty=empty)
    values = np.array([found.values.get(text, np.nan) for text in texts])
    others = set(found.others)
    n_others = sum(text in others for text in texts)
    few = not others if found.format.units else n_others <= np.count_nonzero(~np.isnan(values))
    if not few and not required:
        return TableColumn(name, values, "text")
    row = next((row for row, text in enumerate(texts) if text in others), None)
    return TableColumn(
        name,
        values,
        non_numeric=None if row is None else NonNumericCell(row, texts[row]),
        format=found.format if str(found.format) else None,
    )
