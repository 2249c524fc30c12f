"""Batches of a run: from rows in memory or in a file, or from any iterable."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import chain, islice
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._grad_mode import differentiable
from .._memory import explain_out_of_memory
from .._offset import Offset, subtract_offset
from ..data import Dataset, Rows
from ..data._memory_map import MappedRows
from ..data._sparse_rows import is_sparse_matrix
from ..errors import ArgumentError, DataError
from ..notes import Note
from ..types import Batch

BLOCKS_PER_WINDOW = 64  # of neighbouring rows, from all over a file
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


class NumberedSource(Source):
    """Rows with numbers, on the device or in a file, in batches of one size.

    The order depends on seed, epoch and device only. The remaining rows of an epoch are dropped.

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

    def first_batch(self) -> Batch:
        return self.batch(torch.arange(self.batch_size, device=self.rows.index_device))

    def batch(self, index: Tensor) -> Batch:
        """The batch of rows by number, in the model's type."""
        return _as_type(self.rows.batch(index), self.dtype)


class MemorySource(NumberedSource):
    """Rows in one random order per epoch, looked up one by one."""

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

    def initialisation_batch(self, count: int) -> Batch:
        return self.batch(self.epoch_order(0)[:count])


class WindowSource(NumberedSource):
    """Rows in a file, read in windows of rows that are shuffled in memory.

    A window is made of blocks of neighbouring rows from all over the file. The order of the blocks
    and of the rows in a window depends on seed and epoch only. A thread reads the next window
    while steps are taken on this one.
    """

    @property
    def block_rows(self) -> int:
        """The number of neighbouring rows in a block."""
        return max(1, (self.rows.window_rows or len(self.rows)) // BLOCKS_PER_WINDOW)

    def iter_epoch(self, epoch: int, skip: int) -> Iterator[Batch]:
        size, waiting = self._batch_size, None
        for window in self._iter_windows(epoch, skip * size):
            values, numbers = (
                window if waiting is None else map(torch.cat, zip(waiting, window, strict=True))
            )
            whole = len(numbers) // size * size
            for start in range(0, whole, size):
                part = slice(start, start + size)
                yield _as_type(self._rows.batch_of(values[part], numbers[part]), self.dtype)
            waiting = values[whole:], numbers[whole:]

    def initialisation_batch(self, count: int) -> Batch:
        values, numbers = next(self._iter_windows(0, 0))
        return _as_type(self._rows.batch_of(values[:count], numbers[:count]), self.dtype)

    def _iter_windows(self, epoch: int, position: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The windows of an epoch from a position on, each read while its predecessor is used.

        Yields:
            The rows as they are stored, ``[W, *row]``, and their numbers, int64 ``[W]``.
        """
        plan = self._plan(epoch, position)
        with ThreadPoolExecutor(1, "aevb-window") as reader:
            coming = [reader.submit(self._read, *each) for each in islice(plan, 2)]
            while coming:
                window = coming.pop(0).result()
                coming += [reader.submit(self._read, *each) for each in islice(plan, 1)]
                yield window

    def _plan(self, epoch: int, position: int) -> Iterator[tuple[list[range], int, int]]:
        """The blocks of each window, its seed, and how many of its rows were used before."""
        total, size = len(self._rows), self.block_rows
        seed = self.seed * 1_000_003 + epoch
        order = _permutation(-(-total // size), seed)
        for window, numbers in enumerate(order.split(BLOCKS_PER_WINDOW)):
            starts = (numbers.sort().values * size).tolist()
            blocks = [range(start, min(start + size, total)) for start in starts]
            count = sum(map(len, blocks))
            if position < count:
                yield blocks, seed * 1_000_003 + window, position
            position = max(0, position - count)

    def _read(self, blocks: list[range], seed: int, skip: int) -> tuple[Tensor, Tensor]:
        """Read a window in a random order, without the rows that were used before."""
        stored = self._rows.stored_values
        assert isinstance(stored, MappedRows)
        order = _permutation(sum(map(len, blocks)), seed)[skip:]
        values = torch.cat([stored[each.start : each.stop].tensor() for each in blocks])
        numbers = torch.cat([torch.arange(each.start, each.stop) for each in blocks])
        return values[order.to(values.device)], numbers[order]


def _permutation(size: int, seed: int) -> Tensor:
    """A random order of the numbers below ``size``."""
    return torch.randperm(size, generator=torch.Generator().manual_seed(seed % 2**63))


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


def _as_type(batch: Batch, dtype: torch.dtype) -> Batch:
    """A batch in the model's type."""
    if batch.x.dtype == dtype:
        return batch
    context, weight = (
        None if each is None else each.to(dtype) for each in (batch.context, batch.weight)
    )
    return replace(batch, x=batch.x.to(dtype), context=context, weight=weight)


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
        kind = MemorySource if rows.window_rows is None else WindowSource
        source = kind(rows, batch_size, seed, device, dtype)
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
