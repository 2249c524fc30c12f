"""The schema of a table: what each column holds, and how it is encoded for a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from ..errors import DataError
from ..networks._column import Column, Measure
from ._decode_frame import complete_frame, decode_frame
from ._encode_frame import encode_frame
from ._rows import Rows
from ._schema_learning import learn_columns


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

    @classmethod
    def of(
        cls,
        source: Any,
        *,
        kinds: Mapping[str, str] | str | Path | None = None,
        unseen: Literal["missing", "refuse"] = "missing",
    ) -> Schema:
        """Learn what the columns of a table hold.

        Args:
            source: A path, or a data frame of pandas, polars, pyarrow or another library that
                narwhals reads.
            kinds: The kinds of some columns by name, or the path of a TOML file with them; the
                others are chosen by the rules in ``docs/tables.md``.
            unseen: What becomes of a category that is new.

        Returns:
            The schema, with the reason of each choice.

        Raises:
            DataError: The table cannot be read, or none of its columns can be modelled.
            ArgumentError: ``kinds`` names an unknown column or kind, or contradicts the values.

        Example:
            >>> import polars
            >>> frame = polars.DataFrame({"age": [31, 45, 31, 28] * 25, "sex": ["f", "m"] * 50})
            >>> [column.kind for column in Schema.of(frame).columns]
            ['ordinal', 'binary']
        """
        columns, rows = learn_columns(source, kinds)
        return cls(columns, rows, unseen)

    def decode(self, tensor: Any, like: Any = None, *, seed: int = 0) -> Any:
        """Decode encoded cells to a data frame, with values that the columns can hold.

        Whole numbers are rounded and kept in the range of their dtype, codes become categories,
        positive columns stay positive, and bounded columns within their bounds. A column without
        negative values in the schema gets none. Missing cells become nulls, constant columns get
        their value, identifiers that are whole numbers count from 1, and other identifiers are
        empty. Text with numbers is written with the decimal mark of ``like``, without units.

        Args:
            tensor: Encoded cells ``[N, D]``: a tensor, an array or ``Rows``.
            like: A frame with the library, the dtypes and the categories of the result, such as the
                frame that was encoded; by default polars, or pandas where polars is not installed,
                with the dtypes of the schema. A pandas frame with N rows lends its index too.
            seed: Seed of the draws from pooled levels, which have their frequencies in the source.

        Returns:
            A frame with all columns of the schema.

        Raises:
            ArgumentError: The cells have another shape, or the library of ``like`` is not pandas,
                polars or pyarrow.

        Example:
            >>> schema = Schema((Column("sex", "binary", "bernoulli", levels=("f", "m")),), 100)
            >>> schema.decode([[1.0], [0.0]])["sex"].to_list()
            ['m', 'f']
        """
        return decode_frame(self, tensor, like, seed)

    def complete(self, frame: Any, draws: Any, *, seed: int = 0) -> Any:
        """Fill the missing cells of a data frame.

        Observed cells, columns that are not modelled and the index stay as they are.

        Args:
            frame: A data frame of pandas, polars or pyarrow.
            draws: Encoded cells ``[N, D]`` for all rows, or several sets of them ``[M, N, D]``.
            seed: As for ``decode``.

        Returns:
            The frame with its missing cells decoded from ``draws``; a list of M frames for several
            sets.

        Raises:
            ArgumentError: The draws have another shape.
            DataError: As for ``encode``.

        Example:
            >>> import polars
            >>> schema = Schema((Column("sex", "binary", "bernoulli", levels=("f", "m")),), 100)
            >>> schema.complete(polars.DataFrame({"sex": ["m", None]}), [[0], [0]])["sex"].to_list()
            ['m', 'f']
        """
        return complete_frame(self, frame, draws, seed)

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
