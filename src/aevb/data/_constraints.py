"""What holds in every row of a table: by construction where that is possible, else by rejection."""

from __future__ import annotations

import datetime as dt
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from numbers import Real
from typing import Any

import numpy as np

from ..errors import ArgumentError, DataError, check_counts
from ..notes import Note
from ._column_statistics import is_missing_cell
from ._formatting import format_list
from ._frame_libraries import level_value
from ._schema import Schema
from ._tables import to_narwhals
from ._write_frame import to_json_value

MAX_TRIES = 100  # rows that are drawn for one row that is asked for
MIN_ROWS_AT_ONCE = 64  # since a call has a cost of its own
MAX_ROWS_AT_ONCE = 100_000  # drawn at once, where few of them fulfil the constraints
FAR_FROM_ZERO = 4.0  # standard deviations of a difference: below 0 is no probability to speak of
DAY = dt.timedelta(days=1)


Draw = Callable[[int, int], Any]
Accept = Callable[[Any], Any]


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

    def kinds(self, table: Any) -> dict[str, str]:
        """Kinds of columns of the table that is modelled, where the usual one does not suit."""
        return {}

    def is_writable(self, dtypes: Mapping[str, Any]) -> bool:
        """Whether the columns can hold what ``restore`` writes."""
        return True

    def to_dict(self) -> dict[str, Any]:
        """The class and the arguments as values for JSON."""
        record: dict[str, Any] = asdict(self)  # pyright: ignore[reportArgumentType]
        arguments = {name: _to_json(value) for name, value in record.items()}
        return {"class": type(self).__name__, **arguments}


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
        if self.low is None or self.high is None:
            return
        try:
            low, high = (_as_time(value) for value in (self.low, self.high))
            if low > high:
                reason = f"it is above `high`, {self.high}"
                raise ArgumentError(reason, argument="low", value=self.low)
        except TypeError as error:
            reason = f"it cannot be compared with `high`, {self.high!r}"
            raise ArgumentError(reason, argument="low", value=self.low) from error

    @property
    def columns(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return (self.column,)

    def holds(self, table: Any) -> np.ndarray:
        cells = table[self.column]
        low, high = self._bounds(cells.dtype)
        inside = np.ones(len(cells), bool)
        if low is not None:
            inside &= ~_truths(cells < low)
        if high is not None:
            inside &= ~_truths(cells > high)
        return inside

    def is_writable(self, dtypes: Mapping[str, Any]) -> bool:
        dtype, bounds = dtypes[self.column], [x for x in (self.low, self.high) if x is not None]
        if dtype.is_numeric():
            return all(isinstance(x, Real) for x in bounds)
        kind = dt.timedelta if "Duration" in str(dtype) else dt.date
        return dtype.is_temporal() and all(isinstance(x, kind) for x in bounds)

    def _bounds(self, dtype: Any) -> tuple[Any, Any]:
        """The bounds as values that a column of a dtype can hold."""
        low, high = self.low, self.high
        if dtype.is_integer():
            return low and math.ceil(low), high and math.floor(high)
        if str(dtype) == "Date":
            late = isinstance(low, dt.datetime) and low.time() > dt.time()
            return _as_date(low + DAY if late else low), _as_date(high)
        return (_as_time(low), _as_time(high)) if "Datetime" in str(dtype) else (low, high)

    def is_restorable(self, names: Sequence[str]) -> bool:
        return self.column in names

    def restore(self, table: Any, dtypes: Mapping[str, Any]) -> Any:
        import narwhals

        dtype = dtypes[self.column]
        cells = narwhals.col(self.column).clip(*self._bounds(dtype))
        return table.with_columns(cells.cast(dtype))


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
        difference = original[self.second] - original[self.first]
        if not difference.dtype.is_numeric():
            difference = _in_days(difference)
        return table.with_columns(difference.alias(self.difference)).drop(self.second)

    def kinds(self, table: Any) -> dict[str, str]:
        column = Schema.of(table.select(self.difference).to_native()).columns[0]
        if column.kind not in ("continuous", "integer") or (
            column.shift > FAR_FROM_ZERO * column.scale
        ):
            return {}
        # a symmetric distribution close to 0 has a share below, which would all become 0
        distance = table[self.difference]
        if distance.dtype.is_integer():
            return {self.difference: "count"}
        zeros = int((distance == distance - distance).sum())
        return {self.difference: "spiky" if zeros else "positive"} if zeros != 1 else {}

    def is_restorable(self, names: Sequence[str]) -> bool:
        return self.first in names and self.difference in names

    def restore(self, table: Any, dtypes: Mapping[str, Any]) -> Any:
        import narwhals

        distance = narwhals.col(self.difference)
        if table[self.difference].dtype.is_numeric():
            distance = distance.clip(0, None)
            if not dtypes[self.second].is_numeric():
                distance = distance * narwhals.lit(DAY)
        second = (narwhals.col(self.first) + distance).cast(dtypes[self.second])
        return table.with_columns(second.alias(self.second)).drop(self.difference)


@dataclass(frozen=True, init=False)
class Together(Constraint):
    """Columns whose values occur only in the combinations of the data, as a city and its country.

    The combinations are modelled as one category.

    Args:
        columns: At least two columns.

    Example:
        >>> Together("city", "country").name
        'city, country'
    """

    columns: tuple[str, ...]

    def __init__(self, *columns: str) -> None:
        if len(columns) < 2:
            raise ArgumentError("name at least two columns", argument="columns", value=columns)
        object.__setattr__(self, "columns", tuple(map(str, columns)))

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


@dataclass(frozen=True, init=False)
class Unique(Constraint):
    """No two rows agree in all of these columns: rows that repeat others are drawn again.

    Args:
        columns: At least one column.

    Example:
        >>> Unique("name", "birthday").columns
        ('name', 'birthday')
    """

    columns: tuple[str, ...]

    def __init__(self, *columns: str) -> None:
        if not columns:
            raise ArgumentError("name at least one column", argument="columns", value=columns)
        object.__setattr__(self, "columns", tuple(map(str, columns)))

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

    def is_writable(self, dtypes: Mapping[str, Any]) -> bool:
        try:
            level_value(self.text(self.first), dtypes[self.column])
        except (LookupError, ValueError):
            return False
        return True


CONSTRAINTS = {each.__name__: each for each in (Range, Less, Together, Unique, Identifier)}


def constraint_from_dict(record: Mapping[str, Any]) -> Constraint:
    """A constraint from the result of ``to_dict``.

    Raises:
        DataError: There is no such constraint, or an argument is wrong.
    """
    arguments = {name: _from_json(value) for name, value in record.items() if name != "class"}
    try:
        constraint = CONSTRAINTS[record["class"]]
        columns = arguments.pop("columns", ())
        return constraint(*columns, **arguments)
    except (LookupError, TypeError, ValueError) as error:
        raise DataError("the record of a constraint is damaged") from error


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
            if not each.is_writable(table.schema):
                raise ArgumentError(
                    f"{each} cannot be written to a column of the dtype "
                    f"{table.schema[each.columns[0]]}",
                    argument="constraints",
                )
            _check_rows(each, table)
        return cls(tuple(constraints), tuple(table.columns), dict(table.schema))

    def prepare(self, frame: Any) -> Any:
        """The frame that is modelled.

        Args:
            frame: A frame with the columns of the table.

        Raises:
            DataError: A row violates a constraint by which a column is replaced.
        """
        original = table = to_narwhals(frame, "frame")
        for each in self.constraints:
            if each.replaced:
                _check_rows(each, original)
            table = each.prepare(table, original)
        return table.to_native()

    def kinds(self, prepared: Any) -> dict[str, str]:
        """Kinds of columns of the frame that is modelled, where the usual one does not suit."""
        table, kinds = to_narwhals(prepared, "prepared"), {}
        for each in self.constraints:
            kinds |= each.kinds(table)
        return kinds

    def restore(self, frame: Any) -> Any:
        """A frame of the original columns from one that was drawn; whole rows fulfil all ranges."""
        table, left = to_narwhals(frame, "frame"), list(self.constraints)
        while left:
            ready = [each for each in left if each.is_restorable(table.columns)]
            if not ready:
                raise ArgumentError(
                    f"the column {left[0].columns[0]} depends on itself", argument="constraints"
                )
            for each in sorted(ready, key=lambda each: bool(each.replaced)):
                table = each.restore(table, self.dtypes)
                left.remove(each)
        return table.select(*self.names).to_native()

    def sample(
        self, n: int, draw: Draw, accept: Accept | None = None, max_tries: int = MAX_TRIES
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
        return self.finish(self.collect(Collected(), n, draw, accept, max_tries))

    def collect(
        self,
        before: Collected,
        n: int,
        draw: Draw,
        accept: Accept | None = None,
        max_tries: int = MAX_TRIES,
    ) -> Collected:
        """Draw further rows, which fulfil everything together with those before.

        Args:
            before: The rows before.
            n: The number of further rows.
            draw: As for ``sample``.
            accept: As for ``sample``.
            max_tries: As for ``sample``.

        Raises:
            DataError: Too few of the rows fulfil the constraints.
        """
        kept, drawn, found, call = before.table, 0, 0, 0
        first = before.n_rows
        while found < n:
            rate = max(found, 1) / max(drawn, 1)
            count = int((n - found) / rate * 1.2) + 1 if drawn else n
            count = min(max(count, MIN_ROWS_AT_ONCE), max(n, MAX_ROWS_AT_ONCE))
            count = min(count, n * max_tries - drawn)
            if count < 1:
                raise _too_few(found, drawn, n, accept)
            new = to_narwhals(self.restore(draw(count, call)), "frame")
            kept = self._append(kept, _keep(new, answers(accept, new)))
            drawn, found, call = drawn + count, len(kept) - first, call + 1
        kept = kept if kept is None else kept.head(first + n)
        return Collected(kept, before.drawn + drawn, before.found + min(found, drawn))

    def _append(self, kept: Any, new: Any) -> Any:
        """The rows that fulfil the constraints, together with those that were kept."""
        import narwhals

        table = new if kept is None else narwhals.concat([kept, new])
        for each in self.constraints:
            table = _keep(table, each.holds(table))
        return table

    def finish(self, collected: Collected, order: Sequence[int] | None = None) -> tuple[Any, Note]:
        """A frame of rows that were collected, and a note with the share that was kept.

        Args:
            collected: At least one row.
            order: Another order of the rows.
        """
        import narwhals

        table = collected.table if order is None else collected.table[list(order)]
        table = narwhals.maybe_reset_index(table)
        for each in self.constraints:
            table = each.finish(table, self.dtypes)
        share = collected.found / collected.drawn
        note = Note(
            "acceptance",
            f"{share:.1%} of {collected.drawn:,} drawn rows fulfil the constraints.",
            data={"drawn": collected.drawn, "kept": collected.found, "share": share},
        )
        return table.select(*self.names).to_native(), note


@dataclass(frozen=True)
class Collected:
    """Rows that fulfil constraints.

    Args:
        table: The rows, a narwhals frame; None without any.
        drawn: The number of rows that were drawn for them.
        found: The number of these that fulfil the constraints.
    """

    table: Any = None
    drawn: int = 0
    found: int = 0

    @property
    def n_rows(self) -> int:
        """The number of rows."""
        return 0 if self.table is None else len(self.table)


def _keep(table: Any, rows: np.ndarray) -> Any:
    """Some rows of a table, which may have none."""
    return table.filter(rows.tolist()) if len(table) else table


def _too_few(found: int, drawn: int, n: int, accept: Accept | None) -> DataError:
    return DataError(
        f"only {found:,} of {drawn:,} drawn rows fulfil the constraints, and {n:,} are needed",
        argument="constraints" if accept is None else "accept",
        suggestions=("Allow more tries, or loosen them",),
    )


def answers(accept: Accept | None, table: Any) -> np.ndarray:
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


def _in_days(durations: Any) -> Any:
    """Durations of whole days as numbers of days; others as they are."""
    if "Duration" not in str(durations.dtype):
        return durations
    seconds = durations.dt.total_seconds()
    days = seconds // 86400
    whole = durations.dt.total_microseconds() == days * 86400 * 10**6
    return days if _truths(whole).sum() == (~durations.is_null().to_numpy()).sum() else durations


def _as_time(value: Any) -> Any:
    """A date as its midnight; other values as they are."""
    is_day = isinstance(value, dt.date) and not isinstance(value, dt.datetime)
    return dt.datetime.combine(value, dt.time()) if is_day else value


def _as_date(value: Any) -> Any:
    """A time as its date; other values as they are."""
    return value.date() if isinstance(value, dt.datetime) else value


def _to_json(value: Any) -> Any:
    """An argument of a constraint as a value for JSON; dates are marked."""
    if isinstance(value, dt.datetime):
        return {"datetime": value.isoformat()}
    if isinstance(value, dt.date):
        return {"date": value.isoformat()}
    if isinstance(value, tuple):
        return [*value]
    is_plain = value is None or type(value) in (bool, int, float, str)
    return value if is_plain else to_json_value(value)


def _from_json(value: Any) -> Any:
    """The inverse of ``_to_json``."""
    if not isinstance(value, Mapping):
        return value
    if "date" in value:
        return dt.date.fromisoformat(value["date"])
    return dt.datetime.fromisoformat(value["datetime"])


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
        name = f"{type(constraint).__name__} of {format_list(constraint.columns)}"
        raise DataError(
            f"no row fulfils {name}"
            if len(violating) == len(table)
            else f"{len(violating):,} of {len(table):,} rows violate {name}, the first is row "
            f"{violating[0]} (from 0)",
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
