"""Rows that differ from the training rows where these are constant."""

from __future__ import annotations

import torch
from torch import Tensor

from ..data import Rows, Spec
from ..data._formatting import format_count, format_list
from ..models import VAE
from ..notes import Note

CHUNK_ROWS = 4096


def constant_notes(model: VAE, rows: Rows, spec: Spec | None) -> tuple[Note, ...]:
    """The note about values that are constant in the training rows and are not in ``rows``."""
    constant = model.constant_cells
    if constant is None:
        return ()
    changed = count_changed(rows, constant)
    places = changed.nonzero()[:, 0].tolist()
    if not places:
        return ()
    names = (spec.columns if spec else None) or [
        f"element {place}" for place in range(len(changed))
    ]
    columns = {names[place]: int(changed[place]) for place in places}
    listed = format_list(f"{name} ({format_count(n, 'row')})" for name, n in columns.items())
    text = f"Constant in the training rows, and not here: {listed}. log p(x) does not count them."
    return (Note("constant_changed", text, "warning", {"columns": columns}),)


def count_changed(rows: Rows, constant: Tensor) -> Tensor:
    """The number of rows with another value than the constant, for each element ``[D]``."""
    values = constant.flatten().cpu()
    changed = torch.zeros(len(values), dtype=torch.long)
    for start in range(0, len(rows), CHUNK_ROWS):
        x = rows.model_input(slice(start, start + CHUNK_ROWS)).flatten(1).cpu()
        changed += ((x != values.to(x.dtype)) & ~x.isnan()).sum(0)
    return changed.masked_fill(values.isnan(), 0)
