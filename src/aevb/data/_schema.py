"""The schema of a table: what each column holds, and how it is encoded for a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from ..errors import DataError
from ..networks._column import Column, Measure
from ._encode_frame import encode_frame
from ._rows import Rows


@dataclass(frozen=True)
class Schema:
    """What the columns of a table hold, and how they are encoded.

    Args:
        columns: All columns in the order of the source, those that are set aside included.
        rows: The number of rows that the schema was learned from.
        unseen: What becomes of a category that is new: a missing cell, or an error.

    Example:
        >>> schema = Schema((Column("age", "integer", "discretised_logistic", step=1.0),), 100)
        >>> schema.measure, Schema.from_dict(schema.to_dict()) == schema
        ('probability', True)
    """

    columns: tuple[Column, ...]
    rows: int
    unseen: Literal["missing", "refuse"] = "missing"

    @property
    def modelled(self) -> tuple[Column, ...]:
        """The columns of the encoded cells, in this order."""
        return tuple(column for column in self.columns if column.modelled)

    @property
    def measure(self) -> Measure:
        """Whether rows have a density, a probability, or both."""
        found: set[Measure] = {column.measure for column in self.modelled}
        return found.pop() if len(found) == 1 else "mixed"

    def encode(self, frame: Any) -> Rows:
        """Encode a data frame: one number per cell of a modelled column.

        Columns are matched by name, in any order. None, NaN, NaT and NA are missing cells, and so
        are empty texts where they are no category. A category that is new, or a number that its
        column cannot hold, is a missing cell too, or an error (see ``unseen``).

        Args:
            frame: A data frame of pandas, polars, pyarrow or another library that narwhals reads.

        Returns:
            Encoded cells, float32 ``[N, D]``, NaN where they are missing. The notes count new
            categories and name columns that the schema does not have.

        Raises:
            DataError: A modelled column is missing, a cell is infinite or holds something else
                than its column.

        Example:
            >>> import polars
            >>> schema = Schema((Column("sex", "binary", "bernoulli", levels=("f", "m")),), 100)
            >>> schema.encode(polars.DataFrame({"sex": ["m", None]})).tensor()
            tensor([[1.],
                    [nan]])
        """
        return encode_frame(self, frame)

    def to_dict(self) -> dict[str, Any]:
        """Convert the record to JSON types.

        Returns:
            The fields by name.
        """
        return {
            "rows": self.rows,
            "unseen": self.unseen,
            "columns": [asdict(column) for column in self.columns],
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Schema:
        """Make the schema from the result of ``to_dict``.

        Args:
            record: The fields by name.

        Returns:
            The schema.

        Raises:
            DataError: Fields are missing, unknown, or of another type.
        """
        known = {each.name for each in fields(cls)}
        if not known - {"unseen"} <= record.keys() <= known:
            raise DataError("the record of a schema has missing or unknown fields")
        columns = tuple(Column(**column) for column in record["columns"])
        return cls(columns, record["rows"], record.get("unseen", "missing"))
