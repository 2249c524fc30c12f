"""Selection of rows."""

from __future__ import annotations

import torch

from ..data import Rows


def evenly_spaced_rows(rows: Rows, count: int) -> Rows:
    """At most ``count`` rows, evenly spaced."""
    return (
        rows if len(rows) <= count else rows.subset(torch.linspace(0, len(rows) - 1, count).long())
    )
