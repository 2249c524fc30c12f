"""The pictures of a report: kept as files, and embedded in the page in the colours of the reader's scheme."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from ..plots import png
from ._html import escape_html

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class FigureSet:
    """Pictures by name, as PNG on white."""

    def __init__(self) -> None:
        self.png_by_name: dict[str, bytes] = {}

    def add_figure(self, name: str, ax: Axes, alt: str, caption: str = "") -> str:
        """Take a picture in, and return it as a figure of the page. Pixels without any text are the same in both schemes."""
        light, dark = png(ax), png(ax, "dark")
        self.png_by_name[name] = light
        pixels = not ax.axison and not ax.child_axes
        source = (
            ""
            if pixels
            else f'<source media="(prefers-color-scheme: dark)" srcset="{_data_uri(dark)}">'
        )
        shown = _data_uri(dark if pixels else light)
        below = f"<figcaption>{escape_html(caption)}</figcaption>" if caption else ""
        kind = "pixels" if pixels else "chart" if caption else "plain"
        return f'<figure class="{kind}"><picture>{source}<img src="{shown}" alt="{escape_html(alt)}"></picture>{below}</figure>'


def _data_uri(picture: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(picture).decode()
