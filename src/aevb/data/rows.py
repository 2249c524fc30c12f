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
from ..networks.condition import Condition
from ..types import Batch
from .mapped import Mapped, obstacle, wanted
from .told import Told, told_as
from .transforms import Cast, Decode

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

    stored: Tensor | Mapped
    decode: Decode = field(default_factory=Cast)
    labels: Tensor | None = None
    told: Told | None = None

    def __post_init__(self) -> None:
        """Refuse labels, and what is told, where they do not belong to the rows."""
        if self.told is not None and len(self.told) != len(self.stored):
            raise ArgumentError(f"told has {len(self.told)} rows, but there are {len(self.stored)}: give one for each.")
        if self.labels is not None and self.labels.shape != self.stored.shape[:1]:
            got = tuple(self.labels.shape)
            raise ArgumentError(f"labels have the shape {got}, but there are {len(self.stored)} rows: give one class number per row.")

    @classmethod
    def of(cls, values: Any, labels: Any = None) -> Rows:
        """Rows of an array, tensor or list ``[N, *event]``; ``Rows`` are returned as they are.

        Bytes and booleans stay bytes, every other number becomes float32. Large memory-mapped arrays stay in their file.
        Raises ``DataError`` for what is not rows of numbers.

        >>> Rows.of([[0.5], [1.5]]).tensor()
        tensor([[0.5000],
                [1.5000]])
        """
        if isinstance(values, Rows):
            return values
        return cls(_mapped(values) or _stored(_tensor(values)), Cast(), None if labels is None else _tensor(labels).long())

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The shape of one decoded row."""
        return self.decode.event(tuple(self.stored.shape[1:]))

    @property
    def in_file(self) -> bool:
        """Whether the rows stay in a file and are read batch by batch."""
        return isinstance(self.stored, Mapped)

    @property
    def bytes(self) -> bool:
        """Whether the values are stored as bytes or bits: whole numbers 0 to 255, however they are decoded."""
        return self.stored.dtype in (torch.uint8, np.uint8)

    @property
    def home(self) -> torch.device:
        """Where row numbers are looked up: the device of resident rows, the CPU for rows in a file."""
        return torch.device("cpu") if self.in_file else self.stored.device

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.stored)

    def __getitem__(self, index: Index) -> Tensor:
        """Decoded rows, float32 ``[B, *event]``; one row ``[*event]`` for an integer."""
        if isinstance(index, int | np.integer):
            return self[_one(operator.index(index), len(self))][0]
        return self.decode(read_stored(self.stored[_indexer(index, self.home)]))

    def batch(self, index: Tensor) -> Batch:
        """The batch of the rows ``index``, int64 ``[B]``."""
        index = index.to(self.home)
        there = index.to(self.stored.device)
        context = None if self.told is None else self.told.rows(there).context
        return Batch(self.decode(self.stored.index_select(0, index)), context, there, len(self))

    @property
    def context(self) -> Tensor | None:
        """What a model is told of all rows, float32 ``[N, C]``; None where it is told nothing."""
        return None if self.told is None else self.told.context

    def with_label(self, condition: Condition | None, label: Any) -> Rows:
        """These rows, told to a model as ``label``: a value for all, a list of one for each, or a dict of these by name.

        Raises ``ArgumentError`` for a class that was never seen, and where the model is told nothing (``condition`` is None).

        >>> from aevb.networks import Condition, Labels
        >>> Rows.of([[0.5], [1.5]]).with_label(Condition([Labels("digit", range(3))]), ["2", "0"]).context
        tensor([[0., 0., 1.],
                [1., 0., 0.]])
        """
        if condition is None:
            raise ArgumentError(f"label={label!r}: the model is told nothing of its data. Leave it out.")
        return replace(self, told=told_as(condition, label, len(self)).to(self.stored.device))

    def subset(self, index: Index) -> Rows:
        """The rows ``index`` as rows, still stored as they were."""
        where = _indexer(index, self.home)
        labels, told = None if self.labels is None else self.labels[where], None if self.told is None else self.told.rows(where)
        return replace(self, stored=self.stored[where], labels=labels, told=told)

    def ordered(self) -> Rows:
        """The rows alone, without what belongs to them, in the order in which a pass over all is fastest: that of their file."""
        return replace(self, stored=self.stored.ordered() if isinstance(self.stored, Mapped) else self.stored, labels=None, told=None)

    def to(self, device: torch.device | str) -> Rows:
        """These rows on another device."""
        labels, told = None if self.labels is None else self.labels.to(device), None if self.told is None else self.told.to(device)
        return replace(self, stored=self.stored.to(device), labels=labels, told=told)

    def tensor(self) -> Tensor:
        """All rows decoded, float32 ``[N, *event]``."""
        return self.decode(read_stored(self.stored))


def read_stored(stored: Tensor | Mapped) -> Tensor:
    """Stored rows as a tensor ``[N, *row]`` on their device, read from the file where they lie in one."""
    return stored.tensor() if isinstance(stored, Mapped) else stored


def _one(index: int, total: int) -> slice:
    """The slice that holds one row alone. Raises ``IndexError`` where there is no such row, which also ends a loop over the rows."""
    if not -total <= index < total:
        raise IndexError(f"row {index} of {total}")
    return slice(index % total, index % total + 1)


def _mapped(values: Any) -> Mapped | None:
    """Rows that stay in their file, None where they cannot, or are better read."""
    if not isinstance(values, np.memmap) or not wanted(None, values.nbytes) or obstacle(values) or values.dtype.kind not in "biuf":
        return None
    return replace(Mapped.of(values), dtype=np.dtype(np.uint8 if values.dtype.kind == "b" or values.dtype == np.uint8 else np.float32))


def _indexer(index: Index, device: torch.device) -> slice | Tensor:
    if isinstance(index, slice):
        return index
    where = torch.as_tensor(index, device=device)
    return where if where.dtype == torch.bool else where.reshape(-1).long()


def _tensor(values: Any) -> Tensor:
    if isinstance(values, np.ndarray) and not values.flags.writeable:
        values = values.copy()  # a tensor cannot share memory that must not be written
    try:
        return torch.as_tensor(values).detach()
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(f"rows must be an array, tensor or list of numbers, got {type(values).__name__}: {error}") from error


def _stored(values: Tensor) -> Tensor:
    if values.ndim < 2:
        shape = tuple(values.shape)
        raise DataError(f"rows must have the shape [N, *event], got {shape}: write x.reshape(-1, 1), or x[None] for one row.")
    if values.is_complex():
        raise DataError(f"rows hold complex numbers ({values.dtype}): write torch.view_as_real(x) or x.abs().")
    return values.to(torch.uint8 if values.dtype in (torch.bool, torch.uint8) else torch.float32)
