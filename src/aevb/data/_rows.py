"""Rows of data as they are stored, decoded when they are read."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._offset import Offset, add_offset, subtract_offset
from ..errors import ArgumentError, DataError
from ..networks._condition import Condition
from ..networks._library_size import LIBRARY_SIZE
from ..notes import Note
from ..types import Batch
from ._context import ContextTable, context_from_label
from ._memory_map import MappedRows, should_map, unmappable_reason
from ._sparse_rows import SparseRows, is_sparse_matrix
from ._transforms import RowTransform, ToFloat

Index = int | slice | Sequence[int] | np.ndarray | Tensor
StoredRows = Tensor | MappedRows | SparseRows


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows in their stored form, which become float32 batches when they are read.

    Rows are stored as uint8, packed bits or float32, also on the device; of a sparse matrix, the
    cells other than 0 are stored. Columns whose digits
    float32 would lose are stored in model units, without their ``offset``: batches are in model
    units, and ``rows[...]`` and ``tensor`` in the units of the data.

    Args:
        stored_values: ``[N, *row]``, a tensor on the device, an array in a file or sparse rows.
        transform: Decodes stored rows ``[B, *row]`` to float32 ``[B, *event]``.
        labels: Class numbers, int64 ``[N]``, -1 where a label is missing.
        context_table: The variables that a model is conditioned on, one row per row of data;
            batches carry them as ``context``.
        offset: What was subtracted from the values before they became float32: one number, or one
            per column.
        notes: What was left out when the rows were read by ``load_as``.
        weights: Weights of the rows in training and validation, float32 ``[N]``, 0 or more;
            ``None`` for equal weights.

    Raises:
        ArgumentError: The labels, the context table or the weights have another number of rows.

    Example:
        >>> rows = Rows.from_array(np.array([[0, 1], [1, 1], [1, 0]], dtype=np.uint8))
        >>> len(rows), rows.event_shape, rows[0]
        (3, (2,), tensor([0., 1.]))
    """

    stored_values: StoredRows
    transform: RowTransform = field(default_factory=ToFloat)
    labels: Tensor | None = None
    context_table: ContextTable | None = None
    offset: Offset | None = None
    notes: tuple[Note, ...] = ()
    weights: Tensor | None = None

    def __post_init__(self) -> None:
        """Check that labels and context belong to the rows."""
        if self.context_table is not None and len(self.context_table) != len(self.stored_values):
            raise ArgumentError(
                f"the context has {len(self.context_table)} rows, and the data have "
                f"{len(self.stored_values)}",
                argument="context_table",
                suggestions=("Give one row of context per row",),
            )
        if self.labels is not None and self.labels.shape != self.stored_values.shape[:1]:
            raise ArgumentError(
                f"labels have the shape {tuple(self.labels.shape)}, and the data have "
                f"{len(self.stored_values)} rows",
                argument="labels",
                suggestions=("Give one class number per row",),
            )
        if self.weights is not None and self.weights.shape != (len(self),):
            raise ArgumentError(
                f"weights have the shape {tuple(self.weights.shape)}, and the data have "
                f"{len(self)} rows",
                argument="weights",
                suggestions=("Give one number per row",),
            )

    @classmethod
    def from_array(cls, values: Any, labels: Any = None, weights: Any = None) -> Rows:
        """Make rows from an array.

        Bytes and booleans are stored as bytes, all other numbers as float32. Large memory-mapped
        arrays stay in their file.

        Args:
            values: An array, tensor or list ``[N, *event]``, or a sparse matrix of SciPy; ``Rows``
                are returned unchanged.
            labels: Class numbers ``[N]``.
            weights: Weights of the rows ``[N]``, 0 or more.

        Returns:
            The rows.

        Raises:
            DataError: The values are not rows of numbers.
            ArgumentError: The weights are not one number of at least 0 for each row.

        Example:
            >>> Rows.from_array([[0.5], [1.5]]).tensor()
            tensor([[0.5000],
                    [1.5000]])
        """
        if isinstance(values, Rows):
            return values
        rows = cls.in_model_units(values, None)
        if labels is not None:
            rows = replace(rows, labels=_array_to_tensor(labels).long())
        return rows if weights is None else replace(rows, weights=as_weights(weights))

    @classmethod
    def in_model_units(cls, values: Any, offset: Offset | None) -> Rows:
        """Make rows for a model from an array, or from other rows.

        Args:
            values: An array, tensor or list ``[N, *event]`` in the units of the data, or ``Rows``.
            offset: The offset of the model, ``VAE.data_offset``.

        Returns:
            The rows, stored with this offset.

        Raises:
            DataError: The values are not rows of numbers.

        Example:
            >>> rows = Rows.in_model_units(np.array([[1.7e9 + 0.5]]), (1.7e9,))
            >>> rows.batch(torch.tensor([0])).x, rows.tensor().item()
            (tensor([[0.5000]]), 1700000000.5)
        """
        if isinstance(values, Rows):
            return values.with_offset(offset)
        if is_sparse_matrix(values):
            sparse = SparseRows.from_scipy(values)
            dtype = np.uint8 if sparse.dtype in (np.bool_, np.uint8) else np.float32
            return cls(sparse.astype(np.dtype(dtype), copy=False)).with_offset(offset)
        stored = _map_if_large(values, offset)
        if stored is None:
            stored = _to_stored_dtype(_array_to_tensor(values), offset)
        return cls(stored, offset=offset)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The shape of one decoded row."""
        return self.transform.output_shape(tuple(self.stored_values.shape[1:]))

    @property
    def is_memory_mapped(self) -> bool:
        """Whether the rows stay in a file and are read batch by batch."""
        return isinstance(self.stored_values, MappedRows)

    @property
    def window_rows(self) -> int | None:
        """Training reads so many rows at a time and shuffles them; ``None``: all rows."""
        return (
            self.stored_values.window_rows if isinstance(self.stored_values, MappedRows) else None
        )

    @property
    def is_dense(self) -> bool:
        """Whether all rows are one tensor, neither in a file nor sparse."""
        return isinstance(self.stored_values, Tensor)

    @property
    def is_stored_as_bytes(self) -> bool:
        """Whether values are stored as bytes or bits, which are whole numbers 0 to 255."""
        return self.stored_values.dtype in (torch.uint8, np.uint8)

    @property
    def index_device(self) -> torch.device:
        """The device of row numbers: that of dense rows in memory, otherwise the CPU."""
        return self.stored_values.device if self.is_dense else torch.device("cpu")

    @property
    def context(self) -> Tensor | None:
        """The context of all rows, float32 ``[N, C]``; ``None`` for an unconditional model."""
        return None if self.context_table is None else self.context_table.context

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.stored_values)

    def __getitem__(self, index: Index) -> Tensor:
        """Decoded rows ``[B, *event]`` in data units; one row ``[*event]`` for an integer.

        They are float32, or float64 where there is an offset.
        """
        if isinstance(index, int | np.integer):
            return self[_single_row_slice(operator.index(index), len(self))][0]
        return add_offset(self.model_input(index), self.offset)

    def model_input(self, index: Index) -> Tensor:
        """Decode rows in model units.

        Args:
            index: As for ``subset``.

        Returns:
            The rows without their offset, float32 ``[B, *event]``.
        """
        return self.transform(
            load_stored_values(self.stored_values[_indexer(index, self.index_device)])
        )

    def with_offset(self, offset: Offset | None) -> Rows:
        """Store the rows with another offset.

        Args:
            offset: The offset of the model that takes the rows; ``None`` stores float32 numbers in
                the units of the data.

        Returns:
            The same rows.
        """
        if offset == self.offset:
            return self
        stored = self.stored_values
        if isinstance(stored, MappedRows):
            return replace(self, stored_values=stored.with_offset(offset), offset=offset)
        values = add_offset(self.transform(load_stored_values(stored)), self.offset)
        stored = (
            values.to(stored.device, torch.float32)
            if offset is None
            else subtract_offset(values, offset).to(stored.device)
        )
        return replace(self, stored_values=stored, transform=ToFloat(), offset=offset)

    def batch(self, index: Tensor) -> Batch:
        """Read a batch.

        Args:
            index: Row numbers, int64 ``[B]``.

        Returns:
            The decoded rows in model units, with their context, their numbers, the number of all
            rows and their weights.
        """
        index = index.to(self.index_device)
        return self.batch_of(self.stored_values.index_select(0, index), index)

    def batch_of(self, stored_values: Tensor, index: Tensor) -> Batch:
        """Make a batch of rows that were read already.

        Args:
            stored_values: The rows as they are stored, ``[B, *row]``.
            index: Their numbers, int64 ``[B]``.

        Returns:
            As ``batch``.
        """
        numbers = index.to(self.stored_values.device)
        return Batch(
            self.transform(stored_values),
            None if self.context_table is None else self.context_table.subset(numbers).context,
            numbers,
            len(self),
            None if self.weights is None else self.weights[numbers],
        )

    def with_label(self, condition: Condition | None, label: Any) -> Rows:
        """Set the context of all rows.

        Args:
            condition: The condition of the model, ``model.condition``.
            label: One value for all rows, a list with one value per row, or a dict of these by the
                name of the variable.

        Returns:
            The same rows with this context.

        Raises:
            ArgumentError: The model is unconditional (``condition`` is ``None``), or a class does
                not occur in its training data.

        Example:
            >>> from aevb.networks import Condition, Labels
            >>> Rows.from_array([[0.5], [1.5]]).with_label(
            ...     Condition([Labels("digit", range(3))]), ["2", "0"]
            ... ).context
            tensor([[0., 0., 1.],
                    [1., 0., 0.]])
        """
        if condition is None:
            raise ArgumentError(
                "the model is unconditional",
                argument="label",
                value=label,
                suggestions=("Leave it out",),
            )
        table = context_from_label(condition, self._with_row_totals(condition, label), len(self))
        return replace(self, context_table=table.to(self.stored_values.device))

    def _with_row_totals(self, condition: Condition, label: Any) -> Any:
        """The values of the context, with the totals of the rows as library size."""
        others = [name for name in condition.names if name != LIBRARY_SIZE]
        if len(others) == len(condition.names):
            return label
        if not isinstance(label, Mapping):
            if len(others) != 1:
                return label
            label = {others[0]: label}
        if LIBRARY_SIZE in label:
            return label
        blocks = (self[start : start + 1024] for start in range(0, len(self), 1024))
        totals = torch.cat([block.flatten(1).double().sum(1).cpu() for block in blocks])
        return {**label, LIBRARY_SIZE: totals}

    def subset(self, index: Index) -> Rows:
        """Select rows without decoding them.

        Args:
            index: A row number, a slice, a list or array of row numbers, or a boolean mask ``[N]``.

        Returns:
            The selected rows with their labels and context.
        """
        where = _indexer(index, self.index_device)
        return replace(
            self,
            stored_values=self.stored_values[where],
            labels=None if self.labels is None else self.labels[where],
            weights=None if self.weights is None else self.weights[where],
            context_table=None if self.context_table is None else self.context_table.subset(where),
        )

    def joined_with(self, other: Rows) -> Rows:
        """Append other rows of the same kind.

        Args:
            other: Rows that are stored in the same way.

        Returns:
            Both, with their labels, weights and context.

        Raises:
            DataError: One part has what the other lacks, or is stored in another way.

        Example:
            >>> rows = Rows.from_array([[0.5], [1.5], [2.5]])
            >>> rows.subset([0]).joined_with(rows.subset([2])).tensor().flatten()
            tensor([0.5000, 2.5000])
        """
        stored = _join_stored(self.stored_values, other.stored_values)
        own, more = ((each.labels, each.weights, each.context_table) for each in (self, other))
        same = [each is None for each in own] == [each is None for each in more]
        if stored is None or not same or self.transform != other.transform:
            raise DataError(
                "the two parts of the data cannot be joined: they are stored in different ways, or "
                "one alone has labels, weights or a context"
            )
        labels, weights = (
            None if a is None or b is None else torch.cat([a, b])
            for a, b in zip(own[:2], more[:2], strict=True)
        )
        table = self.context_table
        if table is not None and other.context_table is not None:
            table = replace(table, values=torch.cat([table.values, other.context_table.values]))
        return replace(
            self, stored_values=stored, labels=labels, weights=weights, context_table=table
        )

    def in_storage_order(self) -> Rows:
        """Sort rows for the fastest pass over all of them: the order of their file.

        Returns:
            The rows without labels and context.
        """
        stored = self.stored_values
        return Rows(
            stored.in_storage_order() if isinstance(stored, MappedRows) else stored,
            self.transform,
            offset=self.offset,
        )

    def to(self, device: torch.device | str) -> Rows:
        """Copy rows, labels and context to a device.

        Args:
            device: The device of the new rows.

        Returns:
            The same rows on that device.
        """
        return replace(
            self,
            stored_values=self.stored_values.to(device),
            labels=None if self.labels is None else self.labels.to(device),
            weights=None if self.weights is None else self.weights.to(device),
            context_table=None if self.context_table is None else self.context_table.to(device),
        )

    def tensor(self) -> Tensor:
        """Decode all rows.

        Returns:
            All events ``[N, *event]`` in data units, float32, or float64 where there is an offset.
        """
        return add_offset(self.transform(load_stored_values(self.stored_values)), self.offset)


def as_weights(values: Any) -> Tensor:
    """The weights of rows, or an ``ArgumentError``."""
    weights = _array_to_tensor(values).float()
    if not (weights.isfinite() & (weights >= 0)).all() or not weights.any():
        reason = "a weight is negative or not finite, or all weights are 0"
        raise ArgumentError(
            reason, argument="weights", suggestions=("Give one number of at least 0 per row",)
        )
    return weights


def load_stored_values(stored_values: StoredRows) -> Tensor:
    """Stored rows as a dense tensor ``[N, *row]`` on their device."""
    return stored_values if isinstance(stored_values, Tensor) else stored_values.tensor()


def _join_stored(first: StoredRows, second: StoredRows) -> StoredRows | None:
    """Stored rows one after the other; ``None`` where they are stored in different ways."""
    if isinstance(first, Tensor) and isinstance(second, Tensor):
        fits = first.dtype == second.dtype and first.shape[1:] == second.shape[1:]
        return torch.cat([first, second]) if fits else None
    if isinstance(first, MappedRows) and isinstance(second, MappedRows):
        reading = [(each.dtype, each.axes, each.device, each.offset) for each in (first, second)]
        if first.file is not second.file or reading[0] != reading[1]:
            return None
        index = [np.asarray(each.row_index) for each in (first, second)]
        return replace(first, row_index=np.concatenate(index))
    if isinstance(first, SparseRows) and isinstance(second, SparseRows):
        return first.joined_with(second)
    return None


def _single_row_slice(index: int, total: int) -> slice:
    """The slice of one row. The ``IndexError`` beyond the end also ends a loop over the rows."""
    if not -total <= index < total:
        raise IndexError(f"row {index} of {total}")
    return slice(index % total, index % total + 1)


def _map_if_large(values: Any, offset: Offset | None) -> MappedRows | None:
    """Rows that stay in their file; ``None`` where they cannot, or are read faster."""
    if (
        not isinstance(values, np.memmap)
        or not should_map(None, values.nbytes)
        or unmappable_reason(values)
        or values.dtype.kind not in "biuf"
    ):
        return None
    is_bytes = offset is None and (values.dtype.kind == "b" or values.dtype == np.uint8)
    return replace(
        MappedRows.from_memmap(values),
        dtype=np.dtype(np.uint8 if is_bytes else np.float32),
        offset=offset,
    )


def _indexer(index: Index, device: torch.device) -> slice | Tensor:
    """The index as a slice, a mask or row numbers on the device."""
    if isinstance(index, slice):
        return index
    where = torch.as_tensor(index, device=device)
    return where if where.dtype == torch.bool else where.reshape(-1).long()


def _array_to_tensor(values: Any) -> Tensor:
    """The values as a tensor; shares memory where the values may be written."""
    if isinstance(values, np.ndarray) and not values.flags.writeable:
        values = values.copy()
    try:
        return torch.as_tensor(values).detach()
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(
            f"rows are an array, tensor or list of numbers, not a {type(values).__name__} ({error})"
        ) from error


def _to_stored_dtype(values: Tensor, offset: Offset | None) -> Tensor:
    """The values as bytes, or float32 in model units."""
    if values.ndim < 2:
        raise DataError(
            f"rows have the shape [N, *event], and these have {tuple(values.shape)}",
            suggestions=("Write x.reshape(-1, 1), or x[None] for one row",),
        )
    if values.is_complex():
        raise DataError(
            f"the rows contain complex numbers ({values.dtype})",
            suggestions=("Write torch.view_as_real(x) or x.abs()",),
        )
    if offset is not None:
        return subtract_offset(values, offset).to(values.device)
    return values.to(torch.uint8 if values.dtype in (torch.bool, torch.uint8) else torch.float32)
