"""Pieces of a page. Every inserted text is escaped here, because names may come from anywhere."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from ..notes import Note, visible_text


@dataclass(frozen=True)
class Section:
    """A section of a page.

    Args:
        anchor: Target of links to the section.
        title: Heading, a noun phrase.
        body: Content as HTML.
    """

    anchor: str
    title: str
    body: str

    def __str__(self) -> str:
        return (
            f'<section id="{escape_html(self.anchor)}"><h2>{escape_html(self.title)}</h2>\n'
            f"{self.body}\n</section>"
        )


def escape_html(value: object) -> str:
    """Text that is safe between tags and in attributes, with control characters made visible.

    >>> escape_html('<b a="1">')
    '&lt;b a=&quot;1&quot;&gt;'
    """
    return escape(visible_text(value), quote=True)


def paragraph(*sentences: str) -> str:
    """A paragraph of the sentences that are not empty; nothing if all are."""
    text = " ".join(sentence for sentence in sentences if sentence)
    return f"<p>{escape_html(text)}</p>" if text else ""


def note_list(notes: Iterable[Note | str]) -> str:
    """Notes as a list, warnings in bold; nothing if there are none."""
    items = "".join(map(_note_item, notes))
    return f"<ul>{items}</ul>" if items else ""


def _note_item(note: Note | str) -> str:
    """A note as an item of a list."""
    level = note.level if isinstance(note, Note) else "info"
    return f'<li class="{level}">{escape_html(use_minus_signs(str(note)))}</li>'


def name_value_table(rows: Iterable[tuple[str, str]]) -> str:
    """Names and values, one pair per line."""
    body = "".join(
        f"<tr><th scope='row'>{escape_html(name)}</th><td>{escape_html(value)}</td></tr>"
        for name, value in rows
    )
    return f'<table class="pairs">{body}</table>'


def data_table(
    header: Sequence[str], rows: Iterable[Sequence[str]], css_class: str = "numbers"
) -> str:
    """A table that scrolls on a narrow page; the first cell of a row is its name.

    The class "listing" is for several short cells: a narrow page puts their headings beside them.
    """
    head = "".join(f"<th scope='col'>{escape_html(name)}</th>" for name in header)
    labels = [
        f' data-label="{escape_html(name)}"' if css_class == "listing" else ""
        for name in header[1:]
    ]
    body = "".join(
        f"<tr><th scope='row'>{escape_html(first)}</th>"
        + "".join(
            f"<td{label}>{escape_html(cell)}</td>" for label, cell in zip(labels, rest, strict=True)
        )
        + "</tr>"
        for first, *rest in rows
    )
    return (
        f'<div class="scroll"><table class="{css_class}"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def figure_grid(*parts: str) -> str:
    """Figures side by side where the page is wide enough."""
    return f'<div class="grid">{"".join(parts)}</div>'


def format_signed(value: float, digits: int = 2) -> str:
    """A number with thousands separators and a minus sign that does not break from it.

    >>> format_signed(-1234.567)
    '−1,234.57'
    """
    return f"{value:,.{digits}f}".replace("-", "−")


def use_minus_signs(text: str) -> str:
    """The text with minus signs in front of numbers; names keep their hyphens.

    >>> use_minus_signs("digits-1 has -3.2 (-4)")
    'digits-1 has −3.2 (−4)'
    """
    return re.sub(r"(?<![\w-])-(?=\d)", "−", text)
