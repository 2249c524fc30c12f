"""The canvas of every picture: figures without a window and without global state."""

from __future__ import annotations

import io
import math
import warnings
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from torch import Tensor

from ..errors import missing_extra
from ..notes import visible_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PALETTE = (
    "#3f90da",
    "#ffa90e",
    "#bd1f01",
    "#94a4a2",
    "#832db6",
    "#a96b59",
    "#e76300",
    "#b9ac70",
    "#717581",
    "#92dadd",
)
"""Ten colours that differ under every colour vision.

Petroff, Accessible color sequences for data visualization (2021).
"""

GREY = "#8b8f94"
"""Colour of helping lines, legible on white and on black."""

TEXT_COLOURS = {"light": "#1d2126", "dark": "#e6e8ea"}
BACKGROUND_COLOURS = {"light": "#ffffff", "dark": "none"}
FIXED_COLOUR_GROUP = "fixed"
"""Group of texts on a background of their own; they keep their colour in every scheme."""

DPI = 200
FONT_SIZE, SMALL_FONT_SIZE = 9.5, 8.5
FIGURE_WIDTH = 4.8
"""Width of a figure in inches."""

MAX_NAME_LENGTH = 22
"""Largest number of characters of a name in a picture."""

ColourScheme = Literal["light", "dark"]


def new_figure(width: float, height: float, **options: Any) -> Figure:
    """A figure without a window. Raises ``MissingExtraError`` if matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise missing_extra("plot", "drawing pictures") from error
    return Figure(figsize=(width, height), dpi=DPI, **options)


def resolve_axes(ax: Axes | None, width: float = FIGURE_WIDTH, height: float = 3.1) -> Axes:
    """``ax``, or the axes of a new figure of ``width`` by ``height`` inches."""
    return new_figure(width, height, layout="constrained").add_subplot() if ax is None else ax


def label_axes(ax: Axes, x_label: str, y_label: str, size: float = FONT_SIZE) -> None:
    """Label the axes and hide the top and right sides of the frame."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_xlabel(x_label, fontsize=size)
    ax.set_ylabel(y_label, fontsize=size)
    ax.tick_params(labelsize=size - 1)


def add_panels(
    ax: Axes | None,
    count: int,
    n_columns: int,
    ratio: float = 0.8,
    gap: tuple[float, float] = (0.36, 0.5),
) -> tuple[Axes, list[Axes]]:
    """Host axes with ``count`` panels inside, ``n_columns`` per row.

    ``ratio`` is the height of a panel over its width; ``gap`` is in widths and heights of a panel.
    """
    n_columns = min(n_columns, count)
    n_rows = math.ceil(count / n_columns)
    width = 1 / (n_columns + gap[0] * (n_columns - 1))
    height = 1 / (n_rows + gap[1] * (n_rows - 1))
    inches = (FIGURE_WIDTH - 0.5) * width * ratio / height + 0.3
    host = resolve_axes(ax, FIGURE_WIDTH, inches)
    host.set_axis_off()
    step = (width * (1 + gap[0]), height * (1 + gap[1]))
    corners = [
        ((i % n_columns) * step[0], 1 - height - (i // n_columns) * step[1]) for i in range(count)
    ]
    return host, [host.inset_axes((*corner, width, height)) for corner in corners]


def to_plot_text(text: object) -> str:
    """A name as pictures show it: one short line, without formulas, never hidden from a legend.

    >>> to_plot_text("price in $ and $"), to_plot_text("_id"), to_plot_text("x" * 40)
    ('price in \\\\$ and \\\\$', ' _id', 'xxxxxxxxxxxxxxxxxxxxx…')
    """
    line = visible_text(" ".join(str(text).split()))
    line = line if len(line) <= MAX_NAME_LENGTH else line[: MAX_NAME_LENGTH - 1] + "…"
    return (" " if line.startswith("_") else "") + line.replace("$", r"\$")


def to_array(values: Any) -> np.ndarray:
    """A tensor on any device, an array or a list as a float64 array."""
    return np.asarray(
        values.detach().cpu() if isinstance(values, Tensor) else values, dtype=np.float64
    )


def png(ax: Axes, scheme: ColourScheme = "light") -> bytes:
    """Render the whole figure of the axes as a PNG.

    Args:
        ax: Axes of the figure.
        scheme: ``"light"`` for dark text on white, ``"dark"`` for light text on a transparent
            background.

    Returns:
        The bytes of the PNG file.
    """
    return _render(ax, scheme, "png")


def svg(ax: Axes, scheme: ColourScheme = "light") -> bytes:
    """Render the whole figure of the axes as an SVG, which is sharp at any size.

    The same picture gives the same bytes.

    Args:
        ax: Axes of the figure.
        scheme: ``"light"`` for dark text on white, ``"dark"`` for light text on a transparent
            background.

    Returns:
        The bytes of the SVG file.
    """
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": "aevb"}):
        return _render(ax, scheme, "svg", metadata={"Date": None})


def _render(ax: Axes, scheme: ColourScheme, format: str, **options: Any) -> bytes:
    """The bytes of the figure in a format and a colour scheme."""
    root = ax.get_figure(root=True)
    assert root is not None
    _set_text_colour(root, TEXT_COLOURS[scheme])
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # a glyph that the font lacks is drawn as a box
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        root.savefig(buffer, format=format, facecolor=BACKGROUND_COLOURS[scheme], **options)
    return buffer.getvalue()


def _set_text_colour(figure: Figure, colour: str) -> None:
    """Set the colour of texts, ticks and frames."""
    from matplotlib.axes import Axes
    from matplotlib.text import Text

    for part in figure.findobj(Axes):
        assert isinstance(part, Axes)
        part.tick_params(colors=colour, which="both")
        part.patch.set_alpha(0)
        for spine in part.spines.values():
            spine.set_edgecolor(colour)
    for text in figure.findobj(Text):
        if isinstance(text, Text) and text.get_gid() != FIXED_COLOUR_GROUP:
            text.set_color(colour)
