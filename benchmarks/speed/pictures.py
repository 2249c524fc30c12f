"""The pictures of docs/speed.md."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from aevb.plots._canvas import FONT_SIZE, GREY, PALETTE, TEXT_COLOURS, label_axes, new_figure, svg

OWN_PYTHON, REFERENCE_PYTHON, YARDSTICK = PALETTE[0], "#5b6068", "#d3d5d8"
SHADES = (0.5, 1.0)  # of one thread and of two threads
WIDTH, SIZE = 8.0, FONT_SIZE - 1


def bars(title: str, results: Sequence[dict[str, Any]], path: Path) -> None:
    """Samples per second of every contender with its 95 % interval, by number of threads."""
    names = list(results[0]["contenders"])
    thickness = 0.8 / len(results)
    ax = new_figure(
        WIDTH, 0.7 + 0.22 * len(results) * len(names) + 0.06 * len(names), layout="constrained"
    ).add_subplot()
    for number, (result, shade) in enumerate(zip(results, SHADES[-len(results) :], strict=True)):
        there = [
            name for name in names if name in result["contenders"]
        ]  # a contender may have been measured on one thread only
        places = (
            np.array([names.index(name) for name in there])
            + (number - (len(results) - 1) / 2) * thickness
        )
        _bars(
            ax,
            places,
            thickness,
            [result["contenders"][name] for name in there],
            [_colour(name) for name in there],
            shade,
        )
    label_axes(ax, "samples per second", "", SIZE)
    ax.set_yticks(range(len(names)), names)
    ax.invert_yaxis()
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    ax.margins(x=0.1, y=0.02)
    threads = [
        f"{result['threads']} thread{'s' if result['threads'] > 1 else ''}" for result in results
    ]
    both = f"{threads[0]} (light) and {threads[1]} (dark)" if len(threads) > 1 else threads[0]
    ax.set_title(f"{title}, {both}", fontsize=FONT_SIZE, loc="left")
    path.write_bytes(svg(ax))


def _bars(
    ax: Axes,
    places: np.ndarray,
    thickness: float,
    entries: Sequence[dict[str, Any]],
    colours: Sequence[str],
    shade: float,
) -> None:
    """The bars of one number of threads."""
    speeds = np.array([entry["samples_per_second"] for entry in entries])
    spans = np.array(
        [
            entry.get("samples_per_second_interval", [entry["samples_per_second"]] * 2)
            for entry in entries
        ]
    )
    ax.barh(places, speeds, thickness * 0.9, color=colours, alpha=shade)
    ax.errorbar(
        speeds,
        places,
        xerr=np.abs(spans - speeds[:, None]).T,
        fmt="none",
        ecolor=TEXT_COLOURS["light"],
        elinewidth=0.8,
    )
    for place, speed, top in zip(places, speeds, spans[:, 1], strict=True):
        ax.annotate(
            f"{speed:,.0f}",
            (top, place),
            (4, 0),
            textcoords="offset points",
            va="center",
            fontsize=SIZE - 1.5,
        )


def _colour(name: str) -> str:
    """The colour of a contender."""
    if name.startswith("aevb"):
        return OWN_PYTHON
    return YARDSTICK if name.startswith("matrix products") else REFERENCE_PYTHON


def growth(results: Sequence[dict[str, Any]], path: Path) -> None:
    """Cost against size on logarithmic axes with the exponents over the last decade."""
    (result,) = results
    kinds = [kind for kind in ("training", "evaluation") if result[kind]]
    sheet = new_figure(WIDTH, 3.9, layout="constrained")
    panels = sheet.subplots(1, len(kinds), squeeze=False)[0]
    for ax, kind in zip(panels, kinds, strict=True):
        for axis, colour in zip(result[kind].values(), PALETTE, strict=False):
            _line(ax, axis, colour)
        ax.set_xscale("log")
        ax.set_yscale("log")
        label_axes(ax, "size, by the smallest", "cost, by that of the smallest", SIZE)
        _proportional(ax)
        ax.set_title(kind, fontsize=FONT_SIZE, loc="left")
        ax.legend(
            frameon=False,
            fontsize=SIZE - 1,
            title="exponent in the last decade",
            title_fontsize=SIZE - 1,
            alignment="left",
        )
        for side in (ax.xaxis, ax.yaxis):
            side.set_major_formatter(lambda value, _: f"{value:,g}")
    path.write_bytes(svg(panels[0]))


def _line(ax: Axes, axis: dict[str, Any], colour: str) -> None:
    """The line of an axis."""
    sizes, seconds = np.array(axis["sizes"]) / axis["sizes"][0], np.array(axis["seconds"])
    low, high = np.array(axis["quartiles"]) / seconds[0]
    ax.plot(
        sizes,
        seconds / seconds[0],
        color=colour,
        linewidth=1.6,
        marker=".",
        label=f"{axis['title']}: {axis['last_decade']['median']:.2f}",
    )
    ax.fill_between(sizes, low, high, color=colour, alpha=0.2, linewidth=0)


def _proportional(ax: Axes) -> None:
    """A line of proportional cost."""
    top = ax.get_xlim()[1]
    ax.plot([1, top], [1, top], color=GREY, linewidth=0.8, linestyle=":", zorder=0)


def steady(results: Sequence[dict[str, Any]], path: Path) -> None:
    """Time per step and memory by window, over their medians."""
    (result,) = results
    sheet = new_figure(WIDTH, 3.4, layout="constrained")
    panels = sheet.subplots(1, 2)
    for ax, field, name in zip(
        panels,
        ("milliseconds", "mebibytes"),
        ("time per step", "memory of the process"),
        strict=True,
    ):
        for run, colour in zip(result["runs"].values(), PALETTE, strict=False):
            values = np.array(run[field])
            share = np.arange(1, len(values) + 1) / len(values)
            label = f"{run['title']}: {run['steps']:,} steps"
            ax.plot(share, values / np.median(values), color=colour, linewidth=1.0, label=label)
        label_axes(ax, "share of the run", f"{name}, by its median", SIZE)
        _around_one(ax)
    panels[0].legend(frameon=False, fontsize=SIZE - 1, loc="upper right")
    path.write_bytes(svg(panels[0]))


def _around_one(ax: Axes) -> None:
    """Limits of at least a fifth to both sides, so that noise does not look like a trend."""
    low, high = ax.get_ylim()
    ax.set_ylim(min(low, 0.8), max(high, 1.2))


def quality(results: Sequence[dict[str, Any]], path: Path) -> None:
    """Validation ELBO against seconds of training, a line per contender and seed."""
    (result,) = results
    sheet = new_figure(WIDTH, 4.2, layout="constrained")
    ax = sheet.add_subplot()
    for name, colour in zip(result["contenders"], PALETTE, strict=False):
        for number, run in enumerate(result["runs"]):
            label = {"label": name} if number == 0 else {}
            ax.plot(
                run[name]["seconds"], run[name]["validation"], color=colour, linewidth=1.2, **label
            )
    ends = [
        values
        for run in result["runs"]
        for entry in run.values()
        for values in entry["validation"][len(entry["validation"]) // 10 :]
    ]
    ax.set_ylim(min(ends), max(ends) + 0.05 * (max(ends) - min(ends)))
    label_axes(ax, "seconds of training, compiling included", "validation ELBO, nats", SIZE)
    ax.legend(frameon=False, fontsize=SIZE, loc="lower right")
    path.write_bytes(svg(ax))
