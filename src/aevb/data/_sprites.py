"""Images of shapes with known factors (shape, scale, rotation, position), drawn by the library.

The data set is a full grid, so that factors are independent and uniform. Each image belongs to one
combination of factors: rotations are below a quarter turn, so that no shape is rotated onto itself.
Similar to dSprites (Matthey et al. 2017), which is larger and contains rotations onto itself.

>>> from aevb.data import load
>>> data = load("sprites")
>>> sprite_factors(data.test)[0].tolist(), FACTOR_NAMES
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
from ._formatting import format_count, format_list, suggest_nearest
from ._rows import Rows

SPRITE_SIDE = 32  # pixels
SPRITE_SHAPES = ("ellipse", "heart", "square")
SPRITE_RADII = (4.5, 5.5, 6.5, 7.5)  # pixels
SPRITE_ANGLES = tuple(math.pi / 2 * step / 8 for step in range(8))  # radians
SPRITE_POSITIONS = tuple(8.5 + 2 * step for step in range(8))  # pixels
FACTOR_NAMES = ("shape", "scale", "rotation", "x", "y")
FACTOR_VALUES = (SPRITE_SHAPES, SPRITE_RADII, SPRITE_ANGLES, SPRITE_POSITIONS, SPRITE_POSITIONS)
FACTOR_SIZES = tuple(len(values) for values in FACTOR_VALUES)


def sprite_factors(rows: Any) -> Tensor:
    """The factors of sprites ``[N, 32, 32]`` in any order.

    Returns:
        Positions among ``FACTOR_VALUES``, int64 ``[N, 5]``, in the order of ``FACTOR_NAMES``.

    Raises:
        DataError: A row is not a sprite.
    """
    images = Rows.from_array(rows)
    if images.event_shape != (SPRITE_SIDE, SPRITE_SIDE):
        raise DataError(
            f"`rows` has events of shape {images.event_shape}, and sprites are "
            f"{SPRITE_SIDE} x {SPRITE_SIDE}",
            argument="rows",
            suggestions=('Write aevb.data.load("sprites")',),
        )
    known = _row_of_image()
    places = [known.get(key) for key in _image_keys(images.tensor().cpu().numpy())]
    unknown = [row for row, place in enumerate(places) if place is None]
    if unknown:
        raise DataError(
            f"{format_count(len(unknown), 'row')} of `rows`, the first of them row {unknown[0]}, "
            "are not sprites of the library",
            argument="rows",
        )
    return torch.from_numpy(factor_combinations())[
        torch.tensor([place for place in places if place is not None])
    ]


def factor_combinations() -> np.ndarray:
    """All combinations of factors, int64 ``[6144, 5]``; the last factor varies fastest."""
    return np.stack([axis.reshape(-1) for axis in np.indices(FACTOR_SIZES, np.int64)], 1)


@cache
def sprite_images() -> np.ndarray:
    """All sprites in the order of ``factor_combinations``, uint8 ``[6144, 32, 32]``, 0 or 1."""
    images = [
        [_draw_sprite(shape, radius, angle, x, y) for y in SPRITE_POSITIONS]
        for shape in SPRITE_SHAPES
        for radius in SPRITE_RADII
        for angle in SPRITE_ANGLES
        for x in SPRITE_POSITIONS
    ]
    return np.array(images, np.uint8).reshape(-1, SPRITE_SIDE, SPRITE_SIDE)


def sprite_labels(factor: str) -> np.ndarray:
    """One factor of all sprites as labels.

    Raises:
        ArgumentError: There is no factor of this name.
    """
    if factor not in FACTOR_NAMES:
        raise ArgumentError(
            f'the data set "sprites" has the labels {format_list(FACTOR_NAMES)}',
            argument="labels",
            value=factor,
            suggestions=suggest_nearest(factor, FACTOR_NAMES, "labels"),
        )
    column = factor_combinations()[:, FACTOR_NAMES.index(factor)]
    return np.array(SPRITE_SHAPES)[column] if factor == "shape" else column


def _draw_sprite(shape: str, radius: float, angle: float, x: float, y: float) -> np.ndarray:
    """A shape at ``(x, y)`` from the upper left, rotated anticlockwise; booleans ``[32, 32]``."""
    down, right = np.indices((SPRITE_SIDE, SPRITE_SIDE))
    across, up = (right - x) / radius, (y - down) / radius
    return _SHAPE_TESTS[shape](
        across * math.cos(angle) + up * math.sin(angle),
        up * math.cos(angle) - across * math.sin(angle),
    )


def _heart(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Which points are inside of a heart."""
    u, v = 1.15 * u, 1.15 * v + 0.1
    return (u**2 + v**2 - 1) ** 3 <= u**2 * v**3


_SHAPE_TESTS = {
    "ellipse": lambda u, v: u**2 + (2 * v) ** 2 <= 1,
    "heart": _heart,
    "square": lambda u, v: np.maximum(np.abs(u), np.abs(v)) <= 0.75,
}


def _image_keys(images: np.ndarray) -> list[bytes]:
    """The pixels of each image as bits."""
    return [row.tobytes() for row in np.packbits(images.reshape(len(images), -1) > 0.5, axis=1)]


@cache
def _row_of_image() -> dict[bytes, int]:
    """The row number of each image, by its pixels."""
    return {key: place for place, key in enumerate(_image_keys(sprite_images()))}
