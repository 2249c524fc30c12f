"""Series of several lengths: the steps after the end of a row are NaN."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import DataError
from ..notes import Note
from ._formatting import format_count
from ._layout import infer_layout, kind_of
from ._memory_map import RowValues
from ._raw import RawData
from ._statistics import iter_chunks


def count_steps(values: RowValues, layout: str | None) -> np.ndarray | None:
    """The number of steps of each row ``[N]``; ``None`` where NaN is anywhere but after the end.

    >>> x = np.zeros((2, 9, 1))
    >>> x[1, 4:] = np.nan
    >>> count_steps(x, None).tolist()
    [9, 4]
    """
    layout = layout or infer_layout(values.shape, is_pixels=False)
    if layout is None or kind_of((), layout) not in ("series", "video"):
        return None
    axis = layout.index("T")
    counts = []
    for chunk in iter_chunks(values):
        steps = np.moveaxis(chunk, axis, 1).reshape(len(chunk), values.shape[axis], -1)
        absent = np.asarray(np.isnan(steps).all(axis=2))
        ends = (np.maximum.accumulate(absent, axis=1) == absent).all() and not absent[:, 0].any()
        if not ends or not (np.isfinite(steps) | absent[..., None]).all():
            return None
        counts.append((~absent).sum(axis=1))
    return np.concatenate(counts)


def with_lengths(raw: RawData, lengths: Any, layout: str | None) -> RawData:
    """The data with NaN after the end of each row.

    Raises:
        DataError: The rows are no series, or there is not one length from 1 to all steps per row.
    """
    steps = np.asarray(lengths)
    layout = layout or raw.layout or infer_layout(raw.values.shape, is_pixels=False)
    if layout is None or "T" not in layout:
        raise _lengths_error(
            f"{raw.origin} has rows of shape {raw.event_shape}, which are no series"
        )
    total = raw.values.shape[layout.index("T")]
    if steps.shape != (len(raw.values),) or steps.dtype.kind not in "iu":
        raise _lengths_error(
            f"lengths have the shape {steps.shape} and the dtype {steps.dtype}, and {raw.origin} "
            f"has {format_count(len(raw.values), 'row')}"
        )
    if steps.min() < 1 or steps.max() > total:
        raise _lengths_error(
            f"lengths are {steps.min()} to {steps.max()}, and rows have 1 to {total} steps"
        )
    values = np.moveaxis(np.array(raw.values, np.float64), layout.index("T"), 1)
    values[np.arange(total) >= steps[:, None]] = np.nan
    return replace(raw, values=np.moveaxis(values, 1, layout.index("T")))


def padding_note(steps: np.ndarray) -> Note:
    """The range of lengths."""
    shortest, longest = int(steps.min()), int(steps.max())
    text = f"Sequences have {shortest:,} to {longest:,} steps; NaN after the end is not scored."
    return Note("padded", text, data={"shortest": shortest, "longest": longest})


def _lengths_error(reason: str) -> DataError:
    """The error for lengths that do not fit the data."""
    return DataError(reason, argument="lengths", suggestions=("Give one number of steps per row",))
