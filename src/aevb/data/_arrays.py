"""Arrays of numbers in the stored form of rows: bytes or float32, channels first, all finite."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor

from .._offset import Offset
from ..errors import DataError
from ._formatting import format_count, source_error
from ._layout import apply_layout, infer_layout, inferred_layout_notes
from ._memory_map import MappedRows, RowValues, should_map, unmappable_reason
from ._padding import count_steps, padding_note
from ._raw import RawData, ReadOptions
from ._statistics import ValueSummary, summarise_values


def from_array(source: Any, options: ReadOptions) -> RawData:
    """Read a NumPy array, a tensor or nested lists."""
    origin = "the tensor" if isinstance(source, Tensor) else "the array"
    options.check_unsupported(origin, "key", "labels")
    if isinstance(source, np.memmap) and should_map(options.memory_map, source.nbytes):
        return from_memmap("array", origin, source, options)
    return RawData("array", origin, to_numpy(source, origin))


def from_memmap(name: str, origin: str, array: np.memmap, options: ReadOptions) -> RawData:
    """Rows of an array that stay in its file, or a copy where they cannot.

    Raises:
        DataError: The rows cannot stay in the file, and ``memory_map`` is ``True``.
    """
    reason = unmappable_reason(array)
    if reason is None:
        return RawData(name, origin, MappedRows.from_memmap(array))
    if options.memory_map:
        raise DataError(
            f"{origin} cannot be read in place, because {reason}", argument="memory_map", value=True
        )
    return RawData(name, origin, np.array(array))


def to_numpy(source: Any, origin: str) -> np.ndarray:
    """The values as a NumPy array.

    Raises:
        DataError: The source is a masked array, or its rows have different lengths.
    """
    if isinstance(source, Tensor):
        dense = source.detach().to_dense().cpu()
        return (
            dense.float() if dense.is_floating_point() and dense.itemsize < 4 else dense
        ).numpy()
    if isinstance(source, np.ma.MaskedArray):
        raise source_error(
            f"{origin} is masked, and the values of masked cells would be read",
            "Write x[~x.mask.any(axis=1)].data",
        )
    try:
        return np.asarray(source)
    except ValueError as error:
        raise source_error(
            f"{origin} has rows of different lengths", "Give one shape to all rows"
        ) from error


def to_canonical(
    raw: RawData, layout: str | None = None, known_offset: Offset | None = None
) -> RawData:
    """Convert data to bytes (whole numbers 0 to 255) or float32, images with channels first.

    Args:
        raw: The data as read.
        layout: The axes of the values; by default as inferred.
        known_offset: What is subtracted from the values in float64.

    Numbers whose digits float32 would lose are stored without ``known_offset``, or without an
    offset of their own.

    Raises:
        DataError: The values are not numbers, are not finite, are no rows, or there are none.
        ArgumentError: The values have other axes than ``layout``.

    >>> to_canonical(RawData("x", "the array", np.array([[0.0, 7.0]]))).values
    array([[0, 7]], dtype=uint8)
    """
    if raw.packed_shape:
        return raw
    _check_dtype(raw)
    _check_shape(raw)
    summary = summarise_values(raw.values)
    if summary.first_nonfinite is not None:
        raw = _mark_padding(raw, summary, layout or raw.layout)
    if known_offset is not None and len(known_offset) in (1, *raw.event_shape[-1:]):
        summary = replace(summary, byte_valued=False, offset=known_offset)
    dtype = None if raw.columns else raw.dtype or raw.values.dtype
    return _arrange(replace(_narrow_dtype(raw, summary), dtype=dtype), layout or raw.layout)


def _check_dtype(raw: RawData) -> None:
    """Refuse values that are not numbers."""
    if raw.values.dtype.kind in "biuf":
        return
    what = {"O": "Python objects", "c": "complex numbers", "U": "text", "S": "text"}.get(
        raw.values.dtype.kind, str(raw.values.dtype)
    )
    raise source_error(
        f"{raw.origin} holds {what} (dtype {raw.values.dtype}), and rows must be numbers",
        "Write np.abs(x), or stack x.real and x.imag"
        if raw.values.dtype.kind == "c"
        else "Write x.astype(np.float32)",
    )


def _check_shape(raw: RawData) -> None:
    """Refuse arrays without rows or values."""
    shape = raw.values.shape
    if len(shape) < 2:
        raise source_error(
            f"{raw.origin} has the shape {shape}, and rows need [N, *event]",
            "Write x.reshape(-1, 1) for one number per row",
        )
    if 0 in shape:
        raise source_error(
            f"{raw.origin} has the shape {shape}, which holds no values",
            "Give at least one row with at least one value",
        )


def _mark_padding(raw: RawData, summary: ValueSummary, layout: str | None) -> RawData:
    """Series whose NaN are all after the end of a row, marked as padded; other data are refused."""
    steps = None if raw.columns else count_steps(raw.values, layout)
    if steps is None:
        _check_finite(raw, summary)
        return raw
    return replace(raw, padded=True, notes=(*raw.notes, padding_note(steps)))


def _check_finite(raw: RawData, summary: ValueSummary) -> None:
    """Refuse NaN and infinity."""
    index = summary.first_nonfinite
    if index is None:
        return
    value = np.asarray(raw.values[index[0] : index[0] + 1])[(0, *index[1:])]
    raise source_error(
        f"{raw.origin} holds {format_count(summary.n_nonfinite, 'NaN or infinite cell')}, the "
        f"first in row {index[0]}, {_describe_position(index[1:], raw.columns)} (counted from 0), "
        f"value {value}",
        "Drop those rows, x = x[np.isfinite(x).reshape(len(x), -1).all(axis=1)], or fill the cells",
    )


def _describe_position(index: Sequence[int], columns: tuple[str, ...] | None) -> str:
    """The position of a value in its row."""
    if columns:
        return f'column "{columns[index[0]]}"'
    return f"column {index[0]}" if len(index) == 1 else f"position {tuple(index)}"


def _narrow_dtype(raw: RawData, summary: ValueSummary) -> RawData:
    """The values as bytes or float32."""
    if max(-summary.low, summary.high) > float(np.finfo(np.float32).max):
        raise source_error(
            f"{raw.origin} holds values beyond 3.4e38, the range of 32-bit numbers",
            "Divide the data by a constant",
        )
    dtype = np.dtype(np.uint8 if summary.byte_valued else np.float32)
    low, high = (float(dtype.type(value)) for value in (summary.low, summary.high))
    return replace(
        raw,
        values=_astype(raw.values, dtype, summary.offset),
        summary=replace(summary, low=low, high=high),
        offset=summary.offset,
    )


def _astype(values: RowValues, dtype: np.dtype, offset: Offset | None) -> RowValues:
    """The values in this dtype, without an offset that is subtracted in float64."""
    if isinstance(values, MappedRows):
        return replace(values, dtype=dtype, offset=offset)
    if offset is None:
        return values.astype(dtype, copy=False)
    return (np.asarray(values) - np.array(offset, np.float64)).astype(dtype)


def _arrange(raw: RawData, layout: str | None) -> RawData:
    """Images, series and video with their axes in the order of the library."""
    if layout is not None:
        return apply_layout(raw, layout)
    inferred = None if raw.columns else infer_layout(raw.values.shape, _has_pixels(raw))
    if inferred is None:
        return raw
    arranged = apply_layout(raw, inferred)
    return replace(arranged, notes=(*arranged.notes, *inferred_layout_notes(inferred)))


def _has_pixels(raw: RawData) -> bool:
    """Whether values are of 8 or 16 bits, or in [0, 1] or [-1, 1]; others may be measurements."""
    summary = raw.summary
    return (
        raw.values.dtype == np.uint8
        or raw.dtype == np.uint16
        or (summary is not None and summary.low >= -1 and summary.high <= 1)
    )
