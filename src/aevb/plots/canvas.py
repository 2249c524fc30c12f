"""Where pictures are drawn: figures without a window and without a global state."""

from __future__ import annotations

import io
import math
import warnings
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from torch import Tensor

from ..errors import extra

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Petroff, Accessible color sequences for data visualization (2021): ten that stay apart under every colour vision
PALETTE = ("#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd")
GREY = "#8b8f94"  # for helping lines: it reads on white and on black
INK = {"light": "#1d2126", "dark": "#e6e8ea"}
PAPER = {"light": "#ffffff", "dark": "none"}
FIXED = "fixed"  # group of texts that keep their colour, because they have a background of their own
DPI = 200
TEXT, SMALL = 9.5, 8.5
WIDTH = 4.8  # inches
LENGTH = 22  # characters of a name that are shown

Scheme = Literal["light", "dark"]


def figure(width: float, height: float, **options: Any) -> Figure:
    """A figure that no window system knows of. Raises ``MissingExtraError`` where matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise extra("plot", "drawing pictures") from error
    return Figure(figsize=(width, height), dpi=DPI, **options)


def axes(ax: Axes | None, width: float = WIDTH, height: float = 3.1) -> Axes:
    """The axes given, or those of a new figure of ``width`` by ``height`` inches."""
    return figure(width, height, layout="constrained").add_subplot() if ax is None else ax


def tidy(ax: Axes, x: str, y: str, size: float = TEXT) -> None:
    """Label the axes, and take away the two sides of the frame that nothing is read from."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_xlabel(x, fontsize=size)
    ax.set_ylabel(y, fontsize=size)
    ax.tick_params(labelsize=size - 1)


def panels(ax: Axes | None, count: int, across: int, ratio: float = 0.8, gap: tuple[float, float] = (0.36, 0.5)) -> tuple[Axes, list[Axes]]:
    """The axes with ``count`` small ones inside, ``across`` in a row; ``gap`` is in sizes of a panel, ``ratio`` its height by its width."""
    across = min(across, count)
    down = math.ceil(count / across)
    width, height = 1 / (across + gap[0] * (across - 1)), 1 / (down + gap[1] * (down - 1))
    inches = (WIDTH - 0.5) * width * ratio / height + 0.3
    host = axes(ax, WIDTH, inches)
    host.set_axis_off()
    step = (width * (1 + gap[0]), height * (1 + gap[1]))
    places = [((i % across) * step[0], 1 - height - (i // across) * step[1], width, height) for i in range(count)]
    return host, [host.inset_axes(place) for place in places]


def plain(text: object) -> str:
    """A name as it is to be drawn: no formulas, one line, not too long, and never hidden from a legend.

    >>> plain("price in $ and $"), plain("_id"), plain("x" * 40)
    ('price in \\\\$ and \\\\$', ' _id', 'xxxxxxxxxxxxxxxxxxxxx…')
    """
    line = " ".join(str(text).split())
    line = line if len(line) <= LENGTH else line[: LENGTH - 1] + "…"
    return (" " if line.startswith("_") else "") + line.replace("$", r"\$")


def array(values: Any) -> np.ndarray:
    """Numbers of any kind, on any device, as a float64 array."""
    return np.asarray(values.detach().cpu() if isinstance(values, Tensor) else values, dtype=np.float64)


def png(ax: Axes, scheme: Scheme = "light") -> bytes:
    """The whole figure of these axes as the bytes of a PNG.

    Text and frames take the colour of the scheme: dark on white, or light on nothing, for a page that is dark.
    """
    return _saved(ax, scheme, "png")


def svg(ax: Axes, scheme: Scheme = "light") -> bytes:
    """The same as the bytes of an SVG, which stays sharp at any size; the same picture has the same bytes."""
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": "aevb"}):
        return _saved(ax, scheme, "svg", metadata={"Date": None})


def _saved(ax: Axes, scheme: Scheme, format: str, **options: Any) -> bytes:
    root = ax.get_figure(root=True)
    assert root is not None
    _ink(root, INK[scheme])
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # a name in a script that the font lacks is drawn as boxes
        root.savefig(buffer, format=format, facecolor=PAPER[scheme], **options)
    return buffer.getvalue()


def _ink(figure: Figure, colour: str) -> None:
    from matplotlib.axes import Axes
    from matplotlib.text import Text

    for part in figure.findobj(Axes):
        assert isinstance(part, Axes)
        part.tick_params(colors=colour, which="both")
        part.patch.set_alpha(0)
        for side in part.spines.values():
            side.set_edgecolor(colour)
    for text in figure.findobj(Text):
        if isinstance(text, Text) and text.get_gid() != FIXED:
            text.set_color(colour)
