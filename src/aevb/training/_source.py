"""Batches for a run: from rows on the device or in a file, or from any iterable."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._memory import explain_out_of_memory
from ..data import Dataset, Rows
from ..errors import ArgumentError, DataError
from ..types import Batch

_IN_FILE = 'leave them in a file: write aevb.data.save(rows, "rows.npy") and aevb.data.load("rows.npy", mapped=True)'


class Source(ABC):
    """Where batches come from; ``steps`` per epoch, ``batch_size`` and ``rows`` are ``None`` where only going through them tells."""

    steps: int | None
    batch_size: int | None
    rows: Rows | None
    notes: tuple[str, ...] = ()

    @abstractmethod
    def iter_epoch(self, epoch: int, skip: int) -> Iterator[Batch]:
        """The batches of an epoch, without the first ``skip``."""

    @abstractmethod
    def first_batch(self) -> Batch:
        """One batch, to look at before the run."""

    def initialisation_batch(self, count: int) -> Batch:
        """Up to ``count`` rows to begin with, where more than one batch can be had."""
        return self.first_batch()

    def device_order(self, epoch: int) -> Tensor | None:
        """The order of an epoch's rows, int64 ``[N]``, where all of them lie on the device; else ``None``."""
        return None

    def batch(self, index: Tensor) -> Batch:
        """The batch of these rows, where rows have numbers."""
        raise NotImplementedError


class MemorySource(Source):
    """Rows on the device, or in a file, shuffled by index with an order that depends on the seed, the epoch and the device alone.

    Batches all have the same size: what is left over at the end of an epoch is dropped, other rows each time.
    """

    rows: Rows
    steps: int
    batch_size: int

    def __init__(
        self, rows: Rows, batch_size: int, seed: int, device: torch.device, dtype: torch.dtype
    ) -> None:
        with explain_out_of_memory(f"moving {len(rows):,} rows to {device}", _IN_FILE):
            self.rows = rows.to(device)
        self.seed, self.device, self.dtype = seed, device, dtype
        self.batch_size = min(batch_size, len(rows))
        if self.batch_size < batch_size:
            self.notes = (
                f"The batch is all {len(rows):,} training rows, fewer than batch_size={batch_size}.",
            )
        self.steps = len(rows) // self.batch_size

    def iter_epoch(self, epoch: int, skip: int) -> Iterator[Batch]:
        order = self.epoch_order(epoch)
        for step in range(skip, self.steps):
            yield self.batch(order[step * self.batch_size : (step + 1) * self.batch_size])

    def epoch_order(self, epoch: int) -> Tensor:
        """The rows in the order in which an epoch goes through them, int64 ``[N]``, where the rows look them up."""
        generator = torch.Generator(self.device).manual_seed(
            (self.seed * 1_000_003 + epoch) % 2**63
        )
        return torch.randperm(len(self.rows), generator=generator, device=self.device).to(
            self.rows.index_device
        )

    def device_order(self, epoch: int) -> Tensor | None:
        return None if self.rows.is_memory_mapped else self.epoch_order(epoch)

    def first_batch(self) -> Batch:
        return self.batch(torch.arange(self.batch_size, device=self.rows.index_device))

    def initialisation_batch(self, count: int) -> Batch:
        return self.batch(self.epoch_order(0)[:count])

    def batch(self, index: Tensor) -> Batch:
        """The batch of these rows, in the numbers of the model."""
        batch = self.rows.batch(index)
        context = None if batch.context is None else batch.context.to(self.dtype)
        return (
            batch
            if batch.x.dtype == self.dtype
            else replace(batch, x=batch.x.to(self.dtype), context=context)
        )


class IterableSource(Source):
    """Any iterable of batches: tensors, arrays, ``Batch``, or tuples whose first item is the data; gone through once per epoch."""

    steps = batch_size = rows = None

    def __init__(self, batches: Iterable[Any], device: torch.device, dtype: torch.dtype) -> None:
        self.batches, self.device, self.dtype = batches, device, dtype
        if iter(batches) is batches:
            self.notes = (
                "The data are an iterator, which can be gone through only once: give a list or a loader for more than one epoch.",
            )
        self.peeked_batches: list[Any] = []

    def iter_epoch(self, epoch: int, skip: int) -> Iterator[Batch]:
        ahead, self.peeked_batches = self.peeked_batches, []
        for number, batch in enumerate(_chain(ahead, self.batches)):
            if number >= skip:
                yield self._to_batch(batch)

    def first_batch(self) -> Batch:
        for batch in self.peeked_batches or self.batches:
            if iter(self.batches) is self.batches:
                self.peeked_batches = [batch]
            return self._to_batch(batch)
        raise DataError("`data` is an iterable without a single batch.")

    def _to_batch(self, batch: Any) -> Batch:
        if isinstance(batch, Batch):
            context = None if batch.context is None else batch.context.to(self.device, self.dtype)
            index = None if batch.index is None else batch.index.to(self.device)
            return replace(
                batch, x=batch.x.to(self.device, self.dtype), context=context, index=index
            )
        x = batch[0] if isinstance(batch, (tuple, list)) else batch
        return Batch(torch.as_tensor(x).to(self.device, self.dtype))


def _chain(first: list[Any], rest: Iterable[Any]) -> Iterator[Any]:
    yield from first
    yield from rest


def check_not_empty(rows: Rows, name: str) -> Rows:
    """The rows, if there are any."""
    if len(rows) == 0:
        raise DataError(f"`{name}` has no rows: give at least one.")
    return rows


def make_source(
    data: Any, batch_size: int, seed: int, device: torch.device, dtype: torch.dtype
) -> Source:
    """The source for whatever was given as ``data``."""
    if batch_size < 1:
        raise ArgumentError(f"`batch_size` is {batch_size}; give at least 1.")
    if isinstance(data, (Dataset, Rows, np.ndarray, Tensor)):
        rows = check_not_empty(
            data.train if isinstance(data, Dataset) else Rows.from_array(data), "data"
        )
        source = MemorySource(rows, batch_size, seed, device, dtype)
        if rows.is_memory_mapped and not isinstance(data, Dataset):  # a data set has said so
            source.notes += ("The rows stay in their file and are read batch by batch.",)
        return source
    if isinstance(data, Iterable):
        return IterableSource(data, device, dtype)
    raise DataError(
        f"`data` is a {type(data).__name__}; give a Dataset, an array, a tensor, or an iterable of batches (`aevb.data.load` reads files)."
    )
