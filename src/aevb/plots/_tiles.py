"""Images in a grid."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ArgumentError
from ._canvas import DPI, new_figure, to_array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_IMAGE_WIDTH = 960
"""Largest width of a picture in pixels; smaller ones are enlarged by a whole number up to it."""

HIGH_FREQUENCY = 0.25
"""High frequencies begin here, in cycles per pixel: at half of the Nyquist frequency."""

ValueLimits = tuple[float, float]


def images(
    x: Any, n_columns: int = 10, *, limits: ValueLimits | None = None, ax: Axes | None = None
) -> Axes:
    """A grid of images, row by row.

    Args:
        x: Images ``[N, H, W]`` or ``[N, C, H, W]``; three channels are red, green and blue.
        n_columns: Images per row.
        limits: The values that are black and white; by default the range of ``x``.
        ax: Axes to draw into; a new figure by default.

    Returns:
        The axes.

    Raises:
        ArgumentError: ``x`` is not a batch of images, or ``n_columns`` is less than 1.

    Example:
        >>> import torch
        >>> images(torch.rand(10, 8, 8), n_columns=5).get_images()[0].get_array().shape
        (17, 44, 4)
    """
    return show_image(tile_images(x, min(n_columns, max(len(x), 1)), limits), ax)


def high_frequency_ratio(originals: Any, reconstructions: Any) -> float:
    """The energy at high frequencies of reconstructions over that of the originals.

    The energy is the mean over images of ``sum |F(f)|^2`` over ``|f| > 1/4`` cycle per pixel, with
    the Fourier transform ``F``. Reconstructions are as sharp as the originals at 1 and blurrier
    below 1.

    Args:
        originals: Images ``[..., H, W]``.
        reconstructions: Images ``[..., H, W]``.

    Returns:
        The ratio; NaN if the originals have no energy at high frequencies.

    Example:
        >>> import torch
        >>> x = torch.rand(4, 8, 8)
        >>> round(high_frequency_ratio(x, x), 4), round(high_frequency_ratio(x, x / 2), 4)
        (1.0, 0.25)
    """
    original_energy = _high_frequency_energy(to_array(originals))
    return (
        _high_frequency_energy(to_array(reconstructions)) / original_energy
        if original_energy > 0
        else math.nan
    )


def tile_images(x: Any, n_columns: int, limits: ValueLimits | None = None) -> np.ndarray:
    """Images in rows of ``n_columns`` as a picture ``[height, width, 4]``, gaps transparent."""
    x = to_array(x)
    if n_columns < 1:
        raise ArgumentError("it must be at least 1", argument="n_columns", value=n_columns)
    colours = _to_rgba(x, limits)
    count, height, width, _ = colours.shape
    gap, rows = gap_width(width), math.ceil(count / n_columns)
    sheet = np.zeros((rows * (height + gap) - gap, n_columns * (width + gap) - gap, 4))
    for i, image in enumerate(colours):
        top, left = (i // n_columns) * (height + gap), (i % n_columns) * (width + gap)
        sheet[top : top + height, left : left + width] = image
    return sheet


def gap_width(width: int) -> int:
    """Pixels between images of this width."""
    return max(1, round(width / 14))


def stack_vertically(*sheets: np.ndarray, gap: int) -> np.ndarray:
    """Pictures of one width below each other, ``gap`` transparent rows between them."""
    space = np.zeros((gap, sheets[0].shape[1], 4))
    return np.concatenate([part for sheet in sheets for part in (space, sheet)][1:], axis=0)


def stack_horizontally(*sheets: np.ndarray, gap: int) -> np.ndarray:
    """Pictures of one height side by side."""
    return stack_vertically(*[sheet.swapaxes(0, 1) for sheet in sheets], gap=gap).swapaxes(0, 1)


def value_limits(x: Any) -> ValueLimits:
    """The smallest and the largest finite value."""
    x = to_array(x)
    x = x[np.isfinite(x)]
    return (float(x.min()), float(x.max())) if x.size else (0.0, 1.0)


def show_image(sheet: np.ndarray, ax: Axes | None) -> Axes:
    """A picture ``[height, width, 4]`` on axes; a new figure enlarges pixels by a whole number."""
    if ax is None:
        height, width = sheet.shape[:2]
        zoom = (
            max(1, MAX_IMAGE_WIDTH // width)
            if width <= MAX_IMAGE_WIDTH
            else MAX_IMAGE_WIDTH / width
        )
        ax = new_figure(width * zoom / DPI, height * zoom / DPI).add_axes((0, 0, 1, 1))
    ax.imshow(
        sheet, interpolation="nearest" if sheet.shape[1] <= MAX_IMAGE_WIDTH else "antialiased"
    )
    ax.set_axis_off()
    return ax


def _to_rgba(x: np.ndarray, limits: ValueLimits | None) -> np.ndarray:
    """Red, green, blue and opacity ``[N, H, W, 4]`` between 0 and 1."""
    if x.ndim not in (3, 4):
        raise ArgumentError(
            f"images have the shape [N, H, W] or [N, C, H, W], not {list(x.shape)}",
            argument="x",
            suggestions=("Write x[None] for one image",),
        )
    low, high = limits or value_limits(x)
    grey = x[:, None] if x.ndim == 3 else x
    colour = grey[:, :3] if grey.shape[1] >= 3 else grey[:, :1].repeat(3, axis=1)
    scaled = np.clip(
        (np.nan_to_num(colour, nan=low) - low) / (high - low if high > low else 1.0), 0, 1
    )
    return np.concatenate([scaled, np.ones_like(scaled[:, :1])], axis=1).transpose(0, 2, 3, 1)


def _high_frequency_energy(x: np.ndarray) -> float:
    """Mean energy above ``HIGH_FREQUENCY``."""
    rows, columns = np.fft.fftfreq(x.shape[-2]), np.fft.fftfreq(x.shape[-1])
    high = np.hypot(rows[:, None], columns[None, :]) > HIGH_FREQUENCY
    return float((np.abs(np.fft.fft2(x)) ** 2)[..., high].sum(-1).mean())
