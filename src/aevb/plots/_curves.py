"""Numbers against epochs, and against latent variables."""

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
MAX_NUMBERED_LATENTS = 20  # latent variables that are numbered on the axis
CURVE_SCALE_START = 0.1  # of the epochs: their steep rise does not set the scale


def training_curves(
    history: Sequence[Epoch],
    quantities: Sequence[CurveQuantity] | None = None,
    *,
    ax: Axes | None = None,
) -> Axes:
    """Training and validation against epochs, in nats per datum, each number under its own name.

    ``bound`` is the objective's bound in training and the one that chooses the weights in validation (for a posterior without a density
    both are the reconstruction log-likelihood), ``log_likelihood`` is ``E_q log p(x|z)``, ``kl`` the divergence to the prior. By default
    all that the run has; a single quantity fills the axes.
    """
    if not history:
        raise ArgumentError("`history` is empty: a run has curves once its first epoch is over.")
    wanted = list(quantities or available_quantities(history))
    if len(wanted) == 1:
        host = resolve_axes(ax)
        parts = [host]
    else:
        host, parts = add_panels(ax, len(wanted), 1, ratio=0.45, gap=(0.0, 0.5))
    for part, quantity in zip(parts, wanted, strict=True):
        _draw_curve(part, history, quantity)
    return host


def available_quantities(history: Sequence[Epoch]) -> list[CurveQuantity]:
    """What a run has curves of: for an autoencoder its bound, which is the reconstruction log-likelihood, and nothing else."""
    return ["bound"] if history[-1].kl is None else ["bound", "log_likelihood", "kl"]


def kl_per_dimension(kl: Any, active: Any = None, *, ax: Axes | None = None) -> Axes:
    """The divergence of each latent variable ``[latent]`` in nats, largest first; those that are not ``active`` in grey.

    ``active`` is boolean ``[latent]``; by default what has more than 0.01 nats.

    >>> len(kl_per_dimension([0.0, 3.0, 1.5]).patches)
    3
    """
    values = to_array(kl).reshape(-1)
    alive = values > 0.01 if active is None else to_array(active).reshape(-1) > 0
    order = np.argsort(-values, kind="stable")
    ax = resolve_axes(ax, height=2.7)
    ax.bar(
        range(len(values)),
        values[order],
        color=[PALETTE[0] if alive[i] else GREY for i in order],
        width=0.8,
    )
    label_axes(ax, "latent variable, largest first", "KL in nats")
    few = len(values) <= MAX_NUMBERED_LATENTS
    ax.set_xticks(range(len(values)) if few else [], [str(i) for i in order] if few else [])
    return ax


def _draw_curve(ax: Axes, history: Sequence[Epoch], quantity: CurveQuantity) -> None:
    last = history[-1]
    title = CURVE_TITLES.get(
        quantity,
        f"{last.bound_name}, no bound" if last.bound_kind == "neither" else last.bound_name,
    )
    scored = last.validation_name if quantity == "bound" else title
    labels = (
        ("training", "validation")
        if scored == title
        else (f"training: {title}", f"validation: {scored}")
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
                marker="." if len(epochs) < 8 else "",
            )
    label_axes(ax, "epoch", "nats per datum")
    ax.set_title(title if scored == title else "bound", fontsize=FONT_SIZE)
    ax.legend(frameon=False, fontsize=FONT_SIZE - 1)
    scale_to_late_epochs(ax, lines)


def epoch_values(history: Sequence[Epoch], field: str) -> np.ndarray:
    """A number of each epoch, NaN where it has none."""
    values = [getattr(epoch, field) for epoch in history]
    return np.array([np.nan if value is None else value for value in values], dtype=float)


def scale_to_late_epochs(
    ax: Axes, lines: Sequence[np.ndarray], start_fraction: float = CURVE_SCALE_START
) -> None:
    """Let the scale be set by what comes after the ``start_fraction`` part of the epochs of each line."""
    late = np.concatenate([line[int(np.ceil(start_fraction * len(line))) :] for line in lines])
    late = late[np.isfinite(late)]
    if max(map(len, lines)) >= 10 and late.size and np.ptp(late) > 0:
        margin = 0.08 * np.ptp(late)
        ax.set_ylim(late.min() - margin, late.max() + margin)
