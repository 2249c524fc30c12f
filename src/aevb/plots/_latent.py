"""Maps of latent codes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ArgumentError
from ._canvas import (
    FIXED_COLOUR_GROUP,
    GREY,
    PALETTE,
    SMALL_FONT_SIZE,
    label_axes,
    resolve_axes,
    to_array,
    to_plot_text,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PRIOR_CONTOUR_MASSES = (0.5, 0.95)  # of the prior's mass inside


@dataclass(frozen=True)
class LatentProjection:
    """Codes in two dimensions, and what these are."""

    points: np.ndarray  # [N, 2]
    axis_names: tuple[str, str]
    description: str
    is_axis_aligned: bool  # two of the latent variables, and not a projection of all


def project_latents(z: Any, kl: Any = None) -> LatentProjection:
    """Two dimensions to look at codes ``[N, latent]`` in.

    The two variables themselves where there are two; else the two with the largest divergence ``kl`` ``[latent]``; without one, the two
    principal components.

    >>> plane(np.zeros((5, 3)), kl=[0.1, 2.0, 1.0]).said
    'latent variables 1 and 2, those with the largest KL of 3'
    """
    z = to_array(z).reshape(len(z), -1)
    size = z.shape[1]
    if size == 1:
        return LatentProjection(
            np.concatenate([z, np.zeros_like(z)], 1), ("z0", ""), "the only latent variable", True
        )
    if size == 2:
        return LatentProjection(z, ("z0", "z1"), "both latent variables", True)
    if kl is not None:
        first, second = (int(i) for i in np.argsort(-to_array(kl).reshape(-1), kind="stable")[:2])
        said = f"latent variables {first} and {second}, those with the largest KL of {size}"
        return LatentProjection(z[:, [first, second]], (f"z{first}", f"z{second}"), said, True)
    centred = z - z.mean(0)
    _, lengths, directions = np.linalg.svd(centred, full_matrices=False)
    share = float((lengths[:2] ** 2).sum() / max((lengths**2).sum(), 1e-300))
    said = f"the two principal components of {size} latent variables, {share:.0%} of their variance"
    return LatentProjection(centred @ directions[:2].T, ("component 1", "component 2"), said, False)


def latent_map(
    z: Any,
    labels: Any = None,
    class_names: Sequence[str] | None = None,
    *,
    axis_names: tuple[str, str] = ("z0", "z1"),
    prior_contours: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Codes ``[N, 2]`` as points, coloured by class.

    ``labels`` are class numbers ``[N]`` and ``classes`` their names; beyond ten classes the ten largest are coloured, the others grey.
    Each class is named at its median. ``prior_contours`` adds the circles that hold 50 % and 95 % of a standard normal prior.
    """
    points = to_array(z)
    if points.ndim != 2 or points.shape[1] != 2:
        raise ArgumentError(
            f"`codes` has shape {points.shape}; a map takes [N, 2]: write plots.plane(codes).points."
        )
    ax = resolve_axes(ax, height=4.7)
    style = {
        "s": float(np.clip(9000 / max(len(points), 1), 2, 14)),
        "linewidths": 0,
        "alpha": 0.75,
        "rasterized": True,
    }
    if prior_contours:
        _draw_prior_contours(ax)
    if labels is None:
        ax.scatter(*points.T, color=PALETTE[0], **style)
    else:
        _draw_classes(ax, points, to_array(labels).astype(int), class_names, style)
    ax.set_aspect("equal", adjustable="datalim")
    label_axes(ax, *axis_names)
    return ax


def _draw_classes(
    ax: Axes,
    points: np.ndarray,
    labels: np.ndarray,
    class_names: Sequence[str] | None,
    style: dict[str, Any],
) -> None:
    found, sizes = np.unique(labels, return_counts=True)
    largest = sorted(
        int(label) for label in found[np.argsort(-sizes, kind="stable")][: len(PALETTE)]
    )
    rest = ~np.isin(labels, largest)
    ax.scatter(*points[rest].T, color=GREY, **style)
    colours = np.array(
        [PALETTE[largest.index(label)] if label in largest else GREY for label in labels]
    )
    order = np.random.default_rng(0).permutation(
        np.flatnonzero(~rest)
    )  # no class lies on top of all others
    ax.scatter(*points[order].T, c=list(colours[order]), **style)
    for label, colour in zip(largest, PALETTE, strict=False):
        name = (
            to_plot_text(class_names[label])
            if class_names is not None and label < len(class_names)
            else str(label)
        )
        x, y = np.median(points[labels == label], axis=0)
        ax.text(
            x, y, name, gid=FIXED_COLOUR_GROUP, fontsize=SMALL_FONT_SIZE + 1, ha="center", va="center", color="#000000", fontweight="bold",
            bbox={"boxstyle": "round,pad=0.25", "facecolor": "#ffffff", "edgecolor": colour, "linewidth": 1.8, "alpha": 0.92},
        )  # fmt: skip


def _draw_prior_contours(ax: Axes) -> None:
    from matplotlib.patches import Circle

    for share in PRIOR_CONTOUR_MASSES:
        radius = math.sqrt(-2 * math.log(1 - share))
        ax.add_patch(
            Circle(
                (0, 0),
                radius,
                fill=False,
                edgecolor=GREY,
                linewidth=0.9,
                linestyle="--",
                label=f"{share:.0%}",
            )
        )
        ax.annotate(
            f"{share:.0%} of prior",
            (0, radius),
            fontsize=SMALL_FONT_SIZE - 1,
            ha="center",
            va="bottom",
        )
