"""Pictures of series and of video."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ArgumentError
from ._canvas import PALETTE, to_array
from ._columns import ColumnNames, add_column_panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_SERIES = 6
"""Largest number of series in a panel."""


def series(
    x: Any, other: Any = None, columns: ColumnNames = None, *, ax: Axes | None = None
) -> Axes:
    """Series over their steps, with a panel for each channel.

    Args:
        x: Series ``[N, T, C]``; the first 6 are drawn. Steps of NaN have no line.
        other: Series of the same shape, such as reconstructions: dashed, in the colours of ``x``.
        columns: Names of the channels; their numbers by default.
        ax: Axes to draw into; a new figure by default.

    Returns:
        The axes.

    Raises:
        ArgumentError: The data are no series, or the number of names is not that of the channels.

    Example:
        >>> import torch
        >>> len(series(torch.rand(3, 20, 2)).child_axes)
        2
    """
    lines = to_array(x)[:MAX_SERIES]
    if lines.ndim != 3:
        raise ArgumentError(f"series are [N, T, C], and this is {lines.shape}", argument="x")
    dashed = lines[:0] if other is None else to_array(other)[:MAX_SERIES]
    host, panels = add_column_panels(columns, lines.shape[2], ax)
    for channel, panel in enumerate(panels):
        for style, drawn in (("-", lines), ("--", dashed)):
            for number, line in enumerate(drawn[..., channel]):
                colour = PALETTE[number % len(PALETTE)]
                panel.plot(line, style, color=colour, linewidth=1.0)
    return host


def film_strips(x: Any) -> np.ndarray:
    """Videos ``[N, T, C, H, W]`` as images ``[N, C, H, T * W]``, the frames from left to right.

    Args:
        x: The videos.

    Returns:
        The images.

    Example:
        >>> film_strips(np.zeros((2, 5, 3, 4, 4))).shape
        (2, 3, 4, 20)
    """
    return np.concatenate(np.moveaxis(to_array(x), 1, 0), axis=-1)
