"""Pictures of tables: a small panel for each column."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ArgumentError
from ._canvas import GREY, PALETTE, SMALL_FONT_SIZE, add_panels, label_axes, to_array, to_plot_text
from ._tiles import value_limits

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_COLUMN_PANELS = 12  # columns that are drawn one by one
MAX_CORRELATION_LABELS = 24  # columns of a correlation matrix that are named
HISTOGRAM_BINS = 24

ColumnNames = Sequence[str] | None


def flatten_events(x: Any) -> np.ndarray:
    """Events of any shape as rows ``[N, D]``."""
    x = to_array(x)
    return x.reshape(len(x), -1)


def resolve_column_names(columns: ColumnNames, size: int) -> list[str]:
    """The names of ``size`` columns, their numbers where they have none. Raises ``ArgumentError`` where there are more or fewer."""
    if columns is not None and len(columns) != size:
        raise ArgumentError(
            f"`columns` holds {len(columns)} names, and the data have {size} columns."
        )
    return (
        [to_plot_text(name) for name in columns]
        if columns is not None
        else [str(i + 1) for i in range(size)]
    )


def marginals(
    data: Any, samples: Any, columns: ColumnNames = None, *, ax: Axes | None = None
) -> Axes:
    """Histograms of each column, data filled and samples outlined; both ``[N, D]``, the first 12 columns.

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> len(
    ...     marginals(
    ...         rng.normal(size=(50, 3)), rng.normal(size=(50, 3)), ["a", "b", "c"]
    ...     ).child_axes
    ... )
    3
    """
    real, made = flatten_events(data), flatten_events(samples)
    host, parts = add_column_panels(columns, real.shape[1], ax)
    for part, x, y in zip(parts, real.T, made.T, strict=False):
        edges: Any = _bin_edges(x[np.isfinite(x)], y[np.isfinite(y)])
        part.hist(x, edges, density=True, color=PALETTE[3], label="data")
        part.hist(
            y,
            edges,
            density=True,
            histtype="step",
            color=PALETTE[6],
            linewidth=1.4,
            label="samples",
        )
        part.set_yticks([])
    _legend(host, parts[0])
    return host


def correlations(
    data: Any, samples: Any, columns: ColumnNames = None, *, ax: Axes | None = None
) -> Axes:
    """Correlation matrices of data and samples, both ``[N, D]``, beside each other: blue is -1, red is 1, white 0 or undefined."""
    real, made = flatten_events(data), flatten_events(samples)
    host, parts = add_panels(ax, 2, 2, ratio=1.0, gap=(0.08, 0.0))
    names = resolve_column_names(columns, real.shape[1])
    for part, values, title in zip(parts, (real, made), ("data", "samples"), strict=True):
        part.imshow(correlation_matrix(values), cmap="RdBu_r", vmin=-1, vmax=1)
        part.set_title(title, fontsize=SMALL_FONT_SIZE + 1)
        part.set_yticks([])
        named = len(names) <= MAX_CORRELATION_LABELS
        part.set_xticks(
            range(len(names)) if named else [],
            names if named else [],
            rotation=90,
            fontsize=SMALL_FONT_SIZE - 1,
        )
    if len(names) <= MAX_CORRELATION_LABELS:
        parts[0].set_yticks(range(len(names)), names, fontsize=SMALL_FONT_SIZE - 1)
    return host


def correlation_matrix(rows: np.ndarray) -> np.ndarray:
    """Correlations ``[D, D]`` of rows ``[N, D]``, NaN for constant columns; rows with empty cells are left out."""
    rows = rows[np.isfinite(rows).all(1)]
    with np.errstate(divide="ignore", invalid="ignore"):
        return (
            np.atleast_2d(np.corrcoef(rows, rowvar=False))
            if len(rows) > 1
            else np.full((rows.shape[1],) * 2, np.nan)
        )


def reconstruction_scatter(
    originals: Any, reconstructions: Any, columns: ColumnNames = None, *, ax: Axes | None = None
) -> Axes:
    """Each column's reconstruction against its original: on the line where they are equal."""
    real, made = flatten_events(originals), flatten_events(reconstructions)
    host, parts = add_column_panels(columns, real.shape[1], ax, ratio=1.0)
    for part, x, y in zip(parts, real.T, made.T, strict=False):
        span = value_limits(np.stack([x, y]))
        part.plot(span, span, color=GREY, linewidth=0.8)
        part.scatter(x, y, s=5, color=PALETTE[0], alpha=0.7, linewidths=0)
    return host


def interpolation_curves(
    values: Any, columns: ColumnNames = None, *, ax: Axes | None = None
) -> Axes:
    """Each column along a walk ``[steps, D]``, from 0 to 1."""
    rows = flatten_events(values)
    host, parts = add_column_panels(columns, rows.shape[1], ax)
    for part, x in zip(parts, rows.T, strict=False):
        part.plot(
            np.linspace(0, 1, len(x)), x, color=PALETTE[0], marker=".", markersize=4, linewidth=1.2
        )
    return host


def column_maps(grid: np.ndarray, columns: ColumnNames = None, *, ax: Axes | None = None) -> Axes:
    """Each column over a plane ``[n, n, D]``, top row first, dark where it is small; its range is in the title."""
    host, parts = add_column_panels(columns, grid.shape[-1], ax, ratio=1.0, gap=(0.1, 0.32))
    for i, part in enumerate(parts):
        part.imshow(grid[..., i], cmap="viridis")
        low, high = value_limits(grid[..., i])
        part.set_title(f"{part.get_title()}\n{low:.4g} to {high:.4g}", fontsize=SMALL_FONT_SIZE)
        part.set_axis_off()
    return host


def add_column_panels(
    columns: ColumnNames,
    size: int,
    ax: Axes | None,
    ratio: float = 0.75,
    gap: tuple[float, float] = (0.4, 0.62),
) -> tuple[Axes, list[Axes]]:
    """A panel, with its name above, for each of the first columns."""
    names = resolve_column_names(columns, size)[:MAX_COLUMN_PANELS]
    host, parts = add_panels(ax, len(names), 3, ratio, gap)
    for part, name in zip(parts, names, strict=True):
        label_axes(part, "", "", SMALL_FONT_SIZE)
        part.set_title(name, fontsize=SMALL_FONT_SIZE + 0.5)
        part.locator_params(nbins=4)
        part.ticklabel_format(useOffset=False)
    return host, parts


def _bin_edges(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Bins over what 99 % of data and samples span: around the whole numbers where the data are a few of these."""
    spans = [np.percentile(values, [0.5, 99.5]) for values in (x, y) if values.size] or [
        np.array([0.0, 1.0])
    ]
    low, high = float(np.min(spans)), float(np.max(spans))
    distinct = np.unique(x)
    if (
        0 < len(distinct) <= HISTOGRAM_BINS
        and (distinct == np.rint(distinct)).all()
        and high - low <= 2 * HISTOGRAM_BINS
    ):
        return np.arange(math.floor(low) - 0.5, math.ceil(high) + 1)
    return np.linspace(low, high if high > low else low + 1, HISTOGRAM_BINS + 1)


def _legend(host: Axes, part: Axes) -> None:
    handles, labels = part.get_legend_handles_labels()
    host.legend(
        handles,
        labels,
        loc="lower center",
        bbox_to_anchor=(0.5, 1.06),
        ncols=2,
        frameon=False,
        fontsize=SMALL_FONT_SIZE + 1,
    )
