"""Curves against epochs, and the KL divergence of each latent variable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..errors import ArgumentError
from ..training._history import Epoch
from ._canvas import FONT_SIZE, GREY, PALETTE, add_panels, label_axes, resolve_axes, to_array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CurveQuantity = Literal["bound", "log_likelihood", "kl"]
CURVE_FIELDS: dict[str, tuple[str, str]] = {
    "bound": ("bound", "validation"),
    "log_likelihood": ("log_likelihood", "validation_log_likelihood"),
    "kl": ("kl", "validation_kl"),
}
CURVE_TITLES = {"log_likelihood": "E log p(x|z)", "kl": "KL(q(z|x) ‖ p(z))"}
MAX_NUMBERED_LATENTS = 20
"""Largest number of latent variables with numbers on the axis."""

CURVE_SCALE_START = 0.1
"""Share of the epochs that does not set the scale, because curves are steep at the beginning."""

FEW_EPOCHS = 8
"""A curve of fewer epochs has a marker at each epoch."""


def training_curves(
    history: Sequence[Epoch],
    quantities: Sequence[CurveQuantity] | None = None,
    *,
    ax: Axes | None = None,
) -> Axes:
    """Training and validation against epochs, in nats per datum, each quantity under its name.

    Args:
        history: The epochs of a run.
        quantities: Any of ``"bound"``, ``"log_likelihood"`` and ``"kl"``; by default all that the
            run has. ``bound`` is the bound of the objective in training and the bound that selects
            the weights in validation (the reconstruction log-likelihood for a posterior without a
            density); ``log_likelihood`` is ``E_q log p(x|z)``; ``kl`` is the divergence from the
            prior. A single quantity fills the axes.
        ax: Axes to draw into; a new figure by default.

    Returns:
        The axes; for several quantities the panels are its ``child_axes``.

    Raises:
        ArgumentError: The history is empty.
    """
    if not history:
        raise ArgumentError(
            "it is empty",
            argument="history",
            value=list(history),
            suggestions=("Draw the curves after the first epoch",),
        )
    quantities = quantities or available_quantities(history)
    if len(quantities) == 1:
        host = resolve_axes(ax)
        panels = [host]
    else:
        host, panels = add_panels(ax, len(quantities), 1, ratio=0.45, gap=(0.0, 0.5))
    for panel, quantity in zip(panels, quantities, strict=True):
        _draw_curve(panel, history, quantity)
    return host


def available_quantities(history: Sequence[Epoch]) -> list[CurveQuantity]:
    """The quantities that a run records; an autoencoder records its bound alone."""
    return ["bound"] if history[-1].kl is None else ["bound", "log_likelihood", "kl"]


def kl_per_dimension(kl: Any, active: Any = None, *, ax: Axes | None = None) -> Axes:
    """Bars of the KL divergence of each latent variable in nats, largest first.

    Args:
        kl: Divergences ``[latent]``.
        active: Boolean ``[latent]``; inactive variables are grey. By default a variable is active
            above 0.01 nats.
        ax: Axes to draw into; a new figure by default.

    Returns:
        The axes.

    Example:
        >>> len(kl_per_dimension([0.0, 3.0, 1.5]).patches)
        3
    """
    values = to_array(kl).reshape(-1)
    is_active = values > 0.01 if active is None else to_array(active).reshape(-1) > 0
    order = np.argsort(-values, kind="stable")
    colours = [PALETTE[0] if is_active[i] else GREY for i in order]
    ax = resolve_axes(ax, height=2.7)
    ax.bar(range(len(values)), values[order], color=colours, width=0.8)
    label_axes(ax, "latent variable, largest first", "KL in nats")
    labels = [str(i) for i in order] if len(values) <= MAX_NUMBERED_LATENTS else []
    ax.set_xticks(range(len(labels)), labels)
    return ax


def _draw_curve(ax: Axes, history: Sequence[Epoch], quantity: CurveQuantity) -> None:
    """Training and validation of one quantity."""
    last = history[-1]
    bound = f"{last.bound_name}, no bound" if last.bound_kind == "neither" else last.bound_name
    title = CURVE_TITLES.get(quantity, bound)
    validation = last.validation_name if quantity == "bound" else title
    labels = (
        ("training", "validation")
        if validation == title
        else (f"training: {title}", f"validation: {validation}")
    )
    epochs = [epoch.epoch for epoch in history]
    lines = [epoch_values(history, field) for field in CURVE_FIELDS[quantity]]
    for values, label, colour in zip(lines, labels, (GREY, PALETTE[0]), strict=True):
        if np.isfinite(values).any():
            ax.plot(
                epochs,
                values,
                color=colour,
                label=label,
                linewidth=1.6,
                marker="." if len(epochs) < FEW_EPOCHS else "",
            )
    label_axes(ax, "epoch", "nats per datum")
    ax.set_title(title if validation == title else "bound", fontsize=FONT_SIZE)
    ax.legend(frameon=False, fontsize=FONT_SIZE - 1)
    scale_to_late_epochs(ax, lines)


def epoch_values(history: Sequence[Epoch], field: str) -> np.ndarray:
    """A number of each epoch, NaN for an epoch without it."""
    values = [getattr(epoch, field) for epoch in history]
    return np.array([np.nan if value is None else value for value in values], dtype=float)


def scale_to_late_epochs(
    ax: Axes, lines: Sequence[np.ndarray], start_fraction: float = CURVE_SCALE_START
) -> None:
    """Scale the axis to the values after the first ``start_fraction`` of the epochs."""
    late = np.concatenate([line[int(np.ceil(start_fraction * len(line))) :] for line in lines])
    late = late[np.isfinite(late)]
    if max(map(len, lines)) >= 10 and late.size and np.ptp(late) > 0:
        margin = 0.08 * np.ptp(late)
        ax.set_ylim(late.min() - margin, late.max() + margin)
