"""Images side by side."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ArgumentError
from .canvas import DPI, array, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH = 960  # pixels of a picture, at most: pixels of images are enlarged by a whole number up to it
HIGH = 0.25  # cycles per pixel, half of what a grid of pixels can hold

Limits = tuple[float, float]


def images(x: Any, columns: int = 10, *, limits: Limits | None = None, ax: Axes | None = None) -> Axes:
    """A grid of images, row by row.

    ``x`` is ``[N, H, W]`` or ``[N, C, H, W]``; three channels are red, green and blue. ``limits`` are the values that become black and
    white, the smallest and largest of ``x`` by default.

    >>> import torch
    >>> images(torch.rand(10, 8, 8), columns=5).get_images()[0].get_array().shape
    (17, 44, 4)
    """
    return show(tiles(x, min(columns, max(len(x), 1)), limits), ax)


def high_frequency_ratio(originals: Any, reconstructions: Any) -> float:
    """How much of the fine detail is left: mean energy above a quarter cycle per pixel, of the reconstructions by that of the originals.

    ``sum |F(f)|^2`` over ``|f| > 1/4``, ``F`` the Fourier transform of an image ``[..., H, W]``; 1 is as sharp as the originals, below is
    fuzzier. NaN where the originals have no such detail.

    >>> import torch
    >>> x = torch.rand(4, 8, 8)
    >>> round(high_frequency_ratio(x, x), 4), round(high_frequency_ratio(x, x / 2), 4)
    (1.0, 0.25)
    """
    whole = _high_energy(array(originals))
    return _high_energy(array(reconstructions)) / whole if whole > 0 else math.nan


def tiles(x: Any, columns: int, limits: Limits | None = None) -> np.ndarray:
    """Images ``[N, (C,) H, W]`` in rows of ``columns`` as one picture ``[height, width, 4]``, with gaps that are transparent."""
    x = array(x)
    if columns < 1:
        raise ArgumentError(f"`columns` is {columns}; put at least 1 image in a row.")
    colours = _colours(x, limits)
    count, height, width, _ = colours.shape
    gap, rows = gap_of(width), math.ceil(count / columns)
    sheet = np.zeros((rows * (height + gap) - gap, columns * (width + gap) - gap, 4))
    for i, image in enumerate(colours):
        top, left = (i // columns) * (height + gap), (i % columns) * (width + gap)
        sheet[top : top + height, left : left + width] = image
    return sheet


def gap_of(width: int) -> int:
    """Pixels between images of this width."""
    return max(1, round(width / 14))


def above(*sheets: np.ndarray, gap: int) -> np.ndarray:
    """Pictures of one width below each other, ``gap`` transparent rows between them."""
    space = np.zeros((gap, sheets[0].shape[1], 4))
    return np.concatenate([part for sheet in sheets for part in (space, sheet)][1:], axis=0)


def beside(*sheets: np.ndarray, gap: int) -> np.ndarray:
    """Pictures of one height beside each other."""
    return above(*[sheet.swapaxes(0, 1) for sheet in sheets], gap=gap).swapaxes(0, 1)


def limits_of(x: Any) -> Limits:
    """The smallest and the largest value, as black and white."""
    x = array(x)
    x = x[np.isfinite(x)]
    return (float(x.min()), float(x.max())) if x.size else (0.0, 1.0)


def show(sheet: np.ndarray, ax: Axes | None) -> Axes:
    """A picture ``[height, width, 4]`` on axes; on a figure of its own every pixel is enlarged by the same whole number."""
    if ax is None:
        height, width = sheet.shape[:2]
        zoom = max(1, WIDTH // width) if width <= WIDTH else WIDTH / width
        ax = figure(width * zoom / DPI, height * zoom / DPI).add_axes((0, 0, 1, 1))
    ax.imshow(sheet, interpolation="nearest" if sheet.shape[1] <= WIDTH else "antialiased")
    ax.set_axis_off()
    return ax


def _colours(x: np.ndarray, limits: Limits | None) -> np.ndarray:
    """Red, green, blue and opacity ``[N, H, W, 4]`` between 0 and 1."""
    if x.ndim not in (3, 4):
        raise ArgumentError(f"images have the shape [N, H, W] or [N, C, H, W], got {x.shape}: for one image write x[None].")
    low, high = limits or limits_of(x)
    grey = x[:, None] if x.ndim == 3 else x
    colour = grey[:, :3] if grey.shape[1] >= 3 else grey[:, :1].repeat(3, axis=1)
    shown = np.clip((np.nan_to_num(colour, nan=low) - low) / (high - low if high > low else 1.0), 0, 1)
    return np.concatenate([shown, np.ones_like(shown[:, :1])], axis=1).transpose(0, 2, 3, 1)


def _high_energy(x: np.ndarray) -> float:
    rows, columns = np.fft.fftfreq(x.shape[-2]), np.fft.fftfreq(x.shape[-1])
    high = np.hypot(rows[:, None], columns[None, :]) > HIGH
    return float((np.abs(np.fft.fft2(x)) ** 2)[..., high].sum(-1).mean())
