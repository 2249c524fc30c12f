"""From any array of numbers to the form that rows are stored in: bytes or float32, channels first, nothing missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor

from ..errors import DataError
from ._formatting import format_count, format_shape
from ._memory_map import MappedRows, RowValues, should_map, unmappable_reason
from ._raw import RawData, ReadOptions
from ._statistics import ValueSummary, summarise_values

IMAGE_CHANNEL_COUNTS = (1, 3, 4)


def from_array(source: Any, options: ReadOptions) -> RawData:
    """A NumPy array, a tensor or nested lists as read."""
    origin = "the tensor" if isinstance(source, Tensor) else "the array"
    options.check_unsupported(origin, "key", "labels")
    if isinstance(source, np.memmap) and should_map(options.memory_map, source.nbytes):
        return from_memmap("array", origin, source, options)
    return RawData("array", origin, to_numpy(source, origin))


def from_memmap(name: str, origin: str, array: np.memmap, options: ReadOptions) -> RawData:
    """An array that stays in its file, or a copy where it cannot. Raises ``DataError`` where that was asked for and cannot be."""
    reason = unmappable_reason(array)
    if reason is None:
        return RawData(name, origin, MappedRows.from_memmap(array))
    if options.memory_map:
        raise DataError(f"mapped=True: {origin} cannot be read in place, because {reason}.")
    return RawData(name, origin, np.array(array))


def to_numpy(source: Any, origin: str) -> np.ndarray:
    """The values as a NumPy array. Raises ``DataError`` for ragged lists and masked arrays."""
    if isinstance(source, Tensor):
        dense = source.detach().to_dense().cpu()
        return (
            dense.float() if dense.is_floating_point() and dense.itemsize < 4 else dense
        ).numpy()
    if isinstance(source, np.ma.MaskedArray):
        raise DataError(
            f"{origin} is masked, and masked cells would be read as if they were there: write x[~x.mask.any(axis=1)].data."
        )
    try:
        return np.asarray(source)
    except ValueError as error:
        raise DataError(
            f"{origin} has rows of different lengths: give one shape to all rows."
        ) from error


def to_canonical(raw: RawData) -> RawData:
    """The same data as bytes (whole numbers 0 to 255) or float32, colour images with channels first.

    Raises ``DataError`` for what is not numbers, for the wrong number of axes, for no rows, for NaN and infinity.

    >>> canonical(RawData("x", "the array", np.array([[0.0, 7.0]]))).values
    array([[0, 7]], dtype=uint8)
    """
    if raw.packed_shape:
        return raw
    _check_dtype(raw)
    _check_shape(raw)
    seen = summarise_values(raw.values)
    _check_finite(raw, seen)
    return _channels_first(_narrow_dtype(raw, seen))


def _check_dtype(raw: RawData) -> None:
    if raw.values.dtype.kind in "biuf":
        return
    what = {"O": "Python objects", "c": "complex numbers", "U": "text", "S": "text"}.get(
        raw.values.dtype.kind, str(raw.values.dtype)
    )
    hint = (
        "write np.abs(x), or stack x.real and x.imag"
        if raw.values.dtype.kind == "c"
        else "write x.astype(np.float32)"
    )
    raise DataError(
        f"{raw.origin} holds {what} (dtype {raw.values.dtype}), and rows must be numbers: {hint}."
    )


def _check_shape(raw: RawData) -> None:
    shape = raw.values.shape
    if len(shape) < 2:
        raise DataError(
            f"{raw.origin} has the shape {shape}, and rows need [N, *event]: write x.reshape(-1, 1) for one number per row."
        )
    if 0 in shape:
        raise DataError(
            f"{raw.origin} has the shape {shape}, which holds no values: give at least one row with at least one value."
        )


def _check_finite(raw: RawData, summary: ValueSummary) -> None:
    where = summary.first_nonfinite
    if where is None:
        return
    value = np.asarray(raw.values[where[0] : where[0] + 1])[(0, *where[1:])]
    raise DataError(
        f"{raw.origin} holds {format_count(summary.n_nonfinite, 'NaN or infinite cell')}, the first in row {where[0]}, "
        f"{_describe_position(where[1:], raw.columns)} (counted from 0), value {value}: drop those rows, "
        "x = x[np.isfinite(x).reshape(len(x), -1).all(axis=1)], or fill the cells."
    )


def _describe_position(index: Sequence[int], columns: tuple[str, ...] | None) -> str:
    if columns:
        return f'column "{columns[index[0]]}"'
    return f"column {index[0]}" if len(index) == 1 else f"position {tuple(index)}"


def _narrow_dtype(raw: RawData, summary: ValueSummary) -> RawData:
    if max(-summary.low, summary.high) > float(np.finfo(np.float32).max):
        raise DataError(
            f"{raw.origin} holds values beyond 3.4e38, the end of 32-bit numbers: divide the data by a constant."
        )
    kind = np.dtype(np.uint8 if summary.byte_valued else np.float32)
    low, high = (float(kind.type(value)) for value in (summary.low, summary.high))
    return replace(
        raw,
        values=raw.values.astype(kind, copy=False),
        summary=replace(summary, low=low, high=high),
    )


def _channels_first(raw: RawData) -> RawData:
    shape = raw.values.shape
    if (
        len(shape) != 4
        or shape[-1] not in IMAGE_CHANNEL_COUNTS
        or shape[1] in IMAGE_CHANNEL_COUNTS
        or not _is_image_like(raw)
    ):
        return raw
    moved = _move_channels_first(raw.values)
    note = f"Moved the colour channels to the front: {format_shape(shape[1:])} became {format_shape(moved.shape[1:])}."
    return replace(raw, values=moved, notes=(*raw.notes, note))


def _move_channels_first(values: RowValues) -> RowValues:
    if isinstance(values, MappedRows):
        return replace(values, channels_last=True)
    return np.ascontiguousarray(np.moveaxis(values, -1, 1))


def _is_image_like(raw: RawData) -> bool:
    """Bytes or values in [0, 1] are pictures; other numbers with a last axis of 3 may be points in space and stay as they are."""
    seen = raw.summary
    return raw.values.dtype == np.uint8 or (seen is not None and seen.low >= 0 and seen.high <= 1)
