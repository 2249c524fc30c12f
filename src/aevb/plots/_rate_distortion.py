"""Rate against distortion: nats in the latent variables against nats that are still missing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..errors import ArgumentError
from ._canvas import GREY, PALETTE, SMALL_FONT_SIZE, label_axes, resolve_axes, to_array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SERIES_COLOURS = tuple(colour for colour in PALETTE if colour not in ("#94a4a2", "#717581"))
"""The palette without its greys, which look like the helping lines."""

N_ELBO_LINES = 10
"""Approximate number of helping lines."""

AXIS_MARGINS = (0.14, 0.08)
"""Margins before and after the points, over their range; labels are at the lower left of points."""


@dataclass(frozen=True)
class MarkerStyle:
    """The marker and line of a learning rate.

    Args:
        marker: Marker of matplotlib.
        line_style: Line style of matplotlib.
        label_side: Side of the label of a point: -1 for the lower left, 1 for the upper right.
    """

    marker: str
    line_style: Literal["-", "--", ":", "-."]
    label_side: int


MARKER_STYLES = (
    MarkerStyle("o", "-", -1),
    MarkerStyle("s", "--", 1),
    MarkerStyle("^", ":", -1),
    MarkerStyle("D", "-.", 1),
)


@dataclass(frozen=True)
class RateDistortionSeries:
    """Runs that differ in beta and seed alone, and how they are drawn.

    Args:
        rate: Rates ``[R]``.
        distortion: Distortions ``[R]``.
        beta: Betas ``[R]``; None if the runs have none.
        colour: Colour of the latent size.
        marker_style: Marker of the learning rate.
    """

    rate: np.ndarray
    distortion: np.ndarray
    beta: np.ndarray | None
    colour: str
    marker_style: MarkerStyle

    def iter_means(self) -> Iterator[tuple[float | None, float, float]]:
        """Each beta in rising order with the mean rate and the mean distortion of its runs."""
        for beta in [None] if self.beta is None else np.unique(self.beta):
            mask = np.full(len(self.rate), True) if self.beta is None else self.beta == beta
            yield beta, self.rate[mask].mean(), self.distortion[mask].mean()


def rate_distortion(
    rate: Any,
    distortion: Any,
    latent: Any,
    beta: Any = None,
    learning_rate: Any = None,
    *,
    ax: Axes | None = None,
) -> Axes:
    """Runs in the plane of rate and distortion, in nats per datum.

    ``-ELBO = rate + distortion``: the ELBO is constant along each grey line and higher to the lower
    left. A small point is a run, a large one the mean over seeds. Colour is the latent size; the
    marker is the learning rate if there are several. Lines join the means that differ in ``beta``
    alone, with its value at each point. Alemi et al., Fixing a broken ELBO (2018).

    Args:
        rate: Rates ``[R]``.
        distortion: Distortions ``[R]``.
        latent: Latent sizes ``[R]``.
        beta: Weights of the KL divergence ``[R]``.
        learning_rate: Learning rates ``[R]``.
        ax: Axes to draw into; a new figure by default.

    Returns:
        The axes.

    Raises:
        ArgumentError: The lengths differ, there is no run, or a number is not finite.

    Example:
        >>> ax = rate_distortion(
        ...     [5.0, 5.2, 9.0], [40.0, 39.9, 37.0], latent=[2, 2, 2], beta=[4.0, 4.0, 1.0]
        ... )
        >>> [text.get_text() for text in ax.get_legend().get_texts()]
        ['latent 2']
    """
    runs = _check_runs(
        {
            "rate": rate,
            "distortion": distortion,
            "latent": latent,
            "beta": beta,
            "learning_rate": learning_rate,
        }
    )
    colours, marker_styles = _assign_styles(runs)
    ax = resolve_axes(ax, width=5.6, height=4.4)
    for series in _iter_series(runs, colours, marker_styles):
        _draw_series(ax, series)
    _set_axis_limits(ax, runs["rate"], runs["distortion"])
    _draw_elbo_lines(ax)
    label_axes(ax, "rate: KL(q(z|x) ‖ p(z)) in nats", "distortion: −E log p(x|z) in nats")
    _add_legend(ax, colours, marker_styles)
    return ax


def _check_runs(arguments: dict[str, Any]) -> dict[str, np.ndarray]:
    """The arguments that are not None as arrays ``[R]``; ``ArgumentError`` for unusable ones."""
    runs = {
        name: to_array(values).reshape(-1)
        for name, values in arguments.items()
        if values is not None
    }
    number = len(runs["rate"])
    for name, values in runs.items():
        if len(values) != number or number == 0:
            raise ArgumentError(
                f"it has {len(values)} numbers, and `rate` has {number}",
                argument=name,
                value=values.tolist(),
                suggestions=("Pass one number per run, and at least one run",),
            )
        if not np.isfinite(values).all():
            raise ArgumentError(
                "not every number is finite",
                argument=name,
                value=float(values[~np.isfinite(values)][0]),
                suggestions=("Leave out runs with numbers that are not finite",),
            )
    return runs


def _assign_styles(
    runs: dict[str, np.ndarray],
) -> tuple[dict[float, str], dict[float, MarkerStyle]]:
    """A colour for each latent size and a marker for each learning rate, 0 if there is none."""
    sizes = np.unique(runs["latent"])
    learning_rates = np.unique(runs.get("learning_rate", [0.0]))
    colours = dict(zip(sizes, _series_colours(len(sizes)), strict=True))
    return colours, dict(zip(learning_rates, cycle(MARKER_STYLES), strict=False))


def _series_colours(number: int) -> Sequence[str]:
    """Distinct colours; a scale from dark to light for more than the palette has."""
    if number <= len(SERIES_COLOURS):
        return SERIES_COLOURS[:number]
    import matplotlib
    from matplotlib.colors import to_hex

    return [
        to_hex(colour) for colour in matplotlib.colormaps["viridis"](np.linspace(0, 0.9, number))
    ]


def _iter_series(
    runs: dict[str, np.ndarray], colours: dict[float, str], marker_styles: dict[float, MarkerStyle]
) -> Iterator[RateDistortionSeries]:
    """The runs of each latent size and learning rate."""
    learning_rates = runs.get("learning_rate", np.zeros(len(runs["rate"])))
    for size, colour in colours.items():
        for learning_rate, style in marker_styles.items():
            mask = (runs["latent"] == size) & (learning_rates == learning_rate)
            if mask.any():
                beta = runs["beta"][mask] if "beta" in runs else None
                yield RateDistortionSeries(
                    runs["rate"][mask], runs["distortion"][mask], beta, colour, style
                )


def _draw_series(ax: Axes, series: RateDistortionSeries) -> None:
    """Runs as small points, means as large points with a line and their betas."""
    colour, style = series.colour, series.marker_style
    ax.scatter(
        series.rate,
        series.distortion,
        s=9,
        marker=style.marker,
        color=colour,
        alpha=0.55,
        linewidths=0,
        zorder=3,
    )
    betas, rates, distortions = zip(*series.iter_means(), strict=True)
    ax.plot(
        rates,
        distortions,
        color=colour,
        linestyle=style.line_style,
        linewidth=1.4,
        marker=style.marker,
        markersize=5,
        zorder=4,
    )
    lower_left = style.label_side < 0
    for beta, rate, distortion in zip(betas, rates, distortions, strict=True):
        if beta is not None:
            ax.annotate(
                f"β {beta:g}",
                (rate, distortion),
                xytext=(4 * style.label_side, 4 * style.label_side),
                textcoords="offset points",
                fontsize=SMALL_FONT_SIZE - 1.5,
                zorder=5,
                ha="right" if lower_left else "left",
                va="top" if lower_left else "bottom",
            )


def _set_axis_limits(ax: Axes, rate: np.ndarray, distortion: np.ndarray) -> None:
    """Limits with a margin around the points; the range is one nat if all points are equal."""
    for values, limit in ((rate, ax.set_xlim), (distortion, ax.set_ylim)):
        width = np.ptp(values) or 1.0
        limit(values.min() - AXIS_MARGINS[0] * width, values.max() + AXIS_MARGINS[1] * width)


def _draw_elbo_lines(ax: Axes) -> None:
    """Lines of constant ELBO at round numbers, with labels at the right or the lower border."""
    from matplotlib.ticker import MaxNLocator

    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    for bound in MaxNLocator(N_ELBO_LINES).tick_values(-right - high, -left - low):
        start, end = max(left, -bound - high), min(right, -bound - low)
        if start < end:
            ax.plot(
                [start, end],
                [-bound - start, -bound - end],
                color=GREY,
                linewidth=0.6,
                alpha=0.6,
                zorder=1,
            )
            _label_elbo_line(ax, bound, -bound - right >= low)


def _label_elbo_line(ax: Axes, bound: float, at_right: bool) -> None:
    """The label of a line where it leaves the window."""
    (left, right), low = ax.get_xlim(), ax.get_ylim()[0]
    name = f"ELBO {bound:,.6g}".replace("-", "−")
    small: dict[str, Any] = {"fontsize": SMALL_FONT_SIZE - 2, "alpha": 0.75, "zorder": 1}
    if at_right:
        ax.text(right, -bound - right, f" {name}", va="center", **small)
    elif -bound - low > left + 0.2 * (right - left):  # no room nearer to the corner
        along: dict[str, Any] = {
            "rotation": -45,
            "rotation_mode": "anchor",
            "transform_rotates_text": True,
            "ha": "right",
            "va": "bottom",
        }
        ax.text(-bound - low, low, f"{name}  ", **along, **small)


def _add_legend(
    ax: Axes, colours: dict[float, str], marker_styles: dict[float, MarkerStyle]
) -> None:
    """A legend above the axes, because points may lie in every corner inside."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=colour, marker="o", markersize=5, label=f"latent {size:g}")
        for size, colour in colours.items()
    ]
    if len(marker_styles) > 1:
        handles += [
            Line2D(
                [],
                [],
                color=GREY,
                marker=style.marker,
                linestyle=style.line_style,
                markersize=5,
                label=f"learning rate {learning_rate:g}",
            )
            for learning_rate, style in marker_styles.items()
        ]
    ax.legend(
        handles=handles,
        frameon=False,
        fontsize=SMALL_FONT_SIZE,
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=4 if len(marker_styles) == 1 else 3,
    )
