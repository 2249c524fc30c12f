"""Comparisons of runs: their validation curves and their differences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import ArgumentError
from ..metrics._comparison import Difference
from ..training._history import Epoch
from ._canvas import FONT_SIZE, GREY, PALETTE, label_axes, resolve_axes, to_plot_text
from ._curves import FEW_EPOCHS, epoch_values, scale_to_late_epochs

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROW_HEIGHT = 0.34
"""Inches per row of a forest plot."""

WORSE_COLOUR = PALETTE[2]
COMPARISON_SCALE_START = 0.4
"""Share of the epochs that does not set the scale: runs of different length differ at the end."""


def validation_curves(
    histories: Sequence[Sequence[Epoch]], names: Sequence[str], *, ax: Axes | None = None
) -> Axes:
    """The ELBO on the validation rows against epochs, one line per run.

    Args:
        histories: The epochs of each run.
        names: A name for each run; runs of one name share one colour and one legend entry.
        ax: Axes to draw into; a new figure by default.

    Returns:
        The axes.

    Raises:
        ArgumentError: There is no history, or the numbers of names and histories differ.

    Example:
        >>> def epoch(number):
        ...     return Epoch(
        ...         number,
        ...         number,
        ...         1.0,
        ...         -9.0,
        ...         "ELBO",
        ...         -8.0,
        ...         1.0,
        ...         -9.0,
        ...         0.0,
        ...         1e-3,
        ...         1.0,
        ...         0,
        ...         validation_log_likelihood=-9.0 + number,
        ...     )
        >>> histories = [[epoch(1), epoch(2)], [epoch(1)], [epoch(1)]]
        >>> ax = validation_curves(histories, ["A", "B", "B"])
        >>> len(ax.lines), [text.get_text() for text in ax.get_legend().get_texts()]
        (3, ['A', 'B'])
    """
    if not histories or len(names) != len(histories):
        raise ArgumentError(
            f"it has {len(names)} names for {len(histories)} histories",
            argument="names",
            value=list(names),
            suggestions=("Pass one name per history, and at least one history",),
        )
    ax = resolve_axes(ax, width=6.2, height=3.6)
    lines = [epoch_values(history, "validation_elbo") for history in histories]
    colours = {name: PALETTE[i % len(PALETTE)] for i, name in enumerate(dict.fromkeys(names))}
    labelled: set[str] = set()
    for history, values, name in zip(histories, lines, names, strict=True):
        ax.plot(
            [epoch.epoch for epoch in history],
            values,
            color=colours[name],
            label="" if name in labelled else to_plot_text(name),
            linewidth=1.5,
            marker="." if len(history) < FEW_EPOCHS else "",
        )
        labelled.add(name)
    label_axes(ax, "epoch", "ELBO of validation rows, nats per datum")
    ax.legend(frameon=False, fontsize=FONT_SIZE - 1, ncols=1 + len(colours) // 8)
    scale_to_late_epochs(ax, lines, COMPARISON_SCALE_START)
    return ax


def forest_plot(
    differences: Sequence[Difference | None], names: Sequence[str], *, ax: Axes | None = None
) -> Axes:
    """Differences to the best model, with bars of two standard errors to each side.

    The best model is blue, a significantly worse one red, and one within the noise grey.

    Args:
        differences: The difference of each model to the best one; None for the best one itself.
        names: A name for each model.
        ax: Axes to draw into; a new figure by default.

    Returns:
        The axes.

    Example:
        >>> from aevb.metrics import Estimate
        >>> ax = forest_plot([None, Difference(Estimate(-2.0, 0.5), 0.001)], ["A", "B"])
        >>> [label.get_text() for label in ax.get_yticklabels()]
        ['A', 'B']
    """
    ax = resolve_axes(ax, width=6.2, height=0.75 + ROW_HEIGHT * len(differences))
    ax.axvline(0, color=GREY, linewidth=1)
    for row, difference in enumerate(differences):
        if difference is None:
            mean, reach, colour = 0.0, 0.0, PALETTE[0]
        else:
            mean, reach = difference.value.mean, 2 * difference.value.standard_error
            colour = WORSE_COLOUR if difference.is_significant else GREY
        ax.errorbar(
            mean if math.isfinite(mean) else math.nan,
            row,
            xerr=reach,
            fmt="o",
            color=colour,
            markersize=5,
            elinewidth=1.6,
            capsize=2.5,
        )
    label_axes(ax, "nats per datum, less the best", "")
    ax.set_yticks(range(len(differences)), [to_plot_text(name) for name in names])
    ax.set_ylim(len(differences) - 0.4, -0.6)
    return ax
