"""A schema as text and as a table of HTML."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from ..networks._column import CellLikelihood, ColumnKind
from ..notes import visible_text
from ._formatting import format_count

WIDTH = 80
MAX_NAME = 18
MAX_LISTED = 100  # columns in a text


@dataclass(frozen=True)
class SchemaRow:
    """A row of the table of a schema.

    Args:
        name: The name of the column.
        kind: What the column holds.
        likelihood: The likelihood of its cells; empty where the column is set aside.
        missing: The share of missing cells.
        why: Why the kind was chosen.
    """

    name: str
    kind: ColumnKind
    likelihood: CellLikelihood
    missing: float
    why: str


def render_text(rows: Sequence[SchemaRow], n_rows: int) -> str:
    """The rows in lines of at most 80 characters.

    >>> print(render_text([SchemaRow("age", "integer", "discretised_logistic", 0.2, "few")], 9))
    1 column, 9 rows
    column  kind     missing  why
    age     integer    20.0%  few
    """
    listed = rows[:MAX_LISTED]
    names = [_cut(visible_text(row.name)) for row in listed]
    name = max(map(len, ("column", *names)))
    kind = max(len(each) for each in ("kind", *(row.kind for row in listed)))
    margin = name + kind + 13
    lines = [
        f"{format_count(len(rows), 'column')}, {format_count(n_rows, 'row')}",
        f"{'column':{name}}  {'kind':{kind}}  missing  why",
    ]
    for row, short in zip(listed, names, strict=True):
        missing = f"{row.missing:.1%}" if row.missing else ""
        head = f"{short:{name}}  {row.kind:{kind}}  {missing:>7}  "
        first, *more = textwrap.wrap(visible_text(row.why), WIDTH - margin) or [""]
        lines.append((head + first).rstrip())
        lines += [" " * margin + line for line in more]
    if len(rows) > len(listed):
        lines.append(f"and {len(rows) - len(listed):,} more")
    return "\n".join(lines)


def _cut(name: str) -> str:
    """A name, shortened in its middle."""
    half = MAX_NAME // 2
    return name if len(name) <= MAX_NAME else f"{name[: half - 1]}…{name[-half:]}"


def render_html(rows: Sequence[SchemaRow], n_rows: int) -> str:
    """The rows as a table of HTML."""
    head = "".join(
        f"<th>{name}</th>" for name in ("column", "kind", "likelihood", "missing", "why")
    )
    body = "".join(
        "<tr>"
        + "".join(
            f"<td>{html.escape(visible_text(cell))}</td>"
            for cell in (
                row.name,
                row.kind,
                row.likelihood.replace("_", " "),
                f"{row.missing:.1%}" if row.missing else "",
                row.why,
            )
        )
        + "</tr>"
        for row in rows
    )
    caption = f"{format_count(len(rows), 'column')}, {format_count(n_rows, 'row')}"
    return f"<table><caption>{caption}</caption><tr>{head}</tr>{body}</table>"
