"""What models pay for their codes against what is then still missing."""

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

SERIES_COLOURS = tuple(
    colour for colour in PALETTE if colour not in ("#94a4a2", "#717581")
)  # its greys look like the helping lines
N_ELBO_LINES = 10  # helping lines, about
AXIS_MARGINS = (
    0.14,
    0.08,
)  # of the range of the points, before and after them: what is written beside a point is at its lower left


@dataclass(frozen=True)
class MarkerStyle:
    """What a learning rate looks like."""

    marker: str
    line_style: Literal["-", "--", ":", "-."]
    label_side: (
        int  # -1: betas are written to the lower left of their points, 1: to the upper right
    )


MARKER_STYLES = (
    MarkerStyle("o", "-", -1),
    MarkerStyle("s", "--", 1),
    MarkerStyle("^", ":", -1),
    MarkerStyle("D", "-.", 1),
)


@dataclass(frozen=True)
class SeriesStyle:
    """How the runs of one latent size and one learning rate are drawn."""

    colour: str
    marker_style: MarkerStyle


@dataclass(frozen=True)
class RateDistortionSeries:
    """Runs that differ in beta and seed alone, with their look: arrays ``[R]``, the last of them None where there are no betas."""

    rate: np.ndarray
    distortion: np.ndarray
    beta: np.ndarray | None
    style: SeriesStyle

    def iter_means(self) -> Iterator[tuple[float | None, float, float]]:
        """Beta in rising order, with the means of rate and distortion over the runs that have it."""
        for beta in [None] if self.beta is None else np.unique(self.beta):
            held = np.full(len(self.rate), True) if self.beta is None else self.beta == beta
            yield beta, self.rate[held].mean(), self.distortion[held].mean()


def rate_distortion(
    rate: Any,
    distortion: Any,
    latent: Any,
    beta: Any = None,
    learning_rate: Any = None,
    *,
    ax: Axes | None = None,
) -> Axes:
    """Runs ``[R]`` in the plane of rate and distortion, in nats per datum. Alemi et al., Fixing a broken ELBO (2018).

    ``-ELBO = rate + distortion``: the grey lines are where the ELBO is the same, and the lower left is better. A small point is a run, a
    large one the mean of those that differ in their seed alone. Colour is the size of ``latent``, marker the ``learning_rate`` where
    there are several; means that differ in nothing but ``beta`` are joined in its order, with its value beside them.

    Raises ``ArgumentError`` where the lengths differ, there is no run, or a number is not finite.

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
    sizes, speeds = _assign_styles(runs)
    ax = resolve_axes(ax, width=5.6, height=4.4)
    for series in _iter_series(runs, sizes, speeds):
        _draw_series(ax, series)
    _set_axis_limits(ax, runs["rate"], runs["distortion"])
    _draw_elbo_lines(ax)
    label_axes(ax, "rate: KL(q(z|x) ‖ p(z)) in nats", "distortion: −E log p(x|z) in nats")
    _legend(ax, sizes, speeds)
    return ax


def _check_runs(arguments: dict[str, Any]) -> dict[str, np.ndarray]:
    """What is given as arrays ``[R]``, or the refusal of what no picture can be made of."""
    found = {
        name: to_array(values).reshape(-1)
        for name, values in arguments.items()
        if values is not None
    }
    number = len(found["rate"])
    for name, values in found.items():
        if len(values) != number or number == 0:
            raise ArgumentError(
                f"`{name}` has {len(values)} numbers and `rate` has {number}; give one for each run, of at least one run."
            )
        if not np.isfinite(values).all():
            raise ArgumentError(
                f"`{name}` holds {values[~np.isfinite(values)][0]}; leave out runs whose numbers are not finite."
            )
    return found


def _assign_styles(
    runs: dict[str, np.ndarray],
) -> tuple[dict[float, str], dict[float, MarkerStyle]]:
    """The colour of each latent size; marker and line of each learning rate, of which one is made up where none is given."""
    sizes = np.unique(runs["latent"])
    speeds = np.unique(runs.get("learning_rate", [0.0]))
    return dict(zip(sizes, _series_colours(len(sizes)), strict=True)), dict(
        zip(speeds, cycle(MARKER_STYLES), strict=False)
    )


def _series_colours(number: int) -> Sequence[str]:
    """Colours that stay apart; where there are too few, a scale from dark to light."""
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
    speed_of = runs.get("learning_rate", np.zeros(len(runs["rate"])))
    for size, colour in colours.items():
        for speed, style in marker_styles.items():
            held = (runs["latent"] == size) & (speed_of == speed)
            if held.any():
                beta = runs["beta"][held] if "beta" in runs else None
                yield RateDistortionSeries(
                    runs["rate"][held], runs["distortion"][held], beta, SeriesStyle(colour, style)
                )


def _draw_series(ax: Axes, series: RateDistortionSeries) -> None:
    colour, style = series.style.colour, series.style.marker_style
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
    beside = {
        "xytext": (4 * style.label_side, 4 * style.label_side),
        "textcoords": "offset points",
        "fontsize": SMALL_FONT_SIZE - 1.5,
        "zorder": 5,
    }
    beside |= (
        {"ha": "right", "va": "top"} if style.label_side < 0 else {"ha": "left", "va": "bottom"}
    )
    for beta, rate, distortion in zip(betas, rates, distortions, strict=True):
        if beta is not None:
            ax.annotate(f"β {beta:g}", (rate, distortion), **beside)


def _set_axis_limits(ax: Axes, rate: np.ndarray, distortion: np.ndarray) -> None:
    """A window with some room around the points, a nat wide where they are all alike."""
    for values, limit in ((rate, ax.set_xlim), (distortion, ax.set_ylim)):
        width = np.ptp(values) or 1.0
        limit(values.min() - AXIS_MARGINS[0] * width, values.max() + AXIS_MARGINS[1] * width)


def _draw_elbo_lines(ax: Axes) -> None:
    """Lines of one ELBO each, at round numbers, named where they leave the window: at its right, or just above its floor."""
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
    (left, right), low = ax.get_xlim(), ax.get_ylim()[0]
    name = f"ELBO {bound:,.6g}".replace("-", "−")
    small: dict[str, Any] = {"fontsize": SMALL_FONT_SIZE - 2, "alpha": 0.75, "zorder": 1}
    if at_right:
        ax.text(right, -bound - right, f" {name}", va="center", **small)
    elif -bound - low > left + 0.2 * (right - left):  # nearer to the corner there is no room
        along: dict[str, Any] = {
            "rotation": -45,
            "rotation_mode": "anchor",
            "transform_rotates_text": True,
            "ha": "right",
            "va": "bottom",
        }
        ax.text(-bound - low, low, f"{name}  ", **along, **small)


def _legend(ax: Axes, colours: dict[float, str], marker_styles: dict[float, MarkerStyle]) -> None:
    """Above the axes: inside, every corner can hold points."""
    from matplotlib.lines import Line2D

    named = [
        Line2D([], [], color=colour, marker="o", markersize=5, label=f"latent {size:g}")
        for size, colour in colours.items()
    ]
    if len(marker_styles) > 1:
        named += [
            Line2D(
                [],
                [],
                color=GREY,
                marker=style.marker,
                linestyle=style.line_style,
                markersize=5,
                label=f"learning rate {speed:g}",
            )
            for speed, style in marker_styles.items()
        ]
    ax.legend(
        handles=named,
        frameon=False,
        fontsize=SMALL_FONT_SIZE,
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=4 if len(marker_styles) == 1 else 3,
    )
