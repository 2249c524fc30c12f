"""Where pictures are drawn: figures without a window and without a global state."""

from __future__ import annotations

import io
import math
import warnings
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from torch import Tensor

from ..errors import missing_extra

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Petroff, Accessible color sequences for data visualization (2021): ten that stay apart under every colour vision
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
GREY = "#8b8f94"  # for helping lines: it reads on white and on black
TEXT_COLOURS = {"light": "#1d2126", "dark": "#e6e8ea"}
BACKGROUND_COLOURS = {"light": "#ffffff", "dark": "none"}
FIXED_COLOUR_GROUP = (
    "fixed"  # group of texts that keep their colour, because they have a background of their own
)
DPI = 200
FONT_SIZE, SMALL_FONT_SIZE = 9.5, 8.5
FIGURE_WIDTH = 4.8  # inches
MAX_NAME_LENGTH = 22  # characters of a name that are shown

ColourScheme = Literal["light", "dark"]


def new_figure(width: float, height: float, **options: Any) -> Figure:
    """A figure that no window system knows of. Raises ``MissingExtraError`` where matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise missing_extra("plot", "drawing pictures") from error
    return Figure(figsize=(width, height), dpi=DPI, **options)


def resolve_axes(ax: Axes | None, width: float = FIGURE_WIDTH, height: float = 3.1) -> Axes:
    """The axes given, or those of a new figure of ``width`` by ``height`` inches."""
    return new_figure(width, height, layout="constrained").add_subplot() if ax is None else ax


def label_axes(ax: Axes, x_label: str, y_label: str, size: float = FONT_SIZE) -> None:
    """Label the axes, and take away the two sides of the frame that nothing is read from."""
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
    """The axes with ``count`` small ones inside, ``across`` in a row; ``gap`` is in sizes of a panel, ``ratio`` its height by its width."""
    n_columns = min(n_columns, count)
    down = math.ceil(count / n_columns)
    width, height = 1 / (n_columns + gap[0] * (n_columns - 1)), 1 / (down + gap[1] * (down - 1))
    inches = (FIGURE_WIDTH - 0.5) * width * ratio / height + 0.3
    host = resolve_axes(ax, FIGURE_WIDTH, inches)
    host.set_axis_off()
    step = (width * (1 + gap[0]), height * (1 + gap[1]))
    places = [
        ((i % n_columns) * step[0], 1 - height - (i // n_columns) * step[1], width, height)
        for i in range(count)
    ]
    return host, [host.inset_axes(place) for place in places]


def to_plot_text(text: object) -> str:
    """A name as it is to be drawn: no formulas, one line, not too long, and never hidden from a legend.

    >>> plain("price in $ and $"), plain("_id"), plain("x" * 40)
    ('price in \\\\$ and \\\\$', ' _id', 'xxxxxxxxxxxxxxxxxxxxx…')
    """
    line = " ".join(str(text).split())
    line = line if len(line) <= MAX_NAME_LENGTH else line[: MAX_NAME_LENGTH - 1] + "…"
    return (" " if line.startswith("_") else "") + line.replace("$", r"\$")


def to_array(values: Any) -> np.ndarray:
    """Numbers of any kind, on any device, as a float64 array."""
    return np.asarray(
        values.detach().cpu() if isinstance(values, Tensor) else values, dtype=np.float64
    )


def png(ax: Axes, scheme: ColourScheme = "light") -> bytes:
    """The whole figure of these axes as the bytes of a PNG.

    Text and frames take the colour of the scheme: dark on white, or light on nothing, for a page that is dark.
    """
    return _render(ax, scheme, "png")


def svg(ax: Axes, scheme: ColourScheme = "light") -> bytes:
    """The same as the bytes of an SVG, which stays sharp at any size; the same picture has the same bytes."""
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": "aevb"}):
        return _render(ax, scheme, "svg", metadata={"Date": None})


def _render(ax: Axes, scheme: ColourScheme, format: str, **options: Any) -> bytes:
    root = ax.get_figure(root=True)
    assert root is not None
    _set_text_colour(root, TEXT_COLOURS[scheme])
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="Glyph .* missing"
        )  # a name in a script that the font lacks is drawn as boxes
        root.savefig(buffer, format=format, facecolor=BACKGROUND_COLOURS[scheme], **options)
    return buffer.getvalue()


def _set_text_colour(figure: Figure, colour: str) -> None:
    from matplotlib.axes import Axes
    from matplotlib.text import Text

    for part in figure.findobj(Axes):
        assert isinstance(part, Axes)
        part.tick_params(colors=colour, which="both")
        part.patch.set_alpha(0)
        for side in part.spines.values():
            side.set_edgecolor(colour)
    for text in figure.findobj(Text):
        if isinstance(text, Text) and text.get_gid() != FIXED_COLOUR_GROUP:
            text.set_color(colour)
