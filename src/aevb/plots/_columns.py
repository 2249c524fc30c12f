"""Pictures of tables: a panel for each column."""

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

MAX_COLUMN_PANELS = 12
"""Largest number of columns with a panel of their own."""

MAX_CORRELATION_LABELS = 24
"""Largest number of columns of a correlation matrix with labels."""

HISTOGRAM_BINS = 24

ColumnNames = Sequence[str] | None


def flatten_events(x: Any) -> np.ndarray:
    """Events of any shape as rows ``[N, D]``."""
    x = to_array(x)
    return x.reshape(len(x), -1)


def resolve_column_names(columns: ColumnNames, size: int) -> list[str]:
    """The names of ``size`` columns, by default their numbers; ``ArgumentError`` for a mismatch."""
    if columns is None:
        return [str(i + 1) for i in range(size)]
    if len(columns) != size:
        raise ArgumentError(
            f"it has {len(columns)} names for {size} columns of the data",
            argument="columns",
            value=list(columns),
            suggestions=("Pass one name per column",),
        )
    return [to_plot_text(name) for name in columns]


def marginals(
    data: Any, samples: Any, columns: ColumnNames = None, *, ax: Axes | None = None
) -> Axes:
    """Histograms of the first 12 columns: data filled, samples outlined.

    Args:
        data: Rows ``[N, D]``.
        samples: Rows ``[M, D]`` from a model.
        columns: Names of the D columns; their numbers by default.
        ax: Axes to draw into; a new figure by default.

    Returns:
        The host axes; ``child_axes`` are the panels.

    Raises:
        ArgumentError: The number of names is not the number of columns.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> x, y = rng.normal(size=(50, 3)), rng.normal(size=(50, 3))
        >>> len(marginals(x, y, ["a", "b", "c"]).child_axes)
        3
    """
    real, generated = flatten_events(data), flatten_events(samples)
    host, panels = add_column_panels(columns, real.shape[1], ax)
    for panel, x, y in zip(panels, real.T, generated.T, strict=False):
        edges: Any = _bin_edges(x[np.isfinite(x)], y[np.isfinite(y)])
        panel.hist(x, edges, density=True, color=PALETTE[3], label="data")
        panel.hist(
            y,
            edges,
            density=True,
            histtype="step",
            color=PALETTE[6],
            linewidth=1.4,
            label="samples",
        )
        panel.set_yticks([])
    _add_legend(host, panels[0])
    return host


def correlations(
    data: Any, samples: Any, columns: ColumnNames = None, *, ax: Axes | None = None
) -> Axes:
    """Correlation matrices of data and samples side by side: blue is -1, red 1, white 0.

    Undefined correlations (constant columns) are white.

    Args:
        data: Rows ``[N, D]``.
        samples: Rows ``[M, D]`` from a model.
        columns: Names of the D columns; their numbers by default.
        ax: Axes to draw into; a new figure by default.

    Returns:
        The host axes; ``child_axes`` are the two matrices.

    Raises:
        ArgumentError: The number of names is not the number of columns.
    """
    real, generated = flatten_events(data), flatten_events(samples)
    host, panels = add_panels(ax, 2, 2, ratio=1.0, gap=(0.08, 0.0))
    names = resolve_column_names(columns, real.shape[1])
    labels = names if len(names) <= MAX_CORRELATION_LABELS else []
    for panel, values, title in zip(panels, (real, generated), ("data", "samples"), strict=True):
        panel.imshow(correlation_matrix(values), cmap="RdBu_r", vmin=-1, vmax=1)
        panel.set_title(title, fontsize=SMALL_FONT_SIZE + 1)
        panel.set_yticks([])
        panel.set_xticks(range(len(labels)), labels, rotation=90, fontsize=SMALL_FONT_SIZE - 1)
    if labels:
        panels[0].set_yticks(range(len(labels)), labels, fontsize=SMALL_FONT_SIZE - 1)
    return host


def correlation_matrix(rows: np.ndarray) -> np.ndarray:
    """Correlations ``[D, D]`` of the complete rows of ``[N, D]``; NaN for constant columns."""
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
    """Reconstruction against original for each column, with the line of equality."""
    real, reconstructed = flatten_events(originals), flatten_events(reconstructions)
    host, panels = add_column_panels(columns, real.shape[1], ax, ratio=1.0)
    for panel, x, y in zip(panels, real.T, reconstructed.T, strict=False):
        span = value_limits(np.stack([x, y]))
        panel.plot(span, span, color=GREY, linewidth=0.8)
        panel.scatter(x, y, s=5, color=PALETTE[0], alpha=0.7, linewidths=0)
        abbreviate_thousands(panel)
    return host


def abbreviate_thousands(panel: Axes) -> None:
    """Write ticks from 10,000 on as "10k", so that they fit under a small panel."""
    from matplotlib.ticker import EngFormatter

    for axis, limits in ((panel.xaxis, panel.get_xlim()), (panel.yaxis, panel.get_ylim())):
        if max(map(abs, limits)) >= 10_000:
            axis.set_major_formatter(EngFormatter(sep=""))


def interpolation_curves(
    values: Any, columns: ColumnNames = None, *, ax: Axes | None = None
) -> Axes:
    """Each column along a path ``[steps, D]``, from 0 to 1."""
    rows = flatten_events(values)
    host, panels = add_column_panels(columns, rows.shape[1], ax)
    for panel, x in zip(panels, rows.T, strict=False):
        panel.plot(
            np.linspace(0, 1, len(x)), x, color=PALETTE[0], marker=".", markersize=4, linewidth=1.2
        )
    return host


def column_maps(grid: np.ndarray, columns: ColumnNames = None, *, ax: Axes | None = None) -> Axes:
    """Each column over a plane ``[n, n, D]``, top row first, dark for small values."""
    host, panels = add_column_panels(columns, grid.shape[-1], ax, ratio=1.0, gap=(0.1, 0.32))
    for i, panel in enumerate(panels):
        panel.imshow(grid[..., i], cmap="viridis")
        low, high = value_limits(grid[..., i])
        panel.set_title(f"{panel.get_title()}\n{low:.4g} to {high:.4g}", fontsize=SMALL_FONT_SIZE)
        panel.set_axis_off()
    return host


def add_column_panels(
    columns: ColumnNames,
    size: int,
    ax: Axes | None,
    ratio: float = 0.75,
    gap: tuple[float, float] = (0.4, 0.62),
) -> tuple[Axes, list[Axes]]:
    """A panel for each of the first columns, with its name as the title."""
    names = resolve_column_names(columns, size)[:MAX_COLUMN_PANELS]
    host, panels = add_panels(ax, len(names), 3, ratio, gap)
    for panel, name in zip(panels, names, strict=True):
        label_axes(panel, "", "", SMALL_FONT_SIZE)
        panel.set_title(name, fontsize=SMALL_FONT_SIZE + 0.5)
        panel.locator_params(nbins=4)
        panel.ticklabel_format(useOffset=False)
    return host, panels


def _bin_edges(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Bins over the central 99 % of data and samples; centred on the values of a small count."""
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


def _add_legend(host: Axes, panel: Axes) -> None:
    """The legend of one panel, above all panels."""
    handles, labels = panel.get_legend_handles_labels()
    host.legend(
        handles,
        labels,
        loc="lower center",
        bbox_to_anchor=(0.5, 1.06),
        ncols=2,
        frameon=False,
        fontsize=SMALL_FONT_SIZE + 1,
    )
