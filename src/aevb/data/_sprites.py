"""A set whose factors are known: every picture of a shape, by its kind, size, rotation and place, drawn by the library itself.

The set is a full grid, so factors are independent and uniform. Each picture belongs to one combination alone: rotations stay below a
quarter turn, so that no shape comes back to itself. In the manner of dSprites (Matthey et al. 2017), which is larger and has no such care.

>>> from aevb.data import load
>>> data = load("sprites")
>>> factors(data.test)[0].tolist(), FACTORS
([1, 2, 3, 3, 5], ('shape', 'scale', 'rotation', 'x', 'y'))
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import ArgumentError, DataError
from ._formatting import did_you_mean, format_count, format_list
from ._rows import Rows

SPRITE_SIDE = 32  # pixels
SPRITE_SHAPES = ("ellipse", "heart", "square")
SPRITE_RADII = (4.5, 5.5, 6.5, 7.5)  # pixels
SPRITE_ANGLES = tuple(math.pi / 2 * step / 8 for step in range(8))  # radians
SPRITE_POSITIONS = tuple(8.5 + 2 * step for step in range(8))  # pixels
FACTOR_NAMES = ("shape", "scale", "rotation", "x", "y")
FACTOR_VALUES = (
    SPRITE_SHAPES,
    SPRITE_RADII,
    SPRITE_ANGLES,
    SPRITE_POSITIONS,
    SPRITE_POSITIONS,
)  # of each factor
FACTOR_SIZES = tuple(len(values) for values in FACTOR_VALUES)


def sprite_factors(rows: Any) -> Tensor:
    """The factors of sprites ``[N, 32, 32]``, as places among their values: int64 ``[N, 5]``, in the order of ``FACTORS``.

    Rows may be in any order, and some of them missing. Raises ``DataError`` for a row that is no sprite.
    """
    given = Rows.from_array(rows)
    if given.event_shape != (SPRITE_SIDE, SPRITE_SIDE):
        raise DataError(
            f'`rows` has events of shape {given.event_shape}, and sprites are {SPRITE_SIDE} x {SPRITE_SIDE}; write aevb.data.load("sprites").'
        )
    known = _row_of_image()
    found = [known.get(key) for key in _image_keys(given.tensor().cpu().numpy())]
    strangers = [row for row, place in enumerate(found) if place is None]
    if strangers:
        raise DataError(
            f"{format_count(len(strangers), 'row')} of `rows`, the first of them row {strangers[0]}, are none of the library's sprites."
        )
    return torch.from_numpy(factor_combinations())[
        torch.tensor([place for place in found if place is not None])
    ]


def factor_combinations() -> np.ndarray:
    """All factors, int64 ``[6144, 5]``: the last one moves fastest."""
    return np.stack([axis.reshape(-1) for axis in np.indices(FACTOR_SIZES, np.int64)], 1)


@cache
def sprite_images() -> np.ndarray:
    """All sprites in the order of ``combinations``, uint8 ``[6144, 32, 32]``: 1 inside of the shape, 0 outside."""
    stamps = [
        [_draw_sprite(shape, radius, angle, x, y) for y in SPRITE_POSITIONS]
        for shape in SPRITE_SHAPES
        for radius in SPRITE_RADII
        for angle in SPRITE_ANGLES
        for x in SPRITE_POSITIONS
    ]
    return np.array(stamps, np.uint8).reshape(-1, SPRITE_SIDE, SPRITE_SIDE)


def sprite_labels(factor: str) -> np.ndarray:
    """One factor of all sprites as labels. Raises ``ArgumentError`` for the name of none."""
    if factor not in FACTOR_NAMES:
        raise ArgumentError(
            f'labels="{factor}": the set "sprites" has labels {format_list(FACTOR_NAMES)}.{did_you_mean(factor, FACTOR_NAMES)}'
        )
    column = factor_combinations()[:, FACTOR_NAMES.index(factor)]
    return np.array(SPRITE_SHAPES)[column] if factor == "shape" else column


def _draw_sprite(shape: str, radius: float, angle: float, x: float, y: float) -> np.ndarray:
    """One picture: the shape around a place ``(x, y)`` from the upper left, turned against the clock; booleans ``[32, 32]``."""
    down, right = np.indices((SPRITE_SIDE, SPRITE_SIDE))
    across, up = (right - x) / radius, (y - down) / radius
    return _SHAPE_TESTS[shape](
        across * math.cos(angle) + up * math.sin(angle),
        up * math.cos(angle) - across * math.sin(angle),
    )


def _heart(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    u, v = 1.15 * u, 1.15 * v + 0.1
    return (u**2 + v**2 - 1) ** 3 <= u**2 * v**3


_SHAPE_TESTS = {
    "ellipse": lambda u, v: u**2 + (2 * v) ** 2 <= 1,
    "heart": _heart,
    "square": lambda u, v: np.maximum(np.abs(u), np.abs(v)) <= 0.75,
}


def _image_keys(images: np.ndarray) -> list[bytes]:
    """What tells one picture from another."""
    return [row.tobytes() for row in np.packbits(images.reshape(len(images), -1) > 0.5, axis=1)]


@cache
def _row_of_image() -> dict[bytes, int]:
    return {key: place for place, key in enumerate(_image_keys(sprite_images()))}
