"""What holds in every row of a table: by construction where that is possible, else by rejection."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ArgumentError, DataError, check_counts
from ..notes import Note
from ._column_statistics import is_missing_cell
from ._formatting import format_list
from ._frame_libraries import level_value
from ._tables import to_narwhals
from ._write_frame import to_json_value

MAX_TRIES = 100  # rows that are drawn for one row that is asked for


class Constraint(ABC):
    """Something that holds in every row of a table.

    Attributes:
        columns: The columns that it is about.
    """

    columns: tuple[str, ...]

    @property
    def replaced(self) -> tuple[str, ...]:
        """The columns of the table that are not modelled themselves."""
        return ()

    @abstractmethod
    def holds(self, table: Any) -> np.ndarray:
        """In which rows it holds, bool ``[N]``; also where a cell that it needs is missing."""

    def prepare(self, table: Any, original: Any) -> Any:
        """The table that is modelled, from which ``restore`` makes rows that fulfil it.

        Args:
            table: The narwhals frame as other constraints left it.
            original: The frame before any constraint.
        """
        return table

    def is_restorable(self, names: Sequence[str]) -> bool:
        """Whether the columns that ``restore`` needs are among ``names``."""
        return True

    def restore(self, table: Any, dtypes: Mapping[str, Any]) -> Any:
        """The inverse of ``prepare``; ``dtypes`` are those of the columns of the original."""
        return table

    def finish(self, table: Any, dtypes: Mapping[str, Any]) -> Any:
        """The rows that were kept, as a whole table."""
        return table


@dataclass(frozen=True)
class Range(Constraint):
    """A number or a date from ``low`` to ``high``: drawn values beyond become the nearest bound.

    Args:
        column: The column.
        low: The least value; ``None`` for no bound.
        high: The greatest value; ``None`` for no bound.

    Example:
        >>> Range("age", 18, 99).columns
        ('age',)
    """

    column: str
    low: Any = None
    high: Any = None

    def __post_init__(self) -> None:
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ArgumentError(f"it is above `high`, {self.high}", argument="low", value=self.low)

    @property
    def columns(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return (self.column,)

    def holds(self, table: Any) -> np.ndarray:
        cells = table[self.column]
        inside = np.ones(len(cells), bool)
        if self.low is not None:
            inside &= ~_truths(cells < self.low)
        if self.high is not None:
            inside &= ~_truths(cells > self.high)
        return inside

    def restore(self, table: Any, dtypes: Mapping[str, Any]) -> Any:
        import narwhals

        cells = narwhals.col(self.column)
        return table.with_columns(cells.clip(self.low, self.high).cast(dtypes[self.column]))


@dataclass(frozen=True)
class Less(Constraint):
    """``first <= second`` for two numbers or two dates: their difference is modelled.

    Where ``first`` is missing, ``second`` is missing, too.

    Args:
        first: The column of the smaller values.
        second: The column of the larger values.

    Example:
        >>> Less("arrival", "departure").difference
        'departure - arrival'
    """

    first: str
    second: str

    @property
    def columns(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return (self.first, self.second)

    @property
    def difference(self) -> str:
        """The name of the column that is modelled."""
        return f"{self.second} - {self.first}"

    @property
    def replaced(self) -> tuple[str, ...]:
        return (self.second,)

    def holds(self, table: Any) -> np.ndarray:
        return ~_truths(table[self.first] > table[self.second])

    def prepare(self, table: Any, original: Any) -> Any:
        difference = (original[self.second] - original[self.first]).alias(self.difference)
        return table.with_columns(difference).drop(self.second)

    def is_restorable(self, names: Sequence[str]) -> bool:
        return self.first in names and self.difference in names

    def restore(self, table: Any, dtypes: Mapping[str, Any]) -> Any:
        import narwhals

        # a difference below 0 is a value that the model gives to a column that starts at 0
        distance = narwhals.col(self.difference)
        zero = table[self.difference].dtype.is_numeric()
        second = narwhals.col(self.first) + (distance.clip(0, None) if zero else distance)
        second = second.cast(dtypes[self.second]).alias(self.second)
        return table.with_columns(second).drop(self.difference)


class Together(Constraint):
    """Columns whose values occur only in the combinations of the data, as a city and its country.

    The combinations are modelled as one category.

    Args:
        columns: At least two columns.

    Example:
        >>> Together("city", "country").name
        'city, country'
    """

    def __init__(self, *columns: str) -> None:
        if len(columns) < 2:
            raise ArgumentError("name at least two columns", argument="columns", value=columns)
        self.columns = columns

    @property
    def name(self) -> str:
        """The name of the column that is modelled."""
        return ", ".join(self.columns)

    @property
    def replaced(self) -> tuple[str, ...]:
        return self.columns

    def holds(self, table: Any) -> np.ndarray:
        return np.ones(len(table), bool)

    def prepare(self, table: Any, original: Any) -> Any:
        import narwhals

        rows = zip(*(original[name].to_list() for name in self.columns), strict=True)
        cells = ([None if is_missing_cell(cell) else cell for cell in row] for row in rows)
        texts = [json.dumps(row, default=to_json_value) for row in cells]
        combined = _new_series(original, self.name, texts, narwhals.String())
        return table.drop(*self.columns).with_columns(combined)

    def is_restorable(self, names: Sequence[str]) -> bool:
        return self.name in names

    def restore(self, table: Any, dtypes: Mapping[str, Any]) -> Any:
        texts = table[self.name].to_list()
        rows = [[None] * len(self.columns) if text is None else json.loads(text) for text in texts]
        parts = [
            _new_series(table, name, [row[place] for row in rows], dtypes[name])
            for place, name in enumerate(self.columns)
        ]
        return table.drop(self.name).with_columns(*parts)


class Unique(Constraint):
    """No two rows agree in all of these columns: rows that repeat others are drawn again.

    Args:
        columns: At least one column.

    Example:
        >>> Unique("name", "birthday").columns
        ('name', 'birthday')
    """

    def __init__(self, *columns: str) -> None:
        if not columns:
            raise ArgumentError("name at least one column", argument="columns", value=columns)
        self.columns = columns

    def holds(self, table: Any) -> np.ndarray:
        return ~_repeats(table, self.columns)


@dataclass(frozen=True)
class Identifier(Constraint):
    """A column of numbers of rows, which is not modelled.

    Args:
        column: The column.
        pattern: The text of a row, with ``{number}`` for its number.
        first: The number of the first row.

    Example:
        >>> Identifier("id", "C-{number:05}").text(7)
        'C-00007'
    """

    column: str
    pattern: str = "{number}"
    first: int = 1

    @property
    def columns(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return (self.column,)

    def text(self, number: int) -> str:
        """The text of a row."""
        return self.pattern.format(number=number)

    def holds(self, table: Any) -> np.ndarray:
        return np.ones(len(table), bool)

    @property
    def replaced(self) -> tuple[str, ...]:
        return (self.column,)

    def prepare(self, table: Any, original: Any) -> Any:
        return table.drop(self.column)

    def restore(self, table: Any, dtypes: Mapping[str, Any]) -> Any:
        texts = [self.text(self.first + row) for row in range(len(table))]
        return table.with_columns(_new_series(table, self.column, texts, dtypes[self.column]))

    def finish(self, table: Any, dtypes: Mapping[str, Any]) -> Any:
        return self.restore(table, dtypes)


@dataclass(frozen=True)
class ConstrainedFrame:
    """A table whose rows fulfil constraints: what is modelled of it, and the way back.

    Args:
        constraints: What holds in every row.
        names: The columns of the table in their order.
        dtypes: Their narwhals dtypes.
    """

    constraints: tuple[Constraint, ...]
    names: tuple[str, ...]
    dtypes: Mapping[str, Any]

    @classmethod
    def of(cls, frame: Any, constraints: Sequence[Constraint]) -> ConstrainedFrame:
        """Check the constraints against a table.

        Args:
            frame: A data frame of pandas, polars or pyarrow.
            constraints: What should hold in every row.

        Raises:
            ArgumentError: A column does not exist, or two constraints replace the same column.
            DataError: A row of the table violates a constraint.
        """
        table = to_narwhals(frame, "frame")
        replaced: set[str] = set()
        for each in constraints:
            _check_columns(each, table.columns)
            for name in each.replaced:
                if name in replaced:
                    raise ArgumentError(
                        f'two of them replace the column "{name}"', argument="constraints"
                    )
                replaced.add(name)
            _check_rows(each, table)
        return cls(tuple(constraints), tuple(table.columns), dict(table.schema))

    def prepare(self, frame: Any) -> Any:
        """The frame that is modelled."""
        original = table = to_narwhals(frame, "frame")
        for each in self.constraints:
            table = each.prepare(table, original)
        return table.to_native()

    def restore(self, frame: Any) -> Any:
        """A frame of the original columns from one that was drawn; whole rows fulfil all ranges."""
        table, left = to_narwhals(frame, "frame"), list(self.constraints)
        while left:
            ready = [each for each in left if each.is_restorable(table.columns)]
            if not ready:
                raise ArgumentError(
                    f"the column {left[0].columns[0]} depends on itself", argument="constraints"
                )
            for each in ready:
                table = each.restore(table, self.dtypes)
                left.remove(each)
        return table.select(*self.names).to_native()

    def sample(
        self,
        n: int,
        draw: Callable[[int, int], Any],
        accept: Callable[[Any], Any] | None = None,
        max_tries: int = MAX_TRIES,
    ) -> tuple[Any, Note]:
        """Draw rows until enough of them fulfil everything.

        Args:
            n: Number of rows.
            draw: Draws modelled frames, ``(number of rows, number of the call) -> frame``.
            accept: Another condition, a function from a frame to one truth value per row.
            max_tries: Rows that are drawn at most for one that is asked for.

        Returns:
            A frame of ``n`` rows, and a note with the share of drawn rows that were kept.

        Raises:
            DataError: Too few of the rows fulfil the constraints.
        """
        check_counts(1, n=n, max_tries=max_tries)
        import narwhals

        kept, drawn, call = None, 0, 0
        while kept is None or len(kept) < n:
            rate = (1 if kept is None else max(len(kept), 1)) / max(drawn, 1)
            wanted = n - (0 if kept is None else len(kept))
            count = min(int(wanted / rate * 1.2) + 1 if drawn else wanted, n * max_tries - drawn)
            if count < 1:
                found = 0 if kept is None else len(kept)
                raise DataError(
                    f"only {found:,} of {drawn:,} drawn rows fulfil the constraints, and {n:,} are "
                    "needed",
                    argument="constraints",
                    suggestions=("Allow more tries, or loosen them",),
                )
            new = to_narwhals(self.restore(draw(count, call)), "frame")
            new = new.filter(_answers(accept, new).tolist())
            kept = new if kept is None else narwhals.concat([kept, new])
            for each in self.constraints:
                kept = kept.filter(each.holds(kept).tolist())
            drawn, call = drawn + count, call + 1
        share = min(len(kept) / drawn, 1.0)
        note = Note(
            "acceptance",
            f"{share:.1%} of {drawn:,} drawn rows fulfil the constraints.",
            data={"drawn": drawn, "kept": len(kept), "share": share},
        )
        table = kept.head(n)
        for each in self.constraints:
            table = each.finish(table, self.dtypes)
        return table.select(*self.names).to_native(), note


def _answers(accept: Callable[[Any], Any] | None, table: Any) -> np.ndarray:
    """Which rows a function accepts."""
    if accept is None or not len(table):
        return np.ones(len(table), bool)
    answers = np.asarray(accept(table.to_native()))
    if answers.shape != (len(table),):
        raise ArgumentError(
            f"it gave {answers.shape} in place of one truth value for each of {len(table):,} rows",
            argument="accept",
        )
    return answers.astype(bool)


def _new_series(like: Any, name: str, cells: Sequence[Any], dtype: Any) -> Any:
    """A series of the library of a frame, from cells as text or as values of JSON."""
    import narwhals

    values = [None if cell is None else level_value(cell, dtype) for cell in cells]
    backend = narwhals.get_native_namespace(like)
    return narwhals.new_series(name, values, backend=backend).cast(dtype)


def _check_columns(constraint: Constraint, names: Sequence[str]) -> None:
    unknown = [name for name in constraint.columns if name not in names]
    if unknown:
        raise ArgumentError(
            f'there is no column "{unknown[0]}" for {type(constraint).__name__}; the columns are '
            f"{format_list(names, 12)}",
            argument="constraints",
        )


def _check_rows(constraint: Constraint, table: Any) -> None:
    violating = np.flatnonzero(~constraint.holds(table))
    if len(violating):
        raise DataError(
            f"{len(violating):,} of {len(table):,} rows violate {type(constraint).__name__} of "
            f"{format_list(constraint.columns)}, the first is row {violating[0]} (from 0)",
            argument="constraints",
            suggestions=("Correct these rows, or leave them or the constraint out",),
        )


def _truths(series: Any) -> np.ndarray:
    """Truth values, False where a cell is missing."""
    return np.array([value is True or value == 1 for value in series.to_list()], bool)


def _repeats(table: Any, columns: Sequence[str]) -> np.ndarray:
    """Which rows repeat an earlier one in some columns, where none of the cells is missing."""
    seen: set[tuple[Any, ...]] = set()
    repeats = np.zeros(len(table), bool)
    for row, cells in enumerate(zip(*(table[name].to_list() for name in columns), strict=True)):
        if any(cell is None for cell in cells):
            continue
        repeats[row] = cells in seen
        seen.add(cells)
    return repeats
