"""Rows of data, kept as they are stored and decoded when they are read."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import ArgumentError, DataError
from ..networks._condition import Condition
from ..types import Batch
from ._context import ContextTable, context_from_label
from ._memory_map import MappedRows, should_map, unmappable_reason
from ._transforms import RowTransform, ToFloat

Index = int | slice | Sequence[int] | np.ndarray | Tensor


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows as stored (uint8, packed bits, float32), which stay that small on the device and become float32 batches when read.

    ``stored`` is ``[N, *row]``, a tensor on the device or an array in a file, ``decode`` turns stored rows ``[B, *row]`` into float32
    ``[B, *event]``, ``labels`` are class numbers, int64 ``[N]``, -1 where nobody knows. ``told`` is what a model is told of the rows: every
    batch of them brings it as its ``context``.

    >>> rows = Rows.of(np.array([[0, 1], [1, 1], [1, 0]], dtype=np.uint8))
    >>> len(rows), rows.event_shape, rows[0]
    (3, (2,), tensor([0., 1.]))
    """

    stored_values: Tensor | MappedRows
    transform: RowTransform = field(default_factory=ToFloat)
    labels: Tensor | None = None
    context_table: ContextTable | None = None

    def __post_init__(self) -> None:
        """Refuse labels, and what is told, where they do not belong to the rows."""
        if self.context_table is not None and len(self.context_table) != len(self.stored_values):
            raise ArgumentError(
                f"told has {len(self.context_table)} rows, but there are {len(self.stored_values)}: give one for each."
            )
        if self.labels is not None and self.labels.shape != self.stored_values.shape[:1]:
            got = tuple(self.labels.shape)
            raise ArgumentError(
                f"labels have the shape {got}, but there are {len(self.stored_values)} rows: give one class number per row."
            )

    @classmethod
    def from_array(cls, values: Any, labels: Any = None) -> Rows:
        """Rows of an array, tensor or list ``[N, *event]``; ``Rows`` are returned as they are.

        Bytes and booleans stay bytes, every other number becomes float32. Large memory-mapped arrays stay in their file.
        Raises ``DataError`` for what is not rows of numbers.

        >>> Rows.of([[0.5], [1.5]]).tensor()
        tensor([[0.5000],
                [1.5000]])
        """
        if isinstance(values, Rows):
            return values
        return cls(
            _map_if_large(values) or _to_stored_dtype(_array_to_tensor(values)),
            ToFloat(),
            None if labels is None else _array_to_tensor(labels).long(),
        )

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The shape of one decoded row."""
        return self.transform.output_shape(tuple(self.stored_values.shape[1:]))

    @property
    def is_memory_mapped(self) -> bool:
        """Whether the rows stay in a file and are read batch by batch."""
        return isinstance(self.stored_values, MappedRows)

    @property
    def is_stored_as_bytes(self) -> bool:
        """Whether the values are stored as bytes or bits: whole numbers 0 to 255, however they are decoded."""
        return self.stored_values.dtype in (torch.uint8, np.uint8)

    @property
    def index_device(self) -> torch.device:
        """Where row numbers are looked up: the device of resident rows, the CPU for rows in a file."""
        return torch.device("cpu") if self.is_memory_mapped else self.stored_values.device

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.stored_values)

    def __getitem__(self, index: Index) -> Tensor:
        """Decoded rows, float32 ``[B, *event]``; one row ``[*event]`` for an integer."""
        if isinstance(index, int | np.integer):
            return self[_single_row_slice(operator.index(index), len(self))][0]
        return self.transform(
            load_stored_values(self.stored_values[_indexer(index, self.index_device)])
        )

    def batch(self, index: Tensor) -> Batch:
        """The batch of the rows ``index``, int64 ``[B]``."""
        index = index.to(self.index_device)
        there = index.to(self.stored_values.device)
        context = None if self.context_table is None else self.context_table.subset(there).context
        return Batch(
            self.transform(self.stored_values.index_select(0, index)), context, there, len(self)
        )

    @property
    def context(self) -> Tensor | None:
        """What a model is told of all rows, float32 ``[N, C]``; None where it is told nothing."""
        return None if self.context_table is None else self.context_table.context

    def with_label(self, condition: Condition | None, label: Any) -> Rows:
        """These rows, told to a model as ``label``: a value for all, a list of one for each, or a dict of these by name.

        Raises ``ArgumentError`` for a class that was never seen, and where the model is told nothing (``condition`` is None).

        >>> from aevb.networks import Condition, Labels
        >>> Rows.of([[0.5], [1.5]]).with_label(
        ...     Condition([Labels("digit", range(3))]), ["2", "0"]
        ... ).context
        tensor([[0., 0., 1.],
                [1., 0., 0.]])
        """
        if condition is None:
            raise ArgumentError(
                f"label={label!r}: the model is told nothing of its data. Leave it out."
            )
        return replace(
            self,
            context_table=context_from_label(condition, label, len(self)).to(
                self.stored_values.device
            ),
        )

    def subset(self, index: Index) -> Rows:
        """The rows ``index`` as rows, still stored as they were."""
        where = _indexer(index, self.index_device)
        labels, told = (
            None if self.labels is None else self.labels[where],
            None if self.context_table is None else self.context_table.subset(where),
        )
        return replace(
            self, stored_values=self.stored_values[where], labels=labels, context_table=told
        )

    def in_storage_order(self) -> Rows:
        """The rows alone, without what belongs to them, in the order in which a pass over all is fastest: that of their file."""
        return replace(
            self,
            stored_values=self.stored_values.in_storage_order()
            if isinstance(self.stored_values, MappedRows)
            else self.stored_values,
            labels=None,
            context_table=None,
        )

    def to(self, device: torch.device | str) -> Rows:
        """These rows on another device."""
        labels, told = (
            None if self.labels is None else self.labels.to(device),
            None if self.context_table is None else self.context_table.to(device),
        )
        return replace(
            self, stored_values=self.stored_values.to(device), labels=labels, context_table=told
        )

    def tensor(self) -> Tensor:
        """All rows decoded, float32 ``[N, *event]``."""
        return self.transform(load_stored_values(self.stored_values))


def load_stored_values(stored_values: Tensor | MappedRows) -> Tensor:
    """Stored rows as a tensor ``[N, *row]`` on their device, read from the file where they lie in one."""
    return stored_values.tensor() if isinstance(stored_values, MappedRows) else stored_values


def _single_row_slice(index: int, total: int) -> slice:
    """The slice that holds one row alone. Raises ``IndexError`` where there is no such row, which also ends a loop over the rows."""
    if not -total <= index < total:
        raise IndexError(f"row {index} of {total}")
    return slice(index % total, index % total + 1)


def _map_if_large(values: Any) -> MappedRows | None:
    """Rows that stay in their file, None where they cannot, or are better read."""
    if (
        not isinstance(values, np.memmap)
        or not should_map(None, values.nbytes)
        or unmappable_reason(values)
        or values.dtype.kind not in "biuf"
    ):
        return None
    return replace(
        MappedRows.from_memmap(values),
        dtype=np.dtype(
            np.uint8 if values.dtype.kind == "b" or values.dtype == np.uint8 else np.float32
        ),
    )


def _indexer(index: Index, device: torch.device) -> slice | Tensor:
    if isinstance(index, slice):
        return index
    where = torch.as_tensor(index, device=device)
    return where if where.dtype == torch.bool else where.reshape(-1).long()


def _array_to_tensor(values: Any) -> Tensor:
    if isinstance(values, np.ndarray) and not values.flags.writeable:
        values = values.copy()  # a tensor cannot share memory that must not be written
    try:
        return torch.as_tensor(values).detach()
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(
            f"rows must be an array, tensor or list of numbers, got {type(values).__name__}: {error}"
        ) from error


def _to_stored_dtype(values: Tensor) -> Tensor:
    if values.ndim < 2:
        shape = tuple(values.shape)
        raise DataError(
            f"rows must have the shape [N, *event], got {shape}: write x.reshape(-1, 1), or x[None] for one row."
        )
    if values.is_complex():
        raise DataError(
            f"rows hold complex numbers ({values.dtype}): write torch.view_as_real(x) or x.abs()."
        )
    return values.to(torch.uint8 if values.dtype in (torch.bool, torch.uint8) else torch.float32)
