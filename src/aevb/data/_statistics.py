"""One look at all values, a piece at a time: what no piece alone can tell."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ._memory_map import RowValues

CHUNK_ELEMENTS = 1 << 20  # numbers: 8 MiB in float64


@dataclass(frozen=True)
class ValueSummary:
    """Their range, whether all are whole numbers 0 to 255, whether only 0 and 255 occur; how many are not finite, and the first of them."""

    low: float
    high: float
    byte_valued: bool
    black_and_white: bool
    n_nonfinite: int = 0
    first_nonfinite: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Moments:
    """Mean and deviation of each column ``[D]``, float64, and whether all its values are the same."""

    mean: np.ndarray
    deviation: np.ndarray
    constant: np.ndarray


def iter_chunks(values: RowValues, index: np.ndarray | None = None) -> Iterator[np.ndarray]:
    """All rows, or the rows ``index``, in consecutive arrays of bounded size.

    >>> [len(piece) for piece in pieces(np.zeros((500, 4096), np.uint8))]
    [256, 244]
    """
    rows = max(1, CHUNK_ELEMENTS // max(math.prod(values.shape[1:]), 1))
    for start in range(0, len(values) if index is None else len(index), rows):
        where = slice(start, start + rows)
        yield np.asarray(values[where] if index is None else values[index[where]])


def summarise_values(values: RowValues) -> ValueSummary:
    """Look at all values, which must be numbers and at least one.

    >>> look(np.array([[0.0, 255.0]]))
    Seen(low=0.0, high=255.0, whole=True, two=True, broken=0, first=None)
    """
    low, high, whole, two, broken, first, start = math.inf, -math.inf, True, True, 0, None, 0
    for piece in iter_chunks(values):
        bad = _nonfinite_mask(piece)
        if bad is not None and first is None:
            place = np.argwhere(bad)[0]
            first = (start + int(place[0]), *(int(axis) for axis in place[1:]))
        broken += 0 if bad is None else int(bad.sum())
        low, high = min(low, float(piece.min())), max(high, float(piece.max()))
        whole = whole and _is_byte_valued(piece)
        two = two and whole and not ((piece > 0) & (piece < 255)).any()
        start += len(piece)
    return ValueSummary(low, high, whole, two and high == 255, broken, first)


def moments(values: RowValues, index: np.ndarray, by_column: bool) -> Moments:
    """Moments of the rows ``index``: of each column of ``[N, D]``, or of all values together. Chan, Golub and LeVeque (1983)."""
    total, mean, squares, low, high = 0, np.zeros(()), np.zeros(()), np.inf, -np.inf
    for piece in iter_chunks(
        values, np.sort(index)
    ):  # in the order of the file, in which they are read fastest
        table = (piece if by_column else piece.reshape(-1, 1)).astype(np.float64)
        step = table.mean(axis=0) - mean
        grown = total + len(table)
        squares = (
            squares
            + ((table - table.mean(axis=0)) ** 2).sum(axis=0)
            + step**2 * (total * len(table) / grown)
        )
        mean, total = mean + step * (len(table) / grown), grown
        low, high = np.minimum(low, table.min(axis=0)), np.maximum(high, table.max(axis=0))
    return Moments(
        np.atleast_1d(mean), np.atleast_1d(np.sqrt(squares / total)), np.atleast_1d(low == high)
    )


def _nonfinite_mask(chunk: np.ndarray) -> np.ndarray | None:
    """Where numbers are not finite; None where all are."""
    if chunk.dtype.kind != "f":
        return None
    finite = np.isfinite(chunk)
    return None if finite.all() else ~finite


def _is_byte_valued(chunk: np.ndarray) -> bool:
    """Whether all values are whole numbers from 0 to 255; looks at one row first, which settles most cases."""
    if chunk.dtype == np.uint8 or chunk.dtype == bool:
        return True
    in_range = bool(chunk.min() >= 0 and chunk.max() <= 255)
    return in_range and (
        chunk.dtype.kind != "f"
        or all(np.array_equal(part, np.rint(part)) for part in (chunk[:1], chunk))
    )
