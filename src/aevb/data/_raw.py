"""Data as a reader returns them, before any choice, and the options of a reader."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from .._offset import Offset
from ..errors import ArgumentError, DataError
from ..notes import Note, Text
from ._columns import CellRules
from ._context import ContextColumn
from ._formatting import format_count
from ._memory_map import MappedRows, RowValues
from ._reading import Reading
from ._splits import Split
from ._statistics import ValueSummary

if TYPE_CHECKING:
    from ._tables import SourceTable


@dataclass(frozen=True)
class MixedTable:
    """A table whose columns are not only numbers.

    Args:
        source: The columns of data as they were read.
        rules: How their cells are read.
        read_numbers: Reads the complete rows of the columns of numbers instead.
    """

    source: SourceTable
    rules: CellRules
    read_numbers: Callable[[], RawData]

    @property
    def frame(self) -> Any:
        """The narwhals frame."""
        return self.source.frame

    def subset(self, index: np.ndarray) -> MixedTable:
        """The rows ``index``."""
        return replace(self, source=replace(self.source, frame=self.frame[index]))


@dataclass(frozen=True)
class RawData:
    """The result of a reader.

    Args:
        name: The name of the data set.
        origin: The data as the subject of a sentence: ``'file "x.npy"'``, ``"the array"``.
        values: Values ``[N, *event]`` in memory or in a file, or packed bits ``[N, bytes]``.
        labels: Class names or numbers ``[N]``.
        columns: Names of the columns of a table.
        packed_shape: The shape of an event where ``values`` are packed bits.
        split: Makes the published split from a seed, where parts of it are drawn.
        order: ``"time"`` where rows are ordered in time.
        notes: What the reader noticed or chose.
        summary: Range and kind of all values, once they were computed.
        context_columns: Columns that a model may be conditioned on.
        from_image_files: Whether the values were decoded from image files.
        dtype: The dtype of the source; ``None`` where it says nothing about the data.
        offset: What was subtracted from the values.
        table_settings: Settings of ``Reading`` for tables that the reader has.
        layout: The axes of the source; ``None`` for a table, or where they are not known yet.
        lengths: The number of steps of each row of series.
        padded: Whether rows of series end in steps of NaN.
        table: The columns of a table as they are, whose rows are encoded by a schema; ``values``
            are empty until then.
    """

    name: str
    origin: str
    values: RowValues
    labels: np.ndarray | None = None
    columns: tuple[str, ...] | None = None
    packed_shape: tuple[int, ...] | None = None
    split: Callable[[int], Split] | None = None
    order: Literal["time"] | None = None
    notes: tuple[Note, ...] = ()
    summary: ValueSummary | None = None
    context_columns: tuple[ContextColumn, ...] = ()
    from_image_files: bool = False
    dtype: np.dtype | None = None
    offset: Offset | None = None
    table_settings: frozenset[str] = frozenset()
    layout: str | None = None
    lengths: np.ndarray | None = None
    padded: bool = False
    table: MixedTable | None = None

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The shape of one row of values."""
        return self.packed_shape or self.values.shape[1:]

    def subset(self, index: np.ndarray) -> RawData:
        """The rows ``index``, without a split."""
        return replace(
            self,
            values=self.values[index],
            labels=None if self.labels is None else self.labels[index],
            context_columns=tuple(column.subset(index) for column in self.context_columns),
            split=None,
            summary=None,
            table=None if self.table is None else self.table.subset(index),
        )

    def with_event_shape(self, shape: tuple[int, ...] | None) -> RawData:
        """The same data with flat rows in another shape; ``None`` changes nothing.

        Raises:
            DataError: A row has another number of elements than ``shape``.
        """
        if shape is None or self.event_shape == shape:
            return self
        if math.prod(self.event_shape) != math.prod(shape):
            raise DataError(
                f"this holds {format_count(math.prod(shape))} numbers, and a row of {self.origin} "
                f"holds {format_count(math.prod(self.event_shape))}",
                argument="shape",
                value=shape,
                suggestions=("Correct it, or leave it out",),
            )
        return replace(self, values=self.values.reshape(-1, *shape), columns=None)

    def unpack(self) -> RawData:
        """The same data with one byte per value."""
        if self.packed_shape is None:
            return self
        bits = np.unpackbits(np.asarray(self.values), axis=1)[:, : math.prod(self.packed_shape)]
        return replace(self, values=bits.reshape(-1, *self.packed_shape), packed_shape=None)

    def in_data_units(self) -> RawData:
        """The same data as float32 numbers without an offset."""
        if self.offset is None:
            return self
        if isinstance(self.values, MappedRows):
            return replace(self, values=self.values.with_offset(None), offset=None)
        values = (np.asarray(self.values).astype(np.float64) + self.offset).astype(np.float32)
        return replace(self, values=values, offset=None)

    def with_labels(self, labels: np.ndarray) -> RawData:
        """The same data with these labels.

        Raises:
            DataError: There is not one label per row.
        """
        if labels.shape != self.values.shape[:1]:
            raise DataError(
                f"labels have the shape {tuple(labels.shape)}, but {self.origin} has "
                f"{format_count(len(self.values), 'row')}",
                argument="labels",
                suggestions=("Give one label per row",),
            )
        return replace(self, labels=labels)


@dataclass(frozen=True)
class ReadOptions:
    """What a reader is asked for.

    Args:
        key: The name of the array or column of values.
        labels: The name of the array or column of labels.
        columns: The columns of a table; all columns of numbers where ``None``.
        memory_map: Whether rows stay in their file; ``None``: where the file is large.
        condition: Columns that a model is conditioned on; they are not data.
        allow_missing_labels: Whether the cells of these columns may be empty.
        reading: How the source is read.
        mixed: Whether a table is read with all its columns, as ``RawData.table``.
        labels_optional: Whether the column of labels may be absent.
    """

    key: str | None = None
    labels: str | None = None
    columns: tuple[str, ...] | None = None
    memory_map: bool | None = None
    condition: tuple[str, ...] = ()
    allow_missing_labels: bool = False
    reading: Reading = field(default_factory=Reading)
    mixed: bool = False
    labels_optional: bool = False

    def check_unsupported(self, origin: str, *options: str) -> None:
        """Check that options which a reader does not have are not set.

        Raises:
            ArgumentError: One of the options is set.
        """
        for name in options:
            value = getattr(self, name)
            if value is not None:
                raise ArgumentError(
                    f"this has no meaning for {origin}",
                    argument=name,
                    value=value,
                    suggestions=_UNSUPPORTED_SUGGESTIONS[name],
                )


_UNSUPPORTED_SUGGESTIONS: dict[str, tuple[Text, ...]] = {
    "key": (
        "Leave it out: it names an array of an .npz file or a column of rows in a .parquet file",
    ),
    "labels": (
        "Leave it out, or give an array: a name is for a column of a table, an array of an .npz "
        "file or a label of a named data set",
    ),
}
