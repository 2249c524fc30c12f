"""Batches of a run: from rows in memory or in a file, or from any iterable."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._grad_mode import differentiable
from .._memory import explain_out_of_memory
from .._offset import Offset, subtract_offset
from ..data import Dataset, Rows
from ..data._sparse_rows import is_sparse_matrix
from ..errors import ArgumentError, DataError
from ..notes import Note
from ..types import Batch

_USE_FILE = (
    'Leave them in a file: write aevb.data.save(rows, "rows.npy") and '
    'aevb.data.load("rows.npy", memory_map=True)'
)


class Source(ABC):
    """Batches of a run.

    ``steps`` per epoch, ``batch_size`` and ``rows`` are ``None`` where they are not known.
    """

    notes: tuple[Note, ...] = ()

    @property
    def steps(self) -> int | None:
        """Steps per epoch."""
        return None

    @property
    def batch_size(self) -> int | None:
        """Rows per batch."""
        return None

    @property
    def rows(self) -> Rows | None:
        """All rows."""
        return None

    @abstractmethod
    def iter_epoch(self, epoch: int, skip: int) -> Iterator[Batch]:
        """Iterate over the batches of an epoch, without the first ``skip``."""

    @abstractmethod
    def first_batch(self) -> Batch:
        """A batch for checks before the run."""

    def initialisation_batch(self, count: int) -> Batch:
        """Up to ``count`` rows for data-dependent initialisation, or one batch."""
        return self.first_batch()

    def device_order(self, epoch: int) -> Tensor | None:
        """The order of an epoch's rows, int64 ``[N]``, if all rows are on the device."""
        return None

    def batch(self, index: Tensor) -> Batch:
        """The batch of rows by number, for sources with numbered rows."""
        raise NotImplementedError


class MemorySource(Source):
    """Rows on the device or in a file, in an order that depends on seed, epoch and device only.

    All batches have the same size: the remaining rows of an epoch are dropped.

    Args:
        rows: The rows.
        batch_size: Rows per batch.
        seed: Seed of the order.
        device: The device of the run.
        dtype: The type of the model's parameters.
    """

    def __init__(
        self, rows: Rows, batch_size: int, seed: int, device: torch.device, dtype: torch.dtype
    ) -> None:
        with explain_out_of_memory(f"moving {len(rows):,} rows to {device}", _USE_FILE):
            self._rows = rows.to(device)
        self.seed, self.device, self.dtype = seed, device, dtype
        self._batch_size = min(batch_size, len(rows))
        if self._batch_size < batch_size:
            self.notes = (
                Note(
                    "batch_reduced",
                    f"The batch is all {len(rows):,} training rows, fewer than "
                    f"batch_size={batch_size}.",
                    data={"rows": len(rows), "batch_size": batch_size},
                ),
            )

    @property
    def steps(self) -> int:
        return len(self._rows) // self._batch_size

    @property
    def batch_size(self) -> int:
        return self._batch_size

    @property
    def rows(self) -> Rows:
        return self._rows

    def iter_epoch(self, epoch: int, skip: int) -> Iterator[Batch]:
        order = self.epoch_order(epoch)
        for step in range(skip, self.steps):
            yield self.batch(order[step * self.batch_size : (step + 1) * self.batch_size])

    def epoch_order(self, epoch: int) -> Tensor:
        """The order of the rows in an epoch, int64 ``[N]``, on the device of the row index."""
        generator = torch.Generator(self.device).manual_seed(
            (self.seed * 1_000_003 + epoch) % 2**63
        )
        return torch.randperm(len(self.rows), generator=generator, device=self.device).to(
            self.rows.index_device
        )

    def device_order(self, epoch: int) -> Tensor | None:
        return self.epoch_order(epoch) if self.rows.is_dense else None

    def first_batch(self) -> Batch:
        return self.batch(torch.arange(self.batch_size, device=self.rows.index_device))

    def initialisation_batch(self, count: int) -> Batch:
        return self.batch(self.epoch_order(0)[:count])

    def batch(self, index: Tensor) -> Batch:
        """The batch of rows by number, in the model's type."""
        batch = self.rows.batch(index)
        if batch.x.dtype == self.dtype:
            return batch
        context, weight = (
            None if each is None else each.to(self.dtype) for each in (batch.context, batch.weight)
        )
        return replace(batch, x=batch.x.to(self.dtype), context=context, weight=weight)


class IterableSource(Source):
    """Any iterable of batches, one pass per epoch.

    Args:
        batches: Tensors, arrays, ``Batch`` records, or tuples whose first item is the data.
        device: The device of the run.
        dtype: The type of the model's parameters.
        offset: The offset of the model; ``Batch`` records are in model units already.
    """

    def __init__(
        self,
        batches: Iterable[Any],
        device: torch.device,
        dtype: torch.dtype,
        offset: Offset | None = None,
    ) -> None:
        self.batches, self.device, self.dtype, self.offset = batches, device, dtype, offset
        self.peeked_batches: list[Any] = []
        if iter(batches) is batches:
            self.notes = (
                Note(
                    "iterator_single_pass",
                    "The data are an iterator, which allows only one pass: give a list or a loader "
                    "for more than one epoch.",
                    "warning",
                ),
            )

    def iter_epoch(self, epoch: int, skip: int) -> Iterator[Batch]:
        peeked, self.peeked_batches = self.peeked_batches, []
        for number, batch in enumerate(chain(peeked, self.batches)):
            if number >= skip:
                yield self._to_batch(batch)

    def first_batch(self) -> Batch:
        for batch in self.peeked_batches or self.batches:
            if iter(self.batches) is self.batches:
                self.peeked_batches = [batch]
            return self._to_batch(batch)
        raise DataError("`data` is an iterable without batches", argument="data")

    def _to_batch(self, batch: Any) -> Batch:
        if isinstance(batch, Batch):
            context, weight = (
                None if each is None else self._place(each)
                for each in (batch.context, batch.weight)
            )
            index = None if batch.index is None else batch.index.to(self.device)
            return replace(
                batch, x=self._place(batch.x), context=context, index=index, weight=weight
            )
        x = batch[0] if isinstance(batch, (tuple, list)) else batch
        return Batch(self._place(subtract_offset(torch.as_tensor(x), self.offset)))

    def _place(self, values: Tensor) -> Tensor:
        return differentiable(values).to(self.device, self.dtype)


def check_not_empty(rows: Rows, name: str) -> Rows:
    """Return the rows.

    Raises:
        DataError: There are none.
    """
    if len(rows) == 0:
        raise DataError(f"`{name}` has no rows: give at least one", argument=name)
    return rows


def make_source(
    data: Any,
    batch_size: int,
    seed: int,
    device: torch.device,
    dtype: torch.dtype,
    offset: Offset | None = None,
) -> Source:
    """Make the source of a data set, an array, a tensor or an iterable, for a model's offset.

    Raises:
        ArgumentError: ``batch_size`` is below 1.
        DataError: ``data`` is something else, or empty.
    """
    if batch_size < 1:
        raise ArgumentError("give at least 1", argument="batch_size", value=batch_size)
    if isinstance(data, (Dataset, Rows, np.ndarray, Tensor)) or is_sparse_matrix(data):
        part = data.train if isinstance(data, Dataset) else data
        rows = check_not_empty(Rows.in_model_units(part, offset), "data")
        source = MemorySource(rows, batch_size, seed, device, dtype)
        if rows.is_memory_mapped and not isinstance(data, Dataset):  # which has its own note
            text = "The rows stay in their file and are read batch by batch."
            source.notes += (Note("rows_in_file", text),)
        return source
    if isinstance(data, Iterable):
        return IterableSource(data, device, dtype, offset)
    raise DataError(
        f"`data` is a {type(data).__name__}; give a Dataset, an array, a tensor, or an iterable of "
        "batches",
        argument="data",
        suggestions=("Read files with `aevb.data.load`",),
    )
