"""The schema of a table: what each column holds, and how it is encoded for a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from ..errors import DataError, check_choice
from ..networks._column import Column, Measure, joint_measure
from ..notes import Note
from ._columns import CellRules
from ._decode_frame import complete_frame, decode_frame
from ._encode_frame import encode_frame
from ._raw import ReadOptions
from ._reading import Reading
from ._rows import Rows
from ._schema_file import read_columns, read_toml, write_schema
from ._schema_learning import Kinds, learn_columns
from ._schema_text import SchemaRow, render_html, render_text
from ._tables import read_source_table

Unseen = Literal["missing", "refuse"]


@dataclass(frozen=True)
class Schema:
    """What the columns of a table hold, and how they are encoded.

    Args:
        columns: All columns in the order of the source, those that are set aside included.
        rows: The number of rows that the schema was learned from.
        unseen: What becomes of a category that is new: a missing cell, or an error.
        notes: What needs attention in the table; not part of the record.
        missing: Values that stand for empty cells, as ``"-200"`` or ``"COLUMN=-200"``.

    Example:
        >>> schema = Schema((Column("age", "integer", "discretised_logistic", step=1.0),), 100)
        >>> schema.measure, Schema.from_dict(schema.to_dict()) == schema
        ('probability', True)
    """

    columns: tuple[Column, ...]
    rows: int
    unseen: Unseen = "missing"
    notes: tuple[Note, ...] = field(default=(), compare=False, repr=False)
    missing: tuple[str, ...] = ()

    @property
    def modelled(self) -> tuple[Column, ...]:
        """The columns of the encoded cells, in this order."""
        return tuple(column for column in self.columns if column.modelled)

    @property
    def derived(self) -> tuple[Column, ...]:
        """The columns that are functions of another one."""
        return tuple(column for column in self.columns if column.source)

    @property
    def measure(self) -> Measure:
        """Whether rows have a density, a probability, or both."""
        return joint_measure(self.modelled)

    def with_heavy_tails(self) -> Schema:
        """Give real numbers a Student t likelihood, in which outliers have less weight.

        Returns:
            The schema; cells are encoded as before.
        """
        columns = (
            replace(each, likelihood="student_t") if each.kind == "continuous" else each
            for each in self.columns
        )
        return replace(self, columns=tuple(columns))

    def with_free_levels(self) -> Schema:
        """Give ordered levels a probability each, in the place of cuts of one scale.

        Returns:
            The schema; cells are encoded as before.
        """
        columns = (
            replace(each, likelihood="categorical") if each.likelihood == "ordinal" else each
            for each in self.columns
        )
        return replace(self, columns=tuple(columns))

    def encode(self, frame: Any) -> Rows:
        """Encode a data frame: one number per cell of a modelled column.

        Columns are matched by name, in any order. None, NaN, NaT and NA are missing cells, and so
        are empty texts and the values of ``missing`` where they are no category. A category that
        is new, or a number that its column cannot hold, is a missing cell too, or an error (see
        ``unseen``); so is a derived cell that contradicts its source. A derived cell says what an
        empty cell of its source holds, where one value remains.

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
        return encode_frame(self, frame, CellRules(missing=self.missing))

    def decode(self, tensor: Any, like: Any = None, *, seed: int = 0) -> Any:
        """Decode encoded cells to a data frame, with values that the columns can hold.

        Whole numbers are rounded and kept in the range of their dtype, codes become categories,
        positive columns stay positive, and bounded columns within their bounds. A column without
        negative values in the schema gets none. Missing cells become nulls, derived columns follow
        from their source, constant columns get their value, identifiers that are whole numbers
        count from 1, and other identifiers are empty. Text with numbers is written with the decimal
        mark of ``like``, without units.

        Args:
            tensor: Encoded cells ``[N, D]``: a tensor, an array or ``Rows``.
            like: A frame with the library, the dtypes and the categories of the result, such as the
                frame that was encoded; by default polars, or pandas where polars is not installed,
                with the dtypes of the schema. A frame with N rows lends its identifiers, and in
                pandas its index.
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
        return complete_frame(self, frame, draws, seed, CellRules(missing=self.missing))

    @classmethod
    def of(
        cls,
        source: Any,
        *,
        kinds: Kinds | None = None,
        unseen: Unseen = "missing",
        reading: Reading | None = None,
    ) -> Schema:
        """Learn what the columns of a table hold.

        The rules are those of the table in ``docs/tables.md``. None, NaN, NaT and NA are missing
        cells, and so are the texts ``?``, ``NA``, ``N/A``, ``nan``, ``null`` and blanks.

        Args:
            source: A path, or a data frame of pandas, polars, pyarrow or another library that
                narwhals reads.
            kinds: The kinds of some columns by name, or the path of a TOML file with them;
                ``"derived:NAME"`` for a function of another column.
            unseen: What becomes of a category that is new.
            reading: How a file is read; ``missing`` holds for frames as well.

        Returns:
            The schema, with the reason of each choice.

        Raises:
            DataError: The table cannot be read, or none of its columns can be modelled.
            ArgumentError: ``kinds`` names an unknown column or kind, or contradicts the values.

        Example:
            >>> import polars
            >>> frame = polars.DataFrame({"age": [31, 45, 31, 28] * 25, "sex": ["f", "m"] * 50})
            >>> print(Schema.of(frame))
            2 columns, 100 rows
            column  kind     missing  why
            age     ordinal           3 values in 100 cells
            sex     binary            two texts
        """
        check_choice("unseen", unseen, get_args(Unseen))
        options = ReadOptions(reading=reading or Reading())
        table = read_source_table(source, options)
        rules = table.cell_rules(options)
        learned = learn_columns(table, kinds, rules)
        notes = (*table.notes, *learned.notes)
        return cls(learned.columns, learned.rows, unseen, notes, rules.missing)

    @classmethod
    def read(cls, path: str | Path) -> Schema:
        """Read a schema from a TOML file.

        Args:
            path: A file that ``write`` wrote; it may have been edited.

        Returns:
            The schema.

        Raises:
            DataError: The file is missing, is not TOML, or has fields that make no sense.
        """
        return cls.from_dict(read_toml(path, "path"))

    def write(self, path: str | Path) -> None:
        """Write the schema to a TOML file, which ``read`` and the argument ``kinds`` take.

        Args:
            path: The file; an existing one is replaced.
        """
        write_schema(path, self.to_dict())

    def table(self) -> tuple[SchemaRow, ...]:
        """Describe the columns.

        Returns:
            Name, kind, likelihood, share of missing cells and reason of each column.
        """
        return tuple(
            SchemaRow(each.name, each.kind, each.likelihood, each.missing, each.reason)
            for each in self.columns
        )

    def __str__(self) -> str:
        return render_text(self.table(), self.rows)

    def _repr_html_(self) -> str:
        return render_html(self.table(), self.rows)

    def to_dict(self) -> dict[str, Any]:
        """Convert the record to JSON types.

        Returns:
            The fields by name.
        """
        return {
            "rows": self.rows,
            "unseen": self.unseen,
            **({"missing": list(self.missing)} if self.missing else {}),
            "columns": [column.to_dict() for column in self.columns],
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
        needed, known = {"columns", "rows"}, {"columns", "rows", "unseen", "missing"}
        if not isinstance(record, Mapping) or not needed <= record.keys() <= known:
            raise DataError("the record of a schema has missing or unknown fields")
        rows, unseen = record["rows"], record.get("unseen", "missing")
        if isinstance(rows, bool) or not isinstance(rows, int) or rows < 0:
            raise DataError("`rows` of the record of a schema is no count")
        if unseen not in get_args(Unseen):
            raise DataError('`unseen` of the record of a schema must be "missing" or "refuse"')
        missing = record.get("missing", ())
        if not isinstance(missing, list | tuple) or not all(isinstance(x, str) for x in missing):
            raise DataError("`missing` of the record of a schema must be a list of texts")
        return cls(read_columns(record["columns"]), rows, unseen, missing=tuple(missing))
