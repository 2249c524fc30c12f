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
from .rows import Rows
from .words import count, listing, nearest

SIDE = 32  # pixels
SHAPES = ("ellipse", "heart", "square")
RADII = (4.5, 5.5, 6.5, 7.5)  # pixels
ANGLES = tuple(math.pi / 2 * step / 8 for step in range(8))  # radians
PLACES = tuple(8.5 + 2 * step for step in range(8))  # pixels
FACTORS = ("shape", "scale", "rotation", "x", "y")
VALUES = (SHAPES, RADII, ANGLES, PLACES, PLACES)  # of each factor
SIZES = tuple(len(values) for values in VALUES)


def factors(rows: Any) -> Tensor:
    """The factors of sprites ``[N, 32, 32]``, as places among their values: int64 ``[N, 5]``, in the order of ``FACTORS``.

    Rows may be in any order, and some of them missing. Raises ``DataError`` for a row that is no sprite.
    """
    given = Rows.of(rows)
    if given.event_shape != (SIDE, SIDE):
        raise DataError(
            f'`rows` has events of shape {given.event_shape}, and sprites are {SIDE} x {SIDE}; write aevb.data.load("sprites").'
        )
    known = _places()
    found = [known.get(key) for key in _keys(given.tensor().cpu().numpy())]
    strangers = [row for row, place in enumerate(found) if place is None]
    if strangers:
        raise DataError(
            f"{count(len(strangers), 'row')} of `rows`, the first of them row {strangers[0]}, are none of the library's sprites."
        )
    return torch.from_numpy(combinations())[torch.tensor([place for place in found if place is not None])]


def combinations() -> np.ndarray:
    """All factors, int64 ``[6144, 5]``: the last one moves fastest."""
    return np.stack([axis.reshape(-1) for axis in np.indices(SIZES, np.int64)], 1)


@cache
def pictures() -> np.ndarray:
    """All sprites in the order of ``combinations``, uint8 ``[6144, 32, 32]``: 1 inside of the shape, 0 outside."""
    stamps = [
        [_draw(shape, radius, angle, x, y) for y in PLACES] for shape in SHAPES for radius in RADII for angle in ANGLES for x in PLACES
    ]
    return np.array(stamps, np.uint8).reshape(-1, SIDE, SIDE)


def named(kind: str) -> np.ndarray:
    """One factor of all sprites as labels. Raises ``ArgumentError`` for the name of none."""
    if kind not in FACTORS:
        raise ArgumentError(f'labels="{kind}": the set "sprites" has labels {listing(FACTORS)}.{nearest(kind, FACTORS)}')
    column = combinations()[:, FACTORS.index(kind)]
    return np.array(SHAPES)[column] if kind == "shape" else column


def _draw(shape: str, radius: float, angle: float, x: float, y: float) -> np.ndarray:
    """One picture: the shape around a place ``(x, y)`` from the upper left, turned against the clock; booleans ``[32, 32]``."""
    down, right = np.indices((SIDE, SIDE))
    across, up = (right - x) / radius, (y - down) / radius
    return _INSIDE[shape](across * math.cos(angle) + up * math.sin(angle), up * math.cos(angle) - across * math.sin(angle))


def _heart(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    u, v = 1.15 * u, 1.15 * v + 0.1
    return (u**2 + v**2 - 1) ** 3 <= u**2 * v**3


_INSIDE = {
    "ellipse": lambda u, v: u**2 + (2 * v) ** 2 <= 1,
    "heart": _heart,
    "square": lambda u, v: np.maximum(np.abs(u), np.abs(v)) <= 0.75,
}


def _keys(images: np.ndarray) -> list[bytes]:
    """What tells one picture from another."""
    return [row.tobytes() for row in np.packbits(images.reshape(len(images), -1) > 0.5, axis=1)]


@cache
def _places() -> dict[bytes, int]:
    return {key: place for place, key in enumerate(_keys(pictures()))}
