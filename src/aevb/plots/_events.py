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

IMAGES_PER_ROW = 10


def reconstructions(
    originals: Any,
    reconstructions: Any,
    columns: ColumnNames = None,
    *,
    limits: ValueLimits | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Originals above their reconstructions, ten images per row; for a table a scatter per column.

    Args:
        originals: Data ``[N, *event]``.
        reconstructions: Their reconstructions ``[N, *event]``.
        columns: Names of the columns of a table.
        limits: The values that are black and white; by default the range of the originals.
        ax: Axes to draw into; a new figure by default.

    Returns:
        The axes.

    Raises:
        ArgumentError: The number of names is not the number of columns.

    Example:
        >>> import torch
        >>> x = torch.rand(10, 8, 8)
        >>> reconstructions(x, x).get_images()[0].get_array().shape
        (17, 89, 4)
    """
    x, y = to_array(originals), to_array(reconstructions)
    if not is_image(x.shape[1:]):
        return reconstruction_scatter(x, y, columns, ax=ax)
    limits, gap = limits or value_limits(x), gap_width(x.shape[-1])
    n_columns = min(IMAGES_PER_ROW, len(x))
    blocks = [slice(start, start + IMAGES_PER_ROW) for start in range(0, len(x), IMAGES_PER_ROW)]
    sheets = [
        stack_vertically(
            tile_images(x[block], n_columns, limits),
            tile_images(y[block], n_columns, limits),
            gap=gap,
        )
        for block in blocks
    ]
    return show_image(stack_vertically(*sheets, gap=4 * gap), ax)


def samples(
    means: Any,
    draws: Any,
    data: Any = None,
    columns: ColumnNames = None,
    *,
    limits: ValueLimits | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Samples of a model: means of ``p(x|z)`` on the left, draws for the same ``z`` on the right.

    For a table: histograms of the draws over the histograms of ``data``.

    Args:
        means: Means of ``p(x|z)``, ``[N, *event]``.
        draws: Draws from ``p(x|z)``, ``[N, *event]``.
        data: Rows of a table to compare with; the means by default.
        columns: Names of the columns of a table.
        limits: The values that are black and white; by default the range of the means.
        ax: Axes to draw into; a new figure by default.

    Returns:
        The axes.

    Raises:
        ArgumentError: The number of names is not the number of columns.
    """
    x, y = to_array(means), to_array(draws)
    if not is_image(x.shape[1:]):
        return marginals(x if data is None else data, y, columns, ax=ax)
    limits = limits or value_limits(x)
    n_columns = max(1, math.isqrt(len(x)))
    return show_image(
        stack_horizontally(
            tile_images(x, n_columns, limits),
            tile_images(y, n_columns, limits),
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
    """The expected data along a path in latent space, start on the left; for a table curves.

    Args:
        walk: The result of ``aevb.inference.interpolate``; its ends are the two reconstructions.
        columns: Names of the columns of a table.
        limits: The values that are black and white; by default the range of the data on the path.
        ax: Axes to draw into; a new figure by default.

    Returns:
        The axes.

    Raises:
        ArgumentError: The number of names is not the number of columns.
    """
    x: np.ndarray = to_array(walk.x)
    if not is_image(x.shape[1:]):
        return interpolation_curves(x, columns, ax=ax)
    return show_image(tile_images(x, len(x), limits), ax)
