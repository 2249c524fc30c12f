"""Data as a model sees them: images as images, all other events as rows of a table."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data._spec import is_image
from ..inference import LatentPath
from ._canvas import to_array
from ._columns import ColumnNames, interpolation_curves, marginals, reconstruction_scatter
from ._tiles import (
    ValueLimits,
    gap_width,
    show_image,
    stack_horizontally,
    stack_vertically,
    tile_images,
    value_limits,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

IMAGES_PER_ROW = 10  # images in a row


def reconstructions(
    originals: Any,
    reconstructions: Any,
    columns: ColumnNames = None,
    *,
    limits: ValueLimits | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Originals above, reconstructions below, both ``[N, *event]``, ten images in a row; a scatter plot for each column of a table.

    >>> import torch
    >>> x = torch.rand(10, 8, 8)
    >>> reconstructions(x, x).get_images()[0].get_array().shape
    (17, 89, 4)
    """
    x, y = to_array(originals), to_array(reconstructions)
    if not is_image(x.shape[1:]):
        return reconstruction_scatter(x, y, columns, ax=ax)
    limits, gap = limits or value_limits(x), gap_width(x.shape[-1])
    pairs = [slice(start, start + IMAGES_PER_ROW) for start in range(0, len(x), IMAGES_PER_ROW)]
    across = min(IMAGES_PER_ROW, len(x))
    rows = [
        stack_vertically(
            tile_images(x[rows], across, limits), tile_images(y[rows], across, limits), gap=gap
        )
        for rows in pairs
    ]
    return show_image(stack_vertically(*rows, gap=4 * gap), ax)


def samples(
    means: Any,
    draws: Any,
    data: Any = None,
    columns: ColumnNames = None,
    *,
    limits: ValueLimits | None = None,
    ax: Axes | None = None,
) -> Axes:
    """What a model makes up: the means of ``p(x|z)`` on the left, draws from it for the same ``z`` on the right, both ``[N, *event]``.

    For a table, histograms of the draws over those of ``data``, or over those of the means where there are none.
    """
    x, y = to_array(means), to_array(draws)
    if not is_image(x.shape[1:]):
        return marginals(x if data is None else data, y, columns, ax=ax)
    limits = limits or value_limits(x)
    across = max(1, math.isqrt(len(x)))
    return show_image(
        stack_horizontally(
            tile_images(x, across, limits),
            tile_images(y, across, limits),
            gap=4 * gap_width(x.shape[-1]),
        ),
        ax,
    )


def interpolation(
    walk: LatentPath,
    columns: ColumnNames = None,
    *,
    limits: ValueLimits | None = None,
    ax: Axes | None = None,
) -> Axes:
    """The data expected along a walk, start on the left; for a table a curve for each column.

    ``walk`` is what ``aevb.inference.interpolate`` returns: its ends are the two reconstructions.
    """
    x: np.ndarray = to_array(walk.x)
    if not is_image(x.shape[1:]):
        return interpolation_curves(x, columns, ax=ax)
    return show_image(tile_images(x, len(x), limits), ax)
