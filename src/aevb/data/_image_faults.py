"""Faults of image sets that are visible when they are read: equal images, constant channels."""

from __future__ import annotations

import numpy as np

from ..notes import Note
from ._formatting import format_count, format_list
from ._raw import RawData
from ._statistics import iter_chunks


def find_image_faults(raw: RawData) -> tuple[Note, ...]:
    """Warn where all images are equal, or all values of a channel are.

    Reading ends as soon as neither can be true any more.
    """
    if raw.packed_shape or len(raw.values) < 2:
        return ()
    first = np.asarray(raw.values[:1])
    channels = first.shape[1] if first.ndim == 4 else 1
    start = first.reshape(channels, -1)[:, :1]
    equal, constant = True, np.full(channels, True)
    for chunk in iter_chunks(raw.values):
        equal = equal and bool((chunk == first).all())
        constant &= (chunk.reshape(len(chunk), channels, -1) == start).all((0, 2))
        if not equal and not constant.any():
            return ()
    notes = []
    if equal:
        text = f"All {format_count(len(raw.values), 'image')} are equal: there is nothing to learn."
        notes.append(Note("images_equal", text, "warning", {"images": len(raw.values)}))
    if constant.any() and channels > 1:
        values = {int(i): float(start[i, 0]) for i in np.flatnonzero(constant)}
        listed = format_list(f"{channel} ({value:g})" for channel, value in values.items())
        text = f"Channels (counted from 0) with one value in all images: {listed}."
        notes.append(Note("constant_channels", text, "warning", {"channels": values}))
    return tuple(notes)
