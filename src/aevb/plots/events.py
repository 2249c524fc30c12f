"""Data as a model sees them: images as images, all other events as rows of a table."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.spec import is_image
from ..inference import Walk
from .canvas import array
from .columns import Names, agreement, marginals, paths
from .tiles import Limits, above, beside, gap_of, limits_of, show, tiles

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ACROSS = 10  # images in a row


def reconstructions(
    originals: Any, reconstructions: Any, columns: Names = None, *, limits: Limits | None = None, ax: Axes | None = None
) -> Axes:
    """Originals above, reconstructions below, both ``[N, *event]``, ten images in a row; a scatter plot for each column of a table.

    >>> import torch
    >>> x = torch.rand(10, 8, 8)
    >>> reconstructions(x, x).get_images()[0].get_array().shape
    (17, 89, 4)
    """
    x, y = array(originals), array(reconstructions)
    if not is_image(x.shape[1:]):
        return agreement(x, y, columns, ax=ax)
    limits, gap = limits or limits_of(x), gap_of(x.shape[-1])
    pairs = [slice(start, start + ACROSS) for start in range(0, len(x), ACROSS)]
    across = min(ACROSS, len(x))
    rows = [above(tiles(x[rows], across, limits), tiles(y[rows], across, limits), gap=gap) for rows in pairs]
    return show(above(*rows, gap=4 * gap), ax)


def samples(
    means: Any, draws: Any, data: Any = None, columns: Names = None, *, limits: Limits | None = None, ax: Axes | None = None
) -> Axes:
    """What a model makes up: the means of ``p(x|z)`` on the left, draws from it for the same ``z`` on the right, both ``[N, *event]``.

    For a table, histograms of the draws over those of ``data``, or over those of the means where there are none.
    """
    x, y = array(means), array(draws)
    if not is_image(x.shape[1:]):
        return marginals(x if data is None else data, y, columns, ax=ax)
    limits = limits or limits_of(x)
    across = max(1, math.isqrt(len(x)))
    return show(beside(tiles(x, across, limits), tiles(y, across, limits), gap=4 * gap_of(x.shape[-1])), ax)


def interpolation(walk: Walk, columns: Names = None, *, limits: Limits | None = None, ax: Axes | None = None) -> Axes:
    """The data expected along a walk, start on the left; for a table a curve for each column.

    ``walk`` is what ``aevb.inference.interpolate`` returns: its ends are the two reconstructions.
    """
    x: np.ndarray = array(walk.x)
    if not is_image(x.shape[1:]):
        return paths(x, columns, ax=ax)
    return show(tiles(x, len(x), limits), ax)
