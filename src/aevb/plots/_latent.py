"""Maps of latent variables."""

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

PRIOR_CONTOUR_MASSES = (0.5, 0.95)
"""Prior mass inside each contour."""


@dataclass(frozen=True)
class LatentProjection:
    """Latent variables in two dimensions.

    Args:
        points: Coordinates ``[N, 2]``.
        axis_names: Labels of the two axes.
        description: The projection in words.
        is_axis_aligned: Whether the axes are two of the latent variables themselves.
    """

    points: np.ndarray
    axis_names: tuple[str, str]
    description: str
    is_axis_aligned: bool


def project_latents(z: Any, kl: Any = None) -> LatentProjection:
    """Project latent variables on two dimensions.

    Two latent variables stay as they are. Of more, the projection keeps the two with the largest KL
    divergence, or the two principal components if ``kl`` is missing.

    Args:
        z: Latent variables ``[N, *latent]``.
        kl: KL divergence of each variable, ``[latent]``.

    Returns:
        The points with their axis names and a description.

    Example:
        >>> project_latents(np.zeros((5, 3)), kl=[0.1, 2.0, 1.0]).description
        'latent variables 1 and 2, those with the largest KL of 3'
    """
    z = to_array(z).reshape(len(z), -1)
    size = z.shape[1]
    if size == 1:
        points = np.concatenate([z, np.zeros_like(z)], 1)
        return LatentProjection(points, ("z0", ""), "the only latent variable", True)
    if size == 2:
        return LatentProjection(z, ("z0", "z1"), "both latent variables", True)
    if kl is not None:
        first, second = (int(i) for i in np.argsort(-to_array(kl).reshape(-1), kind="stable")[:2])
        text = f"latent variables {first} and {second}, those with the largest KL of {size}"
        return LatentProjection(z[:, [first, second]], (f"z{first}", f"z{second}"), text, True)
    centred = z - z.mean(0)
    _, lengths, directions = np.linalg.svd(centred, full_matrices=False)
    share = float((lengths[:2] ** 2).sum() / max((lengths**2).sum(), 1e-300))
    text = f"the two principal components of {size} latent variables, {share:.0%} of their variance"
    return LatentProjection(centred @ directions[:2].T, ("component 1", "component 2"), text, False)


def latent_map(
    z: Any,
    labels: Any = None,
    class_names: Sequence[str] | None = None,
    *,
    axis_names: tuple[str, str] = ("z0", "z1"),
    prior_contours: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Latent variables as points in the plane, coloured by class.

    The name of each class stands at its median. Of more than ten classes the ten largest have a
    colour, and the others are grey.

    Args:
        z: Points ``[N, 2]``.
        labels: Class numbers ``[N]``.
        class_names: A name for each class; the class numbers by default.
        axis_names: Labels of the two axes.
        prior_contours: Whether to draw the circles that contain 50 % and 95 % of a standard normal
            prior.
        ax: Axes to draw into; a new figure by default.

    Returns:
        The axes.

    Raises:
        ArgumentError: The points are not two-dimensional.
    """
    points = to_array(z)
    if points.ndim != 2 or points.shape[1] != 2:
        raise ArgumentError(
            f"its shape is {list(points.shape)}, and a map needs [N, 2]",
            argument="z",
            suggestions=("Pass plots.project_latents(z).points",),
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
    """Points in the colour of their class, with a label for each coloured class."""
    classes, sizes = np.unique(labels, return_counts=True)
    largest = sorted(
        int(label) for label in classes[np.argsort(-sizes, kind="stable")][: len(PALETTE)]
    )
    is_small = ~np.isin(labels, largest)
    ax.scatter(*points[is_small].T, color=GREY, **style)
    colours = np.array(
        [PALETTE[largest.index(label)] if label in largest else GREY for label in labels]
    )
    # in random order, so that no class covers all others
    order = np.random.default_rng(0).permutation(np.flatnonzero(~is_small))
    ax.scatter(*points[order].T, c=list(colours[order]), **style)
    for label, colour in zip(largest, PALETTE, strict=False):
        has_name = class_names is not None and label < len(class_names)
        name = to_plot_text(class_names[label]) if class_names and has_name else str(label)
        x, y = np.median(points[labels == label], axis=0)
        ax.text(
            x,
            y,
            name,
            gid=FIXED_COLOUR_GROUP,
            fontsize=SMALL_FONT_SIZE + 1,
            ha="center",
            va="center",
            color="#000000",
            fontweight="bold",
            bbox={
                "boxstyle": "round,pad=0.25",
                "facecolor": "#ffffff",
                "edgecolor": colour,
                "linewidth": 1.8,
                "alpha": 0.92,
            },
        )


def _draw_prior_contours(ax: Axes) -> None:
    """Circles around a share of a standard normal prior."""
    from matplotlib.patches import Circle

    for mass in PRIOR_CONTOUR_MASSES:
        radius = math.sqrt(-2 * math.log(1 - mass))
        circle = Circle(
            (0, 0),
            radius,
            fill=False,
            edgecolor=GREY,
            linewidth=0.9,
            linestyle="--",
            label=f"{mass:.0%}",
        )
        ax.add_patch(circle)
        ax.annotate(
            f"{mass:.0%} of prior",
            (0, radius),
            fontsize=SMALL_FONT_SIZE - 1,
            ha="center",
            va="bottom",
        )
