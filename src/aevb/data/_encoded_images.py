"""Columns of encoded images: bytes of PNG, JPEG ... files, alone or with their path."""

from __future__ import annotations

import json
from collections.abc import Mapping
from io import BytesIO
from typing import Any

import numpy as np

from .._memory import available_memory
from ._compression import check_size
from ._formatting import source_error
from ._images import DecodedImage, decode_file
from ._reading import Reading

SIGNATURES = (b"\x89PNG\r\n", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"II*\x00", b"MM\x00*")
METADATA_KEY = "huggingface"


def holds_images(series: Any) -> bool:
    """Whether the first cell of a narwhals series is an encoded image.

    The cells are bytes, or records with the field ``bytes`` and mostly ``path``.
    """
    if not (series.dtype.is_nested() or str(series.dtype) in ("Binary", "Object")):
        return False
    cells = series.drop_nulls().head(1).to_list()
    if not cells:
        return False
    if isinstance(cells[0], Mapping):
        return set(cells[0]) in ({"bytes"}, {"bytes", "path"})
    return isinstance(cells[0], bytes) and cells[0].startswith(SIGNATURES)


def decode_column(
    series: Any, name: str, origin: str, reading: Reading
) -> tuple[list[DecodedImage], np.ndarray]:
    """The images of a column, and the row of each.

    Raises:
        DataError: A cell has no image, or it cannot be decoded.
    """
    images: list[DecodedImage] = []
    rows: list[int] = []
    size, memory = 0, available_memory()
    for row, cell in enumerate(series.to_list()):
        place = f"{name}, row {row + 1:,}"
        content = cell.get("bytes") if isinstance(cell, Mapping) else cell
        if not content:
            raise source_error(
                f"{origin} has no image in {place}",
                "Write the images into the file, or drop the row",
            )
        decoded = decode_file(BytesIO(content), place, reading)
        size += sum(image.pixels.nbytes for image in decoded)
        check_size(size, origin, reading.allow_large, memory)
        images += decoded
        rows += [row] * len(decoded)
    return images, np.array(rows)


def recorded_class_names(metadata: Mapping[str, str], column: str) -> tuple[str, ...] | None:
    """The names of the classes 0, 1 ... of a column, as the library ``datasets`` records them."""
    try:
        features = json.loads(metadata[METADATA_KEY])["info"]["features"]
        names = features[column]["names"]
    except (KeyError, TypeError, ValueError):
        return None
    return tuple(map(str, names)) if isinstance(names, list) else None


def name_classes(labels: np.ndarray, names: tuple[str, ...] | None) -> np.ndarray:
    """Class numbers as names; -1 is a missing label.

    >>> name_classes(np.array([1, -1]), ("cat", "dog")).tolist()
    ['dog', None]
    """
    if names is None or labels.dtype.kind not in "iu" or labels.max(initial=-1) >= len(names):
        return labels
    return np.array([names[label] if label >= 0 else None for label in labels], dtype=object)
