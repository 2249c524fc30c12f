"""A schema learned from a stream of frames in one pass."""

from __future__ import annotations

from typing import Any, Literal, Self

from ._column_statistics import ColumnStatistics, merge_statistics, read_statistics
from ._columns import CellRules
from ._functions import Functions, read_part
from ._number_texts import DecimalMark
from ._reading import Reading
from ._schema import Schema
from ._schema_learning import Kinds, learn_from_statistics
from ._tables import to_narwhals


class SchemaBuilder:
    """Statistics of the columns of a table that is read in parts.

    The memory depends on the number of columns and not on that of the rows. Counts of distinct
    values are exact up to 8,192 in a column; beyond that the kinds rest on a sample of the values
    which does not depend on how the rows were divided.

    Args:
        missing: Values that stand for empty cells, such as ``-200``, or ``"COLUMN=-200"``.
        decimal: The decimal mark of numbers in text where a column does not decide.

    Example:
        >>> import polars
        >>> part = polars.DataFrame({"sex": ["f", "m"] * 20, "rooms": [1, 2, 3, 4] * 10})
        >>> builder = SchemaBuilder().update(part).update(part)
        >>> builder.schema().rows, [column.kind for column in builder.schema().columns]
        (80, ['binary', 'ordinal'])
    """

    def __init__(self, *, missing: tuple[str, ...] = (), decimal: DecimalMark = ".") -> None:
        codes = Reading(missing=missing).missing or ()
        self._rules = CellRules(usual_decimal=decimal, missing=codes)
        self._statistics: dict[str, ColumnStatistics] = {}
        self._functions = Functions()

    def update(self, frame: Any) -> Self:
        """Add rows.

        Args:
            frame: A data frame with the columns of those before, in any order.

        Returns:
            The builder.

        Raises:
            DataError: The columns are others, or hold something else.
        """
        table = to_narwhals(frame, "frame")
        columns = table.iter_columns()
        found = {each.name: read_statistics(each.name, each, self._rules) for each in columns}
        before = self._functions if self._statistics else None
        return self._add(found, read_part(table, found, self._rules, before))

    def merge(self, other: SchemaBuilder) -> Self:
        """Add the rows of another builder.

        Args:
            other: A builder of other rows of the same table, with the same ``missing``; it stays
                as it is.

        Returns:
            The builder.

        Raises:
            DataError: The columns are others, or hold something else.
        """
        return self._add(other._statistics, other._functions) if other._statistics else self

    def _add(self, found: dict[str, ColumnStatistics], functions: Functions) -> Self:
        before = self._statistics
        self._statistics = merge_statistics(before, found) if before else found
        self._functions = self._functions + functions if before else functions
        return self

    def schema(
        self, *, kinds: Kinds | None = None, unseen: Literal["missing", "refuse"] = "missing"
    ) -> Schema:
        """Choose the kinds of the columns.

        Args:
            kinds: The kinds of some columns by name, or the path of a TOML file with them.
            unseen: What becomes of a category that is new.

        Returns:
            The schema of all rows so far.

        Raises:
            DataError: There are no rows, a column cannot be read, or none can be modelled.
            ArgumentError: ``kinds`` names an unknown column or kind, or contradicts the values.
        """
        learned = learn_from_statistics(self._statistics, self._functions, kinds, self._rules)
        missing = self._rules.missing
        return Schema(learned.columns, learned.rows, unseen, learned.notes, missing)
