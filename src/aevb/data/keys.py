"""Rows told apart by what they hold: copies of a row have one key, and the same rows in any order one fingerprint."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from .rows import Rows, read_stored

PIECE = 4096  # rows read at a time


def row_keys(rows: Rows, stored: bool = True) -> Tensor:
    """One number for each row, int64 ``[N]``: equal for equal rows, and for others by chance once in ``2^64``.

    Of rows as they are ``stored``: what is drawn afresh at each reading would hide a copy. Sets that are stored in different ways are
    compared as they are read.

    >>> row_keys(Rows.of([[1.0, 2.0], [2.0, 1.0], [1.0, 2.0]])).unique().numel()
    2
    """
    places = (slice(start, start + PIECE) for start in range(0, len(rows), PIECE))
    pieces = (_whole((read_stored(rows.stored[place]) if stored else rows[place]).flatten(1).cpu()) for place in places)
    size = math.prod(rows.stored.shape[1:] if stored else rows.event_shape)
    factors = torch.randint(-(2**63), 2**63 - 1, (size,), generator=torch.Generator().manual_seed(0))
    return torch.cat([(piece * factors).sum(1) for piece in pieces])  # modulo 2^64, so in any order of summing


def stored_alike(one: Rows, other: Rows) -> bool:
    """Whether equal rows of the two are stored as equal numbers."""
    return one.stored.dtype == other.stored.dtype and one.stored.shape[1:] == other.stored.shape[1:]


def copies(rows: Rows, known: Rows) -> Tensor:
    """Which of the rows ``[N]`` are among the ``known`` ones, too.

    >>> copies(Rows.of([[1.0], [2.0]]), Rows.of([[2.0], [3.0]]))
    tensor([False,  True])
    """
    alike = stored_alike(rows, known)
    return torch.isin(row_keys(rows, alike), row_keys(known, alike))


def fingerprint(parts: Iterable[Rows]) -> str:
    """A name for all rows of a set, whatever their order and however they are split: ``N`` and a hash, in hexadecimal.

    >>> rows = Rows.of([[1.0], [2.0], [3.0]])
    >>> fingerprint([rows]) == fingerprint([rows.subset([2]), rows.subset([1, 0])])
    True
    """
    keys = [row_keys(rows) for rows in parts if len(rows)]
    total = sum(int(each.sum()) for each in keys) % 2**64  # of equal sums the sums of squares differ
    squares = sum(int((each * each).sum()) for each in keys) % 2**64
    return f"{sum(map(len, keys))}-{total:016x}{squares:016x}"


def _whole(values: Tensor) -> Tensor:
    """The values as int64, equal where they are."""
    return (values.float() + 0.0).view(torch.int32).long() if values.is_floating_point() else values.long()
