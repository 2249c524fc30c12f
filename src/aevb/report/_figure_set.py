"""The pictures of a page: files, and images in the page for a light and a dark colour scheme."""

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
        """Add a picture and return it as HTML; images without axes look alike in both schemes."""
        light, dark = png(ax), png(ax, "dark")
        self.png_by_name[name] = light
        is_image = not ax.axison and not ax.child_axes
        source = (
            ""
            if is_image
            else f'<source media="(prefers-color-scheme: dark)" srcset="{_data_uri(dark)}">'
        )
        uri = _data_uri(dark if is_image else light)
        below = f"<figcaption>{escape_html(caption)}</figcaption>" if caption else ""
        css_class = "pixels" if is_image else "chart" if caption else "plain"
        return (
            f'<figure class="{css_class}"><picture>{source}'
            f'<img src="{uri}" alt="{escape_html(alt)}"></picture>{below}</figure>'
        )


def _data_uri(picture: bytes) -> str:
    """A PNG as the address of an image."""
    return "data:image/png;base64," + base64.b64encode(picture).decode()
