"""Data as read, before anything was chosen, and what the reader was asked for."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ..errors import ArgumentError, DataError
from ._context import ContextColumn
from ._formatting import format_count
from ._memory_map import RowValues
from ._splits import Split
from ._statistics import ValueSummary


@dataclass(frozen=True)
class RawData:
    """What a reader returns: values ``[N, *event]``, or packed bits ``[N, bytes]`` where ``packed_shape`` is the event shape.

    ``values`` may lie in a file; ``seen`` is what was found when all of them were looked at. ``labels`` are class names or numbers
    ``[N]``, ``split`` makes the published split from a seed (part of it may be drawn), ``order`` says that rows follow one another in time.
    """

    name: str
    origin: str  # how errors name it: 'file "x.npy"', "the array"
    values: RowValues
    labels: np.ndarray | None = None
    columns: tuple[str, ...] | None = None
    packed_shape: tuple[int, ...] | None = None
    split: Callable[[int], Split] | None = None
    order: Literal["time"] | None = None
    notes: tuple[str, ...] = ()
    summary: ValueSummary | None = None
    context_columns: tuple[ContextColumn, ...] = ()  # columns that a model may be told

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The shape of one row of values."""
        return self.packed_shape or self.values.shape[1:]

    def subset(self, index: np.ndarray) -> RawData:
        """Only the rows ``index``, without a split."""
        labels = None if self.labels is None else self.labels[index]
        given = tuple(column.subset(index) for column in self.context_columns)
        return replace(
            self,
            values=self.values[index],
            labels=labels,
            context_columns=given,
            split=None,
            summary=None,
        )

    def with_event_shape(self, shape: tuple[int, ...] | None) -> RawData:
        """The same with flat rows in this shape; ``None`` leaves them. Raises ``DataError`` where it holds more or fewer numbers."""
        if shape is None or self.event_shape == shape:
            return self
        if math.prod(self.event_shape) != math.prod(shape):
            got = format_count(math.prod(self.event_shape), "number")
            raise DataError(
                f"shape={shape} holds {format_count(math.prod(shape))}, and a row of {self.origin} holds {got}: correct it or leave it out."
            )
        return replace(self, values=self.values.reshape(-1, *shape), columns=None)

    def unpack(self) -> RawData:
        """The same with one byte per value."""
        if self.packed_shape is None:
            return self
        bits = np.unpackbits(np.asarray(self.values), axis=1)[:, : math.prod(self.packed_shape)]
        return replace(self, values=bits.reshape(-1, *self.packed_shape), packed_shape=None)

    def with_labels(self, labels: np.ndarray) -> RawData:
        """The same with these labels. Raises ``DataError`` where their number is wrong."""
        if labels.shape != self.values.shape[:1]:
            got = tuple(labels.shape)
            raise DataError(
                f"labels have the shape {got}, but {self.origin} has {format_count(len(self.values), 'row')}: give one label per row."
            )
        return replace(self, labels=labels)


@dataclass(frozen=True)
class ReadOptions:
    """What a reader is asked for: an array or column of values, one of labels, and exactly these columns."""

    key: str | None = None
    labels: str | None = None
    columns: tuple[str, ...] | None = None
    keep_all_rows: bool = False  # whether every row must come back, so that none may be dropped
    memory_map: bool | None = None  # whether rows stay in their file; None: where it is large
    condition: tuple[str, ...] = ()  # columns that a model is told, which are then none of its data
    allow_missing_labels: bool = False  # whether these may be empty

    def check_unsupported(self, origin: str, *options: str) -> None:
        """Raise ``ArgumentError`` where one of the options was given to a reader that has no use for it."""
        given = [name for name in options if getattr(self, name) is not None]
        if given:
            value = getattr(self, given[0])
            raise ArgumentError(
                f"{given[0]}={value!r} has no meaning for {origin}: leave it out. {_OPTION_HELP[given[0]]}"
            )


_OPTION_HELP = {
    "key": "It names an array of an .npz file or a column of rows in a .parquet file.",
    "labels": "A name is for a column of a table, an array of an .npz file or a label of a named set; give an array instead.",
}
