"""The axes of arrays: images, series and video in the order of the library, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from torch import Tensor

from ..errors import ArgumentError
from ..notes import Argument, Note, message
from ._formatting import format_list, format_shape
from ._memory_map import MappedRows, RowValues
from ._raw import RawData
from ._reading import LAYOUTS, Layout

Kind = Literal["table", "image", "series", "video"]
CANONICAL: dict[Kind, str] = {"image": "NCHW", "series": "NTC", "video": "NTCHW"}
FEW_CHANNELS = (1, 2, 3, 4)
MIN_IMAGE_SIDE = 8  # pixels; a narrower array is a series
MIN_PHOTO_SIDE = 16  # pixels; numbers on a smaller grid may be points in space


def kind_of(event_shape: Sequence[int], layout: str | None = None) -> Kind:
    """What a row is.

    >>> kind_of((28, 28)), kind_of((50, 3), "NTC"), kind_of((4,))
    ('image', 'series', 'table')
    """
    if layout is not None:
        return "image" if "T" not in layout else "video" if "H" in layout else "series"
    return "image" if len(event_shape) in (2, 3) else "table"


def canonical_layout(layout: str) -> str:
    """The order of the library for the axes of a layout; the channels of video are never left out.

    >>> [canonical_layout(layout) for layout in ("NHW", "NHWC", "NCT", "NTHW")]
    ['NHW', 'NCHW', 'NTC', 'NTCHW']
    """
    return "NHW" if layout == "NHW" else CANONICAL[kind_of((), layout)]


def channel_axis_of(layout: str | None) -> int | None:
    """The axis of channels that are scaled on their own: those of series and video."""
    if layout is None or "T" not in layout:
        return None
    return canonical_layout(layout).index("C")


def infer_layout(shape: Sequence[int], is_pixels: bool) -> Layout | None:
    """The axes of an array, by its shape and whether its values are those of images.

    >>> infer_layout((9, 32, 32, 3), True), infer_layout((9, 50, 6), False)
    ('NHWC', 'NTC')
    >>> infer_layout((9, 3, 128), False), infer_layout((9, 28, 28), False)
    ('NCT', 'NHW')
    """
    if len(shape) == 3:
        return _series_layout(shape[1], shape[2], is_pixels) or "NHW"
    if len(shape) == 4:
        return "NHWC" if _channels_are_last(shape, is_pixels) else "NCHW"
    if len(shape) != 5:
        return None
    if shape[-1] in FEW_CHANNELS and shape[2] not in FEW_CHANNELS:
        return "NTHWC"
    return "NCTHW" if shape[1] in FEW_CHANNELS and shape[2] not in FEW_CHANNELS else "NTCHW"


def _series_layout(first: int, last: int, is_pixels: bool) -> Layout | None:
    """The axes of series: a side too short for an image, or far fewer channels than steps."""
    few, many = sorted((first, last))
    if many < 2 * few or (is_pixels and few >= MIN_IMAGE_SIDE):
        return None
    if last == few:
        return "NTC"
    return "NCT" if few < MIN_IMAGE_SIDE else None


def _channels_are_last(shape: Sequence[int], is_pixels: bool) -> bool:
    """Whether the last axis has the channels of images."""
    few = shape[3] in FEW_CHANNELS and shape[1] not in FEW_CHANNELS
    return few and (is_pixels or min(shape[1:3]) >= MIN_PHOTO_SIDE)


def apply_layout(raw: RawData, layout: str) -> RawData:
    """The data in the order of the library, with a note where axes moved.

    Raises:
        ArgumentError: The array has another number of axes.
    """
    shape = raw.values.shape
    if len(shape) != len(layout):
        fitting = [name for name in LAYOUTS if len(name) == len(shape)]
        raise ArgumentError(
            f"it has {len(layout)} axes, and {raw.origin} has the shape {tuple(shape)}",
            argument="layout",
            value=layout,
            suggestions=(
                message(
                    "Write {first}" if fitting else "Leave it out",
                    first=Argument("layout", format_list(fitting)),
                ),
            ),
        )
    values = to_library_axes(raw.values, layout)
    notes = raw.notes
    if values.shape != shape and len(values.shape) == len(shape):
        text = (
            f"Moved the colour channels to the front: {format_shape(shape[1:])} became "
            f"{format_shape(values.shape[1:])}."
            if kind_of((), layout) == "image"
            else f"Moved the axes {layout} to {canonical_layout(layout)}: "
            f"{format_shape(shape[1:])} became {format_shape(values.shape[1:])}."
        )
        data = {"before": list(shape[1:]), "after": list(values.shape[1:])}
        notes = (*notes, Note("channels_moved", text, data=data))
    return replace(raw, values=values, layout=layout, notes=notes)


def inferred_layout_notes(layout: str) -> tuple[Note, ...]:
    """The note about axes that were taken for time."""
    if "T" not in layout:
        return ()
    other = "NHW" if len(layout) == 3 else "NTHWC" if layout == "NTCHW" else "NTCHW"
    text = message(
        f"By shape and values, the axes are {layout} ({kind_of((), layout)}); {{other}} would be "
        "another choice.",
        other=Argument("layout", other),
    )
    return (Note("layout_inferred", text, data={"layout": layout}),)


def to_library_axes(values: RowValues, layout: str) -> RowValues:
    """Rows in the axes of a layout with their axes in the order of the library."""
    return _move_axes(_with_channels(values, layout), layout)


def _with_channels(values: RowValues, layout: str) -> RowValues:
    """Video without an axis of channels with one."""
    if layout != "NTHW":
        return values
    number, steps, *sides = values.shape
    return values.reshape(number, steps, 1, *sides)


def _move_axes(values: RowValues, layout: str) -> RowValues:
    """Rows with their axes in the order of the library."""
    axes = _permutation(layout)
    if axes == tuple(range(len(axes))):
        return values
    if isinstance(values, MappedRows):
        return values.transpose(axes)
    return np.ascontiguousarray(np.asarray(values).transpose(axes))


def _permutation(layout: str) -> tuple[int, ...]:
    """The place in an array of each axis in the order of the library."""
    complete = "NTCHW" if layout == "NTHW" else layout
    return tuple(complete.index(axis) for axis in canonical_layout(layout))


def to_layout(x: Tensor, layout: str | None) -> Tensor:
    """Events ``[N, *event]`` in the order of the library with the axes of a layout."""
    if layout is None:
        return x
    axes = _permutation(layout)
    moved = x.permute(*(axes.index(place) for place in range(len(axes)))).contiguous()
    return moved.squeeze(2) if layout == "NTHW" else moved


def source_shape(event_shape: Sequence[int], layout: str | None) -> tuple[int, ...]:
    """The shape of a row in the axes of a layout.

    >>> source_shape((3, 32, 30), "NHWC"), source_shape((8, 1, 5, 6), "NTHW")
    ((32, 30, 3), (8, 5, 6))
    """
    if layout is None:
        return tuple(event_shape)
    axes = _permutation(layout)[1:]
    sides = tuple(event_shape[axes.index(place)] for place in range(1, len(axes) + 1))
    return (sides[0], *sides[2:]) if layout == "NTHW" else sides
