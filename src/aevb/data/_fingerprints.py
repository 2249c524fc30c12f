"""Duplicates: equal rows have one hash, and the same rows in any order one fingerprint."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from ._rows import Rows, load_stored_values
from ._sparse_rows import SparseRows

HASH_CHUNK_ROWS, HASH_CHUNK_ELEMENTS = 4096, 1 << 22


def row_hashes(rows: Rows, as_stored: bool = True) -> Tensor:
    """One hash per row, int64 ``[N]``: equal for equal rows, and for others with probability 2^-64.

    Stored values are hashed by default, because values that are drawn at each reading would hide a
    duplicate; ``as_stored=False`` hashes decoded rows, to compare sets that are stored differently.

    >>> row_hashes(Rows.from_array([[1.0, 2.0], [2.0, 1.0], [1.0, 2.0]])).unique().numel()
    2
    """
    stored = rows.stored_values
    size = math.prod(stored.shape[1:] if as_stored else rows.event_shape)
    factors = torch.randint(
        -(2**63), 2**63 - 1, (size,), generator=torch.Generator().manual_seed(0)
    )
    if isinstance(stored, SparseRows) and as_stored:
        return _sparse_hashes(stored, factors)
    step = max(1, min(HASH_CHUNK_ROWS, HASH_CHUNK_ELEMENTS // size))
    chunks = (slice(start, start + step) for start in range(0, len(rows), step))
    values = (load_stored_values(stored[chunk]) if as_stored else rows[chunk] for chunk in chunks)
    # sums modulo 2^64 do not depend on the order of summation
    return torch.cat([(_to_int64(part.flatten(1).cpu()) * factors).sum(1) for part in values])


def _sparse_hashes(rows: SparseRows, factors: Tensor) -> Tensor:
    """The hash of each row from its cells, because those that are 0 add nothing to the sum."""
    cells = _to_int64(torch.from_numpy(rows.data)) * factors[torch.from_numpy(rows.indices).long()]
    sums = torch.cat([cells.new_zeros(1), cells.cumsum(0)])  # modulo 2^64, as are differences
    indptr = torch.from_numpy(rows.indptr)
    return sums[indptr[1:]] - sums[indptr[:-1]]


def same_storage(first: Rows, second: Rows) -> bool:
    """Whether equal rows of the two are stored as equal numbers."""
    return (
        first.is_stored_as_bytes == second.is_stored_as_bytes
        and first.stored_values.shape[1:] == second.stored_values.shape[1:]
    )


def find_duplicates(rows: Rows, reference: Rows) -> Tensor:
    """Which rows are also in ``reference``, booleans ``[N]``.

    >>> find_duplicates(Rows.from_array([[1.0], [2.0]]), Rows.from_array([[2.0], [3.0]]))
    tensor([False,  True])
    """
    as_stored = same_storage(rows, reference)
    return torch.isin(row_hashes(rows, as_stored), row_hashes(reference, as_stored))


def fingerprint(parts: Iterable[Rows]) -> str:
    """A text that identifies all rows in any order and split: ``N`` and a hexadecimal hash.

    >>> rows = Rows.from_array([[1.0], [2.0], [3.0]])
    >>> fingerprint([rows]) == fingerprint([rows.subset([2]), rows.subset([1, 0])])
    True
    """
    hashes = [row_hashes(rows) for rows in parts if len(rows)]
    # where two sets have equal sums, their sums of squares differ
    total = sum(int(part.sum()) for part in hashes) % 2**64
    squares = sum(int((part * part).sum()) for part in hashes) % 2**64
    return f"{sum(map(len, hashes))}-{total:016x}{squares:016x}"


def _to_int64(values: Tensor) -> Tensor:
    """Numbers as int64, equal where the values are equal."""
    return (
        (values.float() + 0.0).view(torch.int32).long()
        if values.is_floating_point()
        else values.long()
    )
