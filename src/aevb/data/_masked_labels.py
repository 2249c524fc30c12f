"""A data set with few labelled training rows, for semi-supervised models."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from ..errors import ArgumentError, DataError
from ..networks._condition import Labels
from ..notes import Argument, Note, message
from ._context import CONTEXT_NOTE_CODE, ContextTable
from ._dataset import Dataset
from ._formatting import format_count
from ._rows import Rows
from ._splits import random_permutation


def mask_labels(data: Dataset, n_labels: int | None = None, seed: int = 0) -> Dataset:
    """Keep the labels of a few training rows as context, and mask all others.

    For models that infer the missing classes (``presets.semi_supervised_vae``). Classes are
    balanced as far as possible. Held-out rows have no context; they keep their ``labels``, with
    which predictions are compared.

    Args:
        data: The data set. Data with missing labels (``load(..., allow_missing_labels=True)``) are
            returned unchanged.
        n_labels: The number of labelled training rows; 100 by default, or half of the rows if
            these are fewer.
        seed: Decides which rows keep their label.

    Returns:
        The same rows with the masked labels as context.

    Raises:
        DataError: The data have no labels.
        ArgumentError: There are fewer labels than classes, or more than training rows.

    Example:
        >>> from aevb.data import load
        >>> data = mask_labels(load("digits"), n_labels=100)
        >>> int(data.train.context.isfinite().all(1).sum())
        100
        >>> round(data.spec.condition[0].labelled_fraction, 4)
        0.0696
    """
    if any(
        isinstance(factor, Labels) and factor.labelled_fraction < 1
        for factor in data.spec.condition or ()
    ):
        return data
    classes = data.spec.class_names
    if data.train.labels is None or classes is None:
        raise DataError(
            f'"{data.spec.name}" has no labels, and some rows must be labelled',
            argument="labels",
            suggestions=(
                message("Name their column: {labels}", labels=Argument("labels", "COLUMN")),
            ),
        )
    total = len(data.train)
    n_labels = max(len(classes), min(100, total // 2)) if n_labels is None else n_labels
    if not len(classes) <= n_labels <= total:
        raise ArgumentError(
            f"give at least 1 for each of {len(classes)} classes, and at most {total:,}",
            argument="n_labels",
            value=n_labels,
        )
    chosen = _choose_balanced(data.train.labels, n_labels, seed)
    factors = (Labels("label", classes, n_labels / total),)
    values = torch.full((total, 1), math.nan)
    values[chosen, 0] = data.train.labels[chosen].to(values)
    balanced = f", at least {n_labels // len(classes)} per class," if n_labels < total else ""
    note = Note(
        "labels_masked",
        f"Labels: {format_count(n_labels)} of {total:,} training rows{balanced} keep their label, "
        f"chosen with seed {seed}; the model infers the others.",
        data={"n_labels": n_labels, "rows": total, "seed": seed},
    )
    others = [note for note in data.spec.notes if note.code != CONTEXT_NOTE_CODE]
    hidden = [
        replace(rows, context_table=ContextTable.all_missing(len(rows), factors))
        for rows in (data.validation, data.test)
    ]
    return Dataset(
        replace(data.train, context_table=ContextTable(values, factors)),
        hidden[0],
        hidden[1],
        replace(data.spec, condition=factors, notes=(*others, note)),
    )


def labelled_row_index(rows: Rows) -> Tensor:
    """The numbers of the rows whose context is complete, int64."""
    context = rows.context
    return torch.arange(0) if context is None else context.isfinite().all(1).nonzero().flatten()


def _choose_balanced(labels: Tensor, n_labels: int, seed: int) -> Tensor:
    """Row numbers in random order, one of each class in turn."""
    order = torch.from_numpy(random_permutation(len(labels), seed))
    turn = torch.zeros(len(labels), dtype=torch.long)
    for label in labels.unique():
        same_class = order[labels[order] == label]
        turn[same_class] = torch.arange(len(same_class))
    return order[torch.sort(turn[order], stable=True).indices][:n_labels]
