"""Arrays as data frames, and the form of a data frame as a record."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from ..errors import DataError, IncompatibleError
from ._column_statistics import is_missing_cell
from ._decode_frame import dtype_of_column
from ._frame_libraries import library_of
from ._schema import Schema
from ._tables import to_narwhals

_SEVERAL = list | tuple | dict | set | frozenset | np.ndarray | bytes


def frame_of_array(values: np.ndarray, names: Sequence[str]) -> Any:
    """A table ``[N, D]`` as a data frame, by default of polars.

    Args:
        values: Numbers, truth values, dates, texts, or objects of which missing ones are None or
            NaN.
        names: The names of the columns.

    Raises:
        IncompatibleError: A cell holds several values.

    Example:
        >>> frame_of_array(np.array([["a", 1.5], [None, 2]], dtype=object), ["x", "y"]).shape
        (2, 2)
    """
    import narwhals

    backend = library_of(None).name
    if values.dtype.kind in "biufM":
        wide, half = values.dtype.itemsize > 8, values.dtype == np.float16
        fits = values.astype(np.float64 if wide else np.float32) if wide or half else values
        return narwhals.from_numpy(fits, [*names], backend=backend).to_native()
    columns = {name: _object_column(name, values[:, k]) for k, name in enumerate(names)}
    return narwhals.from_dict(columns, backend=backend).to_native()


def _object_column(name: str, values: np.ndarray) -> Any:
    """A column of objects as values of one type: texts where they are mixed."""
    cells = values.tolist()
    for row, cell in enumerate(cells):
        if isinstance(cell, _SEVERAL):
            raise IncompatibleError(
                f"a cell of the argument must be a string, a number or a date, and column {name!r} "
                f"holds {cell!r:.60} in row {row}"
            )
    cells = [None if is_missing_cell(cell) else cell for cell in cells]
    present = [cell for cell in cells if cell is not None]
    for kind in (bool | np.bool_, str, dt.date, dt.timedelta):
        if present and all(isinstance(cell, kind) for cell in present):
            return cells
    try:
        return np.array([np.nan if cell is None else float(cell) for cell in cells])
    except (TypeError, ValueError):
        return [None if cell is None else str(cell) for cell in cells]


@dataclass(frozen=True)
class FrameForm:
    """The library, the columns and the dtypes of a data frame.

    Args:
        library: ``"pandas"``, ``"polars"`` or ``"pyarrow"``.
        dtypes: The dtype of each column, as its library writes it.
        categories: The categories of the columns whose dtype lists them.
        ordered: The columns whose categories have an order.
        positions: Whether the names of the columns are the numbers from 0.
    """

    library: str
    dtypes: Mapping[str, str]
    categories: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    ordered: Sequence[str] = ()
    positions: bool = False

    @classmethod
    def of(cls, frame: Any) -> FrameForm:
        """The form of a data frame.

        Raises:
            ArgumentError: The library is none of pandas, polars and pyarrow.
        """
        table = to_narwhals(frame)
        library = library_of(table).name
        series = {name: table[name].to_native() for name in table.columns}
        lists = (
            {name: getattr(each.dtype, "categories", None) for name, each in series.items()}
            if (library == "pandas")
            else {}
        )
        known = {name: each.tolist() for name, each in lists.items() if each is not None}
        return cls(
            library,
            {name: str(getattr(each, "type", None) or each.dtype) for name, each in series.items()},
            {name: each for name, each in known.items() if _is_json(each)},
            [name for name in known if series[name].dtype.ordered],
            library == "pandas" and [*frame.columns] == [*range(len(series))],
        )

    def to_dict(self) -> dict[str, Any]:
        """The record for JSON."""
        return asdict(self)

    def empty(self, schema: Schema) -> Any:
        """A frame of this form without rows; dtypes that text does not tell are the schema's."""
        library = library_of_name(self.library)
        columns: dict[Any, Any] = {}
        for place, column in enumerate(schema.columns):
            name = place if self.positions else column.name
            columns[name] = self._pandas_series(column.name)
            if columns[name] is None:
                columns[name] = library.empty(column.name, dtype_of_column(column))
        return library.frame(columns, None)

    def _pandas_series(self, name: str) -> Any:
        """An empty series of pandas; None of other libraries, and where the text is no dtype."""
        if self.library != "pandas" or name not in self.dtypes:
            return None
        import pandas

        dtype: Any = self.dtypes[name]
        if dtype == "category":
            dtype = pandas.CategoricalDtype(self.categories.get(name), name in self.ordered)
        try:
            return pandas.Series([], dtype=dtype)
        except (TypeError, ValueError, NotImplementedError):
            return None


def _is_json(values: list[Any]) -> bool:
    """Whether JSON holds values as they are."""
    try:
        return json.loads(json.dumps(values)) == values
    except TypeError:
        return False


def library_of_name(name: str) -> Any:
    """The library of data frames with a name.

    Raises:
        DataError: It is not known.
    """
    from ._frame_libraries import LIBRARIES

    if name not in LIBRARIES:
        raise DataError(f"the record of a table names the unknown library {name!r}")
    return LIBRARIES[name]
