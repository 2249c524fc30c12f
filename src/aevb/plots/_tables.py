"""Pictures of tables of mixed columns: marginals by kind, and associations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from os.path import commonprefix
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data._decode_frame import decode_numbers, dtype_of_column
from ..networks import Column
from ._canvas import GREY, PALETTE, SMALL_FONT_SIZE, add_panels, label_axes, to_array, to_plot_text
from ._columns import abbreviate_thousands

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_MIXED_PANELS = 24
"""Largest number of columns with a panel of their own."""

MAX_LISTED_LEVELS = 7
"""Categories with a bar; the others share one."""

MAX_LABELLED_COLUMNS = 26
"""Largest number of columns of a matrix of associations with labels."""

BINS = 24
LEVEL_LENGTH = 8  # characters of the name of a category
LOG_RATIO = 50  # of the upper to the lower end of positive numbers, from which an axis is
# logarithmic
REAL, SYNTHETIC = PALETTE[3], PALETTE[6]


def column_marginals(
    real: Any, synthetic: Any, columns: Sequence[Column], *, ax: Axes | None = None
) -> Axes:
    """The first 24 columns of two tables: bars for categories, histograms for numbers.

    Real rows are filled, synthetic rows outlined. Heights are shares of the observed cells, so that
    they do not depend on the number of rows. The repeated values of a spiky column are dots at
    their shares, and are left out of its histogram; rare categories share a bar.

    Args:
        real: Encoded cells ``[N, D]``.
        synthetic: Encoded cells ``[M, D]``.
        columns: The D columns.
        ax: Axes to draw into; a new figure by default.

    Returns:
        The host axes; ``child_axes`` are the panels.

    Example:
        >>> import numpy as np
        >>> rows = np.zeros((5, 1))
        >>> column = Column("sex", "binary", "bernoulli", levels=("f", "m"))
        >>> len(column_marginals(rows, rows, [column]).child_axes)
        1
    """
    a, b = to_array(real), to_array(synthetic)
    shown = columns[:MAX_MIXED_PANELS]
    host, panels = add_panels(ax, len(shown), 3, 0.85, (0.66, 0.62))
    for panel, column, x, y in zip(panels, shown, a.T, b.T, strict=False):
        label_axes(panel, "", "", SMALL_FONT_SIZE - 0.5)
        panel.set_title(to_plot_text(column.name), fontsize=SMALL_FONT_SIZE + 0.5)
        draw = _draw_levels if column.levels is not None else _draw_numbers
        draw(panel, column, x[~np.isnan(x)], y[~np.isnan(y)])
    _add_legend(host)
    return host


def _draw_levels(panel: Axes, column: Column, x: np.ndarray, y: np.ndarray) -> None:
    """A bar for each category, the first one on top."""
    levels = column.levels or ()
    shares = [np.bincount(z.astype(int), minlength=len(levels)) / max(len(z), 1) for z in (x, y)]
    names = level_labels(levels)
    if column.pooled:
        names[-1] = f"{len(column.pooled)} rare"
    if column.kind == "ordinal" and len(levels) > MAX_LISTED_LEVELS + 1:
        _draw_many_ordered_levels(panel, names, shares)
        return
    order = np.arange(len(levels))
    if len(levels) > MAX_LISTED_LEVELS + 1:
        commonest = np.argsort(-shares[0], kind="stable")[:MAX_LISTED_LEVELS]
        order = commonest
    bars = [list(share[order]) for share in shares]
    labels = [names[place] for place in order]
    if len(order) < len(levels):
        labels.append(f"{len(levels) - len(order)} others")
        bars = [[*each, max(0.0, 1.0 - sum(each))] for each in bars]
    places = np.arange(len(labels))
    panel.barh(places, bars[0], 0.8, color=REAL)
    panel.barh(places, bars[1], 0.8, fill=False, edgecolor=SYNTHETIC, linewidth=1.3)
    panel.set_yticks(places, labels, fontsize=SMALL_FONT_SIZE - 2)
    panel.set_ylim(len(labels) - 0.4, -0.6)
    panel.set_xlim(0, None)
    panel.locator_params(axis="x", nbins=3)


def _draw_many_ordered_levels(panel: Axes, names: list[str], shares: Sequence[np.ndarray]) -> None:
    """An upright bar for each level, the first one on the left."""
    edges = np.arange(len(names) + 1) - 0.5
    panel.stairs(shares[0], edges, fill=True, color=REAL)
    panel.stairs(shares[1], edges, color=SYNTHETIC, linewidth=1.3)
    labelled = np.unique(np.linspace(0, len(names) - 1, 3).round().astype(int))
    panel.set_xticks(labelled, [names[place] for place in labelled])
    panel.set_yticks([])


def level_labels(levels: Sequence[object]) -> list[str]:
    """Categories as short labels; those that begin alike are cut at their beginning.

    >>> level_labels(["Married-civ-spouse", "Married-AF-spouse", "Divorced", "no"])
    ['…civ-spo', '…AF-spou', 'Divorced', 'no']
    """
    texts = [to_plot_text(level).strip() for level in levels]
    labels = [_cut(text) for text in texts]
    for label in {each for each in labels if labels.count(each) > 1}:
        alike = [place for place, each in enumerate(labels) if each == label]
        start = len(commonprefix([texts[place] for place in alike]))  # noqa: RUF071, of any texts
        for place in alike:
            labels[place] = "…" + texts[place][start : start + LEVEL_LENGTH - 1]
    return labels


def _cut(text: str) -> str:
    """A text that is cut at its end."""
    return text if len(text) <= LEVEL_LENGTH else text[: LEVEL_LENGTH - 1] + "…"


def _draw_numbers(panel: Axes, column: Column, x: np.ndarray, y: np.ndarray) -> None:
    """Histograms with common bins, and the repeated values of a spiky column as dots."""
    dtype = dtype_of_column(column)
    x, y = (decode_numbers(column, z.astype(np.float32), dtype) for z in (x, y))
    if column.unit:
        x, y = (z / (86400.0 if column.unit == "second" else 1.0) for z in (x, y))
    atoms = np.array(column.atoms)
    rest = [z[~np.isin(z, atoms)] for z in (x, y)]
    edges = number_edges(*rest, step=column.step)
    heights = [_bin_shares(among, edges, len(z)) for among, z in zip(rest, (x, y), strict=True)]
    panel.stairs(heights[0], edges, fill=True, color=REAL)
    panel.stairs(heights[1], edges, color=SYNTHETIC, linewidth=1.3)
    if len(atoms):
        _draw_atoms(panel, atoms, x, y)
    panel.set_yticks([])
    if column.unit:
        _date_axis(panel)
    elif edges[0] > 0 and not np.allclose(np.diff(edges), edges[1] - edges[0]):
        _logarithmic_axis(panel, edges, atoms)
    else:
        panel.locator_params(axis="x", nbins=3)
        abbreviate_thousands(panel)


def _logarithmic_axis(panel: Axes, edges: np.ndarray, atoms: np.ndarray) -> None:
    """An axis of orders of magnitude, with room for repeated values that are not positive."""
    from matplotlib.ticker import LogLocator, SymmetricalLogLocator

    if (atoms <= 0).any():
        start = 10.0 ** math.floor(math.log10(edges[0]))
        panel.set_xscale("symlog", linthresh=start)
        panel.xaxis.set_major_locator(SymmetricalLogLocator(linthresh=start, base=100))
    else:
        panel.set_xscale("log")
        panel.xaxis.set_major_locator(LogLocator(numticks=4))
    panel.minorticks_off()


def _bin_shares(values: np.ndarray, edges: np.ndarray, count: int) -> np.ndarray:
    """The share of ``count`` cells in each bin; numbers outside are in the first and last bins."""
    clipped = np.clip(values, edges[0], edges[-1])
    return np.histogram(clipped, edges)[0] / max(count, 1)


def number_edges(x: np.ndarray, y: np.ndarray, step: float = 0.0) -> np.ndarray:
    """Bins over the central 99 % of both sets, outside of which numbers count in the last bins.

    Bins of numbers on a grid are whole steps, centred on its values; those of positive numbers
    over several orders of magnitude have a common ratio.
    """
    spans = [np.percentile(z, [0.5, 99.5]) for z in (x, y) if len(z)]
    low, high = (float(np.min(spans)), float(np.max(spans))) if spans else (0.0, 1.0)
    if step and high > low:
        width = step * max(1, math.ceil((high - low) / step / BINS))
        count = math.floor((high - low) / width) + 1
        return low - 0.5 * step + width * np.arange(count + 1)
    if low > 0 and high / low > LOG_RATIO:
        return np.geomspace(low, high, BINS + 1)
    return np.linspace(low, high if high > low else low + 1, BINS + 1)


def _draw_atoms(panel: Axes, atoms: np.ndarray, x: np.ndarray, y: np.ndarray) -> None:
    """The share of each repeated value."""
    shares = [np.array([np.mean(z == atom) if len(z) else 0.0 for atom in atoms]) for z in (x, y)]
    panel.vlines(atoms, 0, shares[0], color=REAL, linewidth=1.6)
    panel.plot(atoms, shares[0], "o", color=REAL, markersize=3)
    panel.plot(atoms, shares[1], "o", color=SYNTHETIC, markersize=3.5, fillstyle="none")


def _date_axis(panel: Axes) -> None:
    """Days since 1970 as dates."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=2, maxticks=4)
    panel.xaxis.set_major_locator(locator)
    panel.xaxis.set_major_formatter(ConciseDateFormatter(locator, show_offset=False))


def _add_legend(host: Axes) -> None:
    """Filled for real rows, outlined for synthetic ones."""
    from matplotlib.patches import Patch

    handles = [
        Patch(color=REAL, label="real"),
        Patch(fill=False, edgecolor=SYNTHETIC, linewidth=1.3, label="synthetic"),
    ]
    host.legend(
        handles=handles,
        loc="lower center",
        bbox_to_anchor=(0.5, 1.0),
        borderaxespad=1.6,
        ncols=2,
        frameon=False,
        fontsize=SMALL_FONT_SIZE + 1,
    )


def associations(
    real: Any, synthetic: Any, columns: Sequence[str], *, ax: Axes | None = None
) -> Axes:
    """Matrices of associations of real and synthetic rows, and their difference.

    Blue is -1, red 1, white 0; undefined associations are grey. Differences are blue from -0.5 and
    red from 0.5 on. The columns have the order of the rows.

    Args:
        real: Associations ``[K, K]``, NaN where they are undefined.
        synthetic: Those of synthetic rows.
        columns: Names of the K columns.
        ax: Axes to draw into; a new figure by default.

    Returns:
        The host axes; ``child_axes`` are the three matrices and the scales of their colours.

    Example:
        >>> import numpy as np
        >>> len(associations(np.eye(2), np.eye(2), ["a", "b"]).child_axes)
        4
    """
    from matplotlib import colormaps

    a, b = to_array(real), to_array(synthetic)
    host, panels = add_panels(ax, 4, 2, ratio=1.0, gap=(0.1, 0.16))
    names = [to_plot_text(name) for name in columns] if len(a) <= MAX_LABELLED_COLUMNS else []
    colours = colormaps["RdBu_r"].with_extremes(bad=GREY)
    size = min(SMALL_FONT_SIZE - 1, 120 / max(len(a), 1))
    parts = (("real", a, 1.0), ("synthetic", b, 1.0), ("synthetic − real", b - a, 0.5))
    for place, (title, values, limit) in enumerate(parts):
        panels[place].imshow(np.ma.masked_invalid(values), cmap=colours, vmin=-limit, vmax=limit)
        panels[place].set_title(title, fontsize=SMALL_FONT_SIZE + 0.5)
        labels = names if place % 2 == 0 else []
        panels[place].set_yticks(range(len(labels)), labels, fontsize=size)
        panels[place].set_xticks([])
        panels[place].tick_params(length=0)
    _draw_scales(panels[3], colours)
    return host


def _draw_scales(panel: Axes, colours: Any) -> None:
    """What the colours of both pictures mean."""
    panel.set_axis_off()
    scales = (("association", 1.0, 0.62), ("difference", 0.5, 0.22))
    for title, limit, height in scales:
        bar = panel.inset_axes((0.08, height, 0.84, 0.08))
        bar.imshow(np.linspace(-1, 1, 101)[None], cmap=colours, aspect="auto")
        bar.set_title(title, fontsize=SMALL_FONT_SIZE)
        bar.set_yticks([])
        bar.set_xticks([0, 50, 100], [f"{-limit:g}".replace("-", "−"), "0", f"{limit:g}"])
        bar.tick_params(labelsize=SMALL_FONT_SIZE - 1)
