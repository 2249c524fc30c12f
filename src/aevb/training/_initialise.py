"""Data-dependent initialisation of a model before the first step."""

from __future__ import annotations

import torch

from .._random import seed_scope
from ..data._formatting import format_list
from ..data._spec import Spec
from ..models import VAE
from ..notes import Note
from ._source import Source


def initialise_from_data(model: VAE, source: Source, seed: int, device: torch.device) -> None:
    """Initialise data-dependent parts from rows of the source, with random draws of the seed.

    Rows with the weight 0 have no part in them.
    """
    with seed_scope(seed, device):
        batch = source.initialisation_batch(model.initialisation_rows)
        x, context, weight = batch.x, batch.context, batch.weight
        if weight is not None and (weight > 0).any():
            x, context = x[weight > 0], None if context is None else context[weight > 0]
        model.initialise_from_data(x, context)


def initialisation_notes(model: VAE, spec: Spec | None) -> tuple[Note, ...]:
    """What was found in the rows of the initialisation: columns that depend on each other."""
    places = model.likelihood.dependent_cells
    if not places:
        return ()
    found = None if spec is None else spec.columns
    if spec is not None and spec.schema is not None:
        found = tuple(column.name for column in spec.schema.modelled)
    names = [f"column {place}" if found is None else found[place] for place in places]
    text = (
        "Linear functions of other columns, to rounding, so that their density would have no "
        f"bound and their unexplained variance is set to a millionth: {format_list(names)}."
    )
    return (Note("dependent_columns", text, "warning", {"columns": names}),)
