"""A data set of whose training rows only a few labels are known."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from ..errors import ArgumentError, DataError
from ..networks._condition import Labels
from ._context import CONTEXT_NOTE_PREFIX, ContextTable
from ._dataset import Dataset
from ._formatting import format_count
from ._rows import Rows
from ._splits import random_permutation


def mask_labels(data: Dataset, n_labels: int | None = None, seed: int = 0) -> Dataset:
    """The same rows, of which a model is told ``labels`` labels of training rows, as many of each class as can be, and no others.

    By default 100, or those of half of the rows where these are fewer.

    For models that infer the rest: ``presets.semi_supervised_vae``. Held-out rows keep their ``labels`` to be compared with, and tell none.
    Data whose labels are partly missing already (``load(..., partial=True)``) are returned as they are.

    Raises ``DataError`` for data without labels, ``ArgumentError`` for fewer labels than classes or more than there are.

    >>> from aevb.data import load
    >>> data = mask_labels(load("digits"), labels=100)
    >>> int(data.train.context.isfinite().all(1).sum()), round(data.spec.condition[0].labelled_fraction, 4)
    (100, 0.0696)
    """
    if any(
        isinstance(factor, Labels) and factor.labelled_fraction < 1
        for factor in data.spec.condition or ()
    ):
        return data
    classes = data.spec.class_names
    if data.train.labels is None or classes is None:
        raise DataError(
            f'"{data.spec.name}" comes without labels, and some must be known: name their column, labels="COLUMN".'
        )
    total = len(data.train)
    n_labels = max(len(classes), min(100, total // 2)) if n_labels is None else n_labels
    if not len(classes) <= n_labels <= total:
        raise ArgumentError(
            f"`labels` is {n_labels}; give at least one for each of {len(classes)} classes, and at most {total:,}."
        )
    chosen = _choose_balanced(data.train.labels, n_labels, seed)
    factors = (Labels("label", classes, n_labels / total),)
    values = torch.full((total, 1), math.nan)
    values[chosen, 0] = data.train.labels[chosen].float()
    each = f", {n_labels // len(classes)} or more of each class," if n_labels < total else ""
    said = f"Labels: {format_count(n_labels)} of {total:,} training rows{each} are used, chosen with seed {seed}; the model infers the others."
    before = [
        sentence for sentence in data.spec.notes if not sentence.startswith(CONTEXT_NOTE_PREFIX)
    ]
    spec = replace(data.spec, condition=factors, notes=(*before, said))
    hidden = [
        replace(rows, context_table=ContextTable.all_missing(len(rows), factors))
        for rows in (data.validation, data.test)
    ]
    return Dataset(
        replace(data.train, context_table=ContextTable(values, factors)), hidden[0], hidden[1], spec
    )


def labelled_row_index(rows: Rows) -> Tensor:
    """The places of rows whose label a model is told, int64."""
    context = rows.context
    return torch.arange(0) if context is None else context.isfinite().all(1).nonzero().flatten()


def _choose_balanced(labels: Tensor, n_labels: int, seed: int) -> Tensor:
    """Rows in a random order, every class in turn."""
    order = torch.from_numpy(random_permutation(len(labels), seed))
    turn = torch.zeros(len(labels), dtype=torch.long)
    for label in labels.unique():
        mine = order[labels[order] == label]
        turn[mine] = torch.arange(len(mine))
    return order[torch.sort(turn[order], stable=True).indices][:n_labels]
