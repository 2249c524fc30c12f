"""Pieces of a page. Whatever is inserted is escaped here: names of columns and classes come from strangers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape


@dataclass(frozen=True)
class Section:
    """A part of the page: its anchor, its title, and its body as HTML."""

    anchor: str
    title: str
    body: str

    def __str__(self) -> str:
        return f'<section id="{escape_html(self.anchor)}"><h2>{escape_html(self.title)}</h2>\n{self.body}\n</section>'


def escape_html(value: object) -> str:
    """Text that is safe between tags and in attributes.

    >>> text('<b a="1">')
    '&lt;b a=&quot;1&quot;&gt;'
    """
    return escape(str(value), quote=True)


def paragraph(*sentences: str) -> str:
    return f"<p>{escape_html(' '.join(sentence for sentence in sentences if sentence))}</p>"


def bullets(items: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape_html(item)}</li>" for item in items) + "</ul>"


def name_value_table(rows: Iterable[tuple[str, str]]) -> str:
    """Names and values, one pair a line."""
    body = "".join(
        f"<tr><th scope='row'>{escape_html(name)}</th><td>{escape_html(value)}</td></tr>"
        for name, value in rows
    )
    return f'<table class="pairs">{body}</table>'


def data_table(
    header: Sequence[str], rows: Iterable[Sequence[str]], css_class: str = "numbers"
) -> str:
    """A table that scrolls by itself where the page is narrow; the first cell of a row is its name."""
    head = "".join(f"<th scope='col'>{escape_html(name)}</th>" for name in header)
    body = "".join(
        f"<tr><th scope='row'>{escape_html(first)}</th>"
        + "".join(f"<td>{escape_html(cell)}</td>" for cell in rest)
        + "</tr>"
        for first, *rest in rows
    )
    return f'<div class="scroll"><table class="{css_class}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def figure_grid(*parts: str) -> str:
    return f'<div class="grid">{"".join(parts)}</div>'


def format_signed(value: float, digits: int = 2) -> str:
    """A number with a minus sign that does not break from it.

    >>> signed(-1234.567)
    '−1,234.57'
    """
    return f"{value:,.{digits}f}".replace("-", "−")
