"""Rows told apart by what they hold: copies of a row have one key, and the same rows in any order one fingerprint."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from ._rows import Rows, load_stored_values

HASH_CHUNK_ROWS = 4096  # rows read at a time


def row_hashes(rows: Rows, as_stored: bool = True) -> Tensor:
    """One number for each row, int64 ``[N]``: equal for equal rows, and for others by chance once in ``2^64``.

    Of rows as they are ``stored``: what is drawn afresh at each reading would hide a copy. Sets that are stored in different ways are
    compared as they are read.

    >>> row_hashes(Rows.of([[1.0, 2.0], [2.0, 1.0], [1.0, 2.0]])).unique().numel()
    2
    """
    places = (
        slice(start, start + HASH_CHUNK_ROWS) for start in range(0, len(rows), HASH_CHUNK_ROWS)
    )
    pieces = (
        _to_int64(
            (load_stored_values(rows.stored_values[place]) if as_stored else rows[place])
            .flatten(1)
            .cpu()
        )
        for place in places
    )
    size = math.prod(rows.stored_values.shape[1:] if as_stored else rows.event_shape)
    factors = torch.randint(
        -(2**63), 2**63 - 1, (size,), generator=torch.Generator().manual_seed(0)
    )
    return torch.cat(
        [(piece * factors).sum(1) for piece in pieces]
    )  # modulo 2^64, so in any order of summing


def same_storage(first: Rows, second: Rows) -> bool:
    """Whether equal rows of the two are stored as equal numbers."""
    return (
        first.stored_values.dtype == second.stored_values.dtype
        and first.stored_values.shape[1:] == second.stored_values.shape[1:]
    )


def find_duplicates(rows: Rows, reference: Rows) -> Tensor:
    """Which of the rows ``[N]`` are among the ``known`` ones, too.

    >>> copies(Rows.of([[1.0], [2.0]]), Rows.of([[2.0], [3.0]]))
    tensor([False,  True])
    """
    alike = same_storage(rows, reference)
    return torch.isin(row_hashes(rows, alike), row_hashes(reference, alike))


def fingerprint(parts: Iterable[Rows]) -> str:
    """A name for all rows of a set, whatever their order and however they are split: ``N`` and a hash, in hexadecimal.

    >>> rows = Rows.of([[1.0], [2.0], [3.0]])
    >>> fingerprint([rows]) == fingerprint([rows.subset([2]), rows.subset([1, 0])])
    True
    """
    keys = [row_hashes(rows) for rows in parts if len(rows)]
    total = (
        sum(int(each.sum()) for each in keys) % 2**64
    )  # of equal sums the sums of squares differ
    squares = sum(int((each * each).sum()) for each in keys) % 2**64
    return f"{sum(map(len, keys))}-{total:016x}{squares:016x}"


def _to_int64(values: Tensor) -> Tensor:
    """The values as int64, equal where they are."""
    return (
        (values.float() + 0.0).view(torch.int32).long()
        if values.is_floating_point()
        else values.long()
    )
