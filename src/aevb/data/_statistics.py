"""Range and moments of all values, computed in chunks of bounded size."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from .._offset import Offset
from ._memory_map import RowValues
from ._sparse_rows import SparseRows

CHUNK_ELEMENTS = 1 << 20  # 8 MiB in float64
FLOAT32 = np.dtype(np.float32)
MIN_RANGE_SHARE = 1 / 8  # of the largest value: a narrower range loses more than 3 bits in float32
MIN_DISTINGUISHABLE_VALUES = 1 << 20


@dataclass(frozen=True)
class ValueSummary:
    """The range of all values, and what kind of numbers they are.

    Args:
        low: The least value.
        high: The greatest value.
        byte_valued: Whether all values are whole numbers from 0 to 255.
        black_and_white: Whether only 0 and 255 occur.
        n_nonfinite: The number of values that are NaN or infinite.
        first_nonfinite: The index of the first of these.
        dtype: The dtype in which the values were read.
        offset: What the values need as offset to keep their digits in float32.
    """

    low: float
    high: float
    byte_valued: bool
    black_and_white: bool
    n_nonfinite: int = 0
    first_nonfinite: tuple[int, ...] | None = None
    dtype: np.dtype = FLOAT32
    offset: Offset | None = None


@dataclass(frozen=True)
class Moments:
    """Mean, standard deviation and range of each column, float64 ``[D]``."""

    mean: np.ndarray
    deviation: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @property
    def constant(self) -> np.ndarray:
        """Which columns are constant, booleans ``[D]``."""
        return self.low == self.high


def iter_chunks(values: RowValues, index: np.ndarray | None = None) -> Iterator[np.ndarray]:
    """Iterate over all rows, or the rows ``index``, in arrays of at most ``CHUNK_ELEMENTS``.

    >>> [len(chunk) for chunk in iter_chunks(np.zeros((500, 4096), np.uint8))]
    [256, 244]
    """
    for part in _iter_parts(values, index):
        yield np.asarray(part)


def _iter_parts(values: RowValues, index: np.ndarray | None) -> Iterator[RowValues]:
    """Iterate over rows as they are stored."""
    rows = max(1, CHUNK_ELEMENTS // max(math.prod(values.shape[1:]), 1))
    for start in range(0, len(values) if index is None else len(index), rows):
        where = slice(start, start + rows)
        yield values[where] if index is None else values[index[where]]


def stored_numbers(values: RowValues) -> RowValues:
    """Rows of all values, or of a sparse matrix ``[cells, 1]`` of those that are stored.

    >>> stored_numbers(np.array([[0, 7]]))
    array([[0, 7]])
    """
    return values.data[:, None] if isinstance(values, SparseRows) else values


def row_totals(values: RowValues) -> np.ndarray:
    """The sum of each row, float64 ``[N]``.

    >>> row_totals(np.array([[0, 7], [1, 2]]))
    array([7., 3.])
    """
    if isinstance(values, SparseRows):
        return np.bincount(values.row_numbers, values.data, len(values))
    sums = [chunk.reshape(len(chunk), -1).sum(1, dtype=np.float64) for chunk in iter_chunks(values)]
    return np.concatenate(sums)


def summarise_values(values: RowValues) -> ValueSummary:
    """Summarise all values; there must be at least one.

    >>> summary = summarise_values(np.array([[0.0, 255.0]]))
    >>> summary.low, summary.high, summary.byte_valued, summary.black_and_white
    (0.0, 255.0, True, True)
    """
    if isinstance(values, SparseRows):
        return _summarise_sparse(values)
    low, high, byte_valued, two_values = np.array(np.inf), np.array(-np.inf), True, True
    n_nonfinite, first, start = 0, None, 0
    for chunk in iter_chunks(values):
        nonfinite = _nonfinite_mask(chunk)
        if nonfinite is not None and first is None:
            index = np.argwhere(nonfinite)[0]
            first = (start + int(index[0]), *(int(axis) for axis in index[1:]))
        n_nonfinite += 0 if nonfinite is None else int(nonfinite.sum())
        part = chunk if chunk.ndim == 2 else chunk.reshape(-1, 1)
        least, most = (np.minimum, np.maximum) if nonfinite is None else (np.fmin, np.fmax)
        low, high = least(low, least.reduce(part)), most(high, most.reduce(part))
        byte_valued = byte_valued and nonfinite is None and _is_byte_valued(chunk)
        two_values = two_values and byte_valued and not ((chunk > 0) & (chunk < 255)).any()
        start += len(chunk)
    least, most = float(low.min()), float(high.max())
    return ValueSummary(
        least,
        most,
        byte_valued,
        two_values and most == 255,
        n_nonfinite,
        first,
        values.dtype,
        None if first or byte_valued else _offset(values, low, high),
    )


def _summarise_sparse(values: SparseRows) -> ValueSummary:
    """Summarise the cells of a sparse matrix, whose other cells are 0."""
    if not len(values.data):
        return ValueSummary(0.0, 0.0, True, False, dtype=values.dtype)
    summary, first = summarise_values(stored_numbers(values)), None
    if summary.first_nonfinite is not None:
        cell = summary.first_nonfinite[0]
        row = int(np.searchsorted(values.indptr, cell, "right")) - 1
        first = (row, int(values.indices[cell]))
    zero = len(values.data) < math.prod(values.shape)
    return replace(
        summary,
        low=min(summary.low, 0.0) if zero else summary.low,
        high=max(summary.high, 0.0) if zero else summary.high,
        first_nonfinite=first,
        offset=None if first or summary.byte_valued else _offset_of_full_columns(values),
    )


def _offset_of_full_columns(values: SparseRows) -> Offset | None:
    """The offset of a sparse matrix: a column with a cell that is 0 needs none."""
    full = np.bincount(values.indices, minlength=values.n_columns) == len(values)
    if not full.any():
        return None
    columns = summarise_values(values.data[full[values.indices]].reshape(len(values), -1))
    if columns.offset is None:
        return None
    offset = np.zeros(values.n_columns)
    offset[full] = columns.offset
    return tuple(offset.tolist())


def constant_elements(values: RowValues, index: np.ndarray) -> np.ndarray:
    """The constant elements of the rows ``index``, flattened ``[D]``, NaN for all others.

    >>> constant_elements(np.array([[1.0, 2.0], [1.0, 3.0]]), np.arange(2))
    array([ 1., nan])
    """
    if isinstance(values, SparseRows):
        found = moments(values, index, by_column=True)
        return np.where(found.constant, found.low, np.nan)
    first: np.ndarray | None = None
    constant = np.ones((), bool)
    for chunk in iter_chunks(values, np.sort(index)):
        rows = chunk.reshape(len(chunk), -1)
        first = rows[0] if first is None else first
        constant = constant & (rows == first).all(axis=0)
        if not constant.any():
            break
    assert first is not None
    return np.where(constant, first.astype(np.float64), np.nan)


def count_distinguishable(low: np.ndarray, high: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The number of values of a dtype between two values, in the spacing of the larger one.

    >>> count_distinguishable(np.array([1.7e9]), np.array([1.7e9 + 128]), np.dtype(np.float32))
    array([1.])
    """
    float_type = dtype if dtype.kind == "f" else np.dtype(np.float64)
    largest = np.maximum(np.abs(low), np.abs(high)).astype(float_type)
    return (high - low) / np.spacing(largest).astype(np.float64)


def _offset(values: RowValues, low: np.ndarray, high: np.ndarray) -> Offset | None:
    """The middle of the columns whose digits float32 would lose, 0 for others; None without any."""
    low, high = low.astype(np.float64), high.astype(np.float64)
    narrow = high - low < MIN_RANGE_SHARE * np.maximum(np.abs(low), np.abs(high))
    if not narrow.any() or np.can_cast(values.dtype, np.float32):
        return None
    inexact = np.zeros_like(narrow)
    for chunk in iter_chunks(values):
        table = chunk if chunk.ndim == 2 else chunk.reshape(-1, 1)
        with np.errstate(over="ignore"):
            inexact |= (table.astype(np.float32) != table).any(axis=0)
    lossy = narrow & inexact
    middle = np.where(lossy, (low + high) / 2, 0.0)
    return tuple(middle.tolist()) if lossy.any() else None


def moments(
    values: RowValues, index: np.ndarray, by_column: bool, channel_axis: int | None = None
) -> Moments:
    """Moments of the rows ``index``: of each column of ``[N, D]``, or of all values together.

    With ``channel_axis``, of each channel; cells that are NaN do not count. The moments of chunks
    are merged (Chan, Golub and LeVeque 1983).
    """
    total, mean, squares, low, high = 0, np.zeros(()), np.zeros(()), np.inf, -np.inf
    for part in _iter_parts(values, np.sort(index)):  # the order of the file is read fastest
        if isinstance(part, SparseRows):
            found = _sparse_sums(part, by_column)
        else:
            table = as_table(np.asarray(part), by_column, channel_axis).astype(np.float64)
            if not len(table):
                continue
            found = _sums(table)
        step = found.mean - mean
        grown = total + found.rows
        squares = squares + found.squares + step**2 * (total * found.rows / grown)
        mean, total = mean + step * (found.rows / grown), grown
        low, high = np.minimum(low, found.low), np.maximum(high, found.high)
    return Moments(*(np.atleast_1d(each) for each in (mean, np.sqrt(squares / total), low, high)))


class _Sums(NamedTuple):
    """The number of rows of a part, and the statistics of its columns ``[D]``."""

    rows: int
    mean: np.ndarray
    squares: np.ndarray
    low: np.ndarray
    high: np.ndarray


def _sums(table: np.ndarray) -> _Sums:
    """The statistics of the columns of a table."""
    mean = table.mean(axis=0)
    squares = ((table - mean) ** 2).sum(axis=0)
    return _Sums(len(table), mean, squares, table.min(axis=0), table.max(axis=0))


def _sparse_sums(rows: SparseRows, by_column: bool) -> _Sums:
    """The statistics of the columns, or of all values, from the cells that are stored."""
    size = rows.n_columns if by_column else 1
    columns = rows.indices if by_column else np.zeros(len(rows.indices), np.intp)
    count = len(rows) if by_column else math.prod(rows.shape)
    x, filled = rows.data.astype(np.float64), np.bincount(columns, minlength=size)
    mean = np.bincount(columns, x, size) / count
    squares = np.bincount(columns, (x - mean[columns]) ** 2, size) + (count - filled) * mean**2
    low, high = (np.where(filled < count, 0.0, end) for end in (np.inf, -np.inf))
    np.minimum.at(low, columns, x)
    np.maximum.at(high, columns, x)
    return _Sums(count, mean, squares, low, high)


def as_table(chunk: np.ndarray, by_column: bool, channel_axis: int | None) -> np.ndarray:
    """The values ``[N, columns]``: of columns, of channels without missing steps, or all in one."""
    if channel_axis is None:
        return chunk if by_column else chunk.reshape(-1, 1)
    table = np.moveaxis(chunk, channel_axis, -1).reshape(-1, chunk.shape[channel_axis])
    return table[~np.isnan(table).any(axis=1)]


def _nonfinite_mask(chunk: np.ndarray) -> np.ndarray | None:
    """Which numbers are not finite; ``None`` where all are finite."""
    if chunk.dtype.kind != "f":
        return None
    finite = np.isfinite(chunk)
    return None if finite.all() else ~finite


def _is_byte_valued(chunk: np.ndarray) -> bool:
    """Whether all values are whole numbers from 0 to 255; the first row decides most cases."""
    if chunk.dtype == np.uint8 or chunk.dtype == bool:
        return True
    in_range = bool(chunk.min() >= 0 and chunk.max() <= 255)
    return in_range and (
        chunk.dtype.kind != "f"
        or all(np.array_equal(part, np.rint(part)) for part in (chunk[:1], chunk))
    )
