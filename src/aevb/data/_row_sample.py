"""A sample of the rows of a stream, the same for any division of the stream into blocks."""

from __future__ import annotations

from typing import Generic, Protocol, Self, TypeVar

import numpy as np


class Block(Protocol):
    """Rows that are selected by their numbers."""

    def __len__(self) -> int:
        """The number of rows."""
        ...

    def __getitem__(self, index: np.ndarray) -> Self:
        """The rows ``index``."""
        ...


T = TypeVar("T", bound=Block)
_GOLDEN, _MIX_1, _MIX_2 = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def row_ranks(start: int, count: int, seed: int) -> np.ndarray:
    """A number for each row of a stream, uint64 ``[count]``: the smallest ones are a sample.

    These are the outputs of SplitMix64 (Steele, Lea and Flood 2014) with the row number as its
    counter: one to one, so that no two rows have the same rank.

    Args:
        start: The number of the first row.
        count: How many rows.
        seed: Another seed gives another sample.

    >>> bool(np.array_equal(row_ranks(0, 5, 7)[3:], row_ranks(3, 2, 7)))
    True
    """
    counter = np.arange(start, start + count, dtype=np.uint64) + np.uint64(seed % 2**32 << 32)
    x = (counter + np.uint64(1)) * np.uint64(_GOLDEN)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(_MIX_1)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(_MIX_2)
    return x ^ (x >> np.uint64(31))


class RowSample(Generic[T]):
    """The rows of a stream with the smallest ranks, in the memory of twice as many.

    Args:
        size: The number of rows to keep.
        seed: The seed of the ranks.

    Example:
        >>> sample = RowSample[np.ndarray](2, seed=0)
        >>> for start in (0, 50):
        ...     sample.add(np.arange(start, start + 50))
        >>> sample.rows_seen, len(np.concatenate(sample.blocks()))
        (100, 2)
    """

    def __init__(self, size: int, seed: int) -> None:
        self.size, self.seed, self.rows_seen = size, seed, 0
        self._kept: list[tuple[np.ndarray, np.ndarray, T]] = []  # ranks, row numbers, rows
        self._limit = np.uint64(2**64 - 1)

    def add(self, block: T) -> None:
        """Read the next rows of the stream."""
        ranks = row_ranks(self.rows_seen, len(block), self.seed)
        self._keep(ranks, np.arange(self.rows_seen, self.rows_seen + len(block)), block)
        self.rows_seen += len(block)
        if sum(len(each[0]) for each in self._kept) > 2 * self.size:
            self._prune()

    def _keep(self, ranks: np.ndarray, numbers: np.ndarray, block: T) -> None:
        places = np.flatnonzero(ranks <= self._limit)
        if len(places):
            self._kept.append((ranks[places], numbers[places], block[places]))

    def _prune(self) -> None:
        """Drop the rows beyond ``size``."""
        kept, self._kept = self._kept, []
        ranks = np.concatenate([each[0] for each in kept])
        if len(ranks) > self.size:
            self._limit = np.partition(ranks, self.size - 1)[self.size - 1]
        for each in kept:
            self._keep(*each)

    def blocks(self) -> list[T]:
        """The sampled rows, in the order of the stream."""
        self._prune()
        return [each[2] for each in self._kept]

    def ranks(self) -> np.ndarray:
        """The ranks of the rows of ``blocks``, uint64."""
        self._prune()
        return np.concatenate([each[0] for each in self._kept])
