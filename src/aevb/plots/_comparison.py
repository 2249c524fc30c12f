"""Runs side by side: how they were trained, and how far apart they are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import ArgumentError
from ..metrics._comparison import Difference
from ..training._history import Epoch
from ._canvas import FONT_SIZE, GREY, PALETTE, label_axes, resolve_axes, to_plot_text
from ._curves import epoch_values, scale_to_late_epochs

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROW_HEIGHT = 0.34  # inches for a side
WORSE_COLOUR = PALETTE[2]
COMPARISON_SCALE_START = (
    0.4  # of the epochs of each run: runs of other lengths are told apart at their ends
)


def validation_curves(
    histories: Sequence[Sequence[Epoch]], names: Sequence[str], *, ax: Axes | None = None
) -> Axes:
    """The ELBO of the validation rows of each run against epochs; those of one name have one colour.

    Raises ``ArgumentError`` where there is no history, or not a name for each.

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
    >>> ax = validation([[epoch(1), epoch(2)], [epoch(1)], [epoch(1)]], ["A", "B", "B"])
    >>> len(ax.lines), [text.get_text() for text in ax.get_legend().get_texts()]
    (3, ['A', 'B'])
    """
    if not histories or len(names) != len(histories):
        raise ArgumentError(
            f"`names` holds {len(names)} for {len(histories)} histories; give one for each, of at least one run."
        )
    ax, lines = (
        resolve_axes(ax, width=6.2, height=3.6),
        [epoch_values(history, "validation_elbo") for history in histories],
    )
    colours = {
        name: PALETTE[place % len(PALETTE)] for place, name in enumerate(dict.fromkeys(names))
    }
    shown: set[str] = set()
    for history, values, name in zip(histories, lines, names, strict=True):
        few = "." if len(history) < 8 else ""
        label = "" if name in shown else to_plot_text(name)
        ax.plot(
            [epoch.epoch for epoch in history],
            values,
            color=colours[name],
            label=label,
            linewidth=1.5,
            marker=few,
        )
        shown.add(name)
    label_axes(ax, "epoch", "ELBO of validation rows, nats per datum")
    ax.legend(frameon=False, fontsize=FONT_SIZE - 1, ncols=1 + len(colours) // 8)
    scale_to_late_epochs(ax, lines, COMPARISON_SCALE_START)
    return ax


def forest_plot(
    differences: Sequence[Difference | None], names: Sequence[str], *, ax: Axes | None = None
) -> Axes:
    """Sides less the best one, None for that one itself: a bar of two standard errors to each side, grey where it is noise.

    >>> from aevb.metrics import Measured
    >>> ax = differences([None, Difference(Estimate(-2.0, 0.5), 0.001)], ["A", "B"])
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['A', 'B']
    """
    ax = resolve_axes(ax, width=6.2, height=0.75 + ROW_HEIGHT * len(differences))
    ax.axvline(0, color=GREY, linewidth=1)
    for place, each in enumerate(differences):
        mean, reach = (
            (0.0, 0.0) if each is None else (each.value.mean, 2 * each.value.standard_error)
        )
        mean = mean if math.isfinite(mean) else math.nan
        colour = PALETTE[0] if each is None else WORSE_COLOUR if each.is_significant else GREY
        ax.errorbar(
            mean,
            place,
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
