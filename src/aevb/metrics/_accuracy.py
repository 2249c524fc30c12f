"""How often the class that a model infers is the right one."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..data import Rows
from ..data._masked_labels import labelled_row_index
from ..errors import DataError
from ..inference import classify
from ..models import VAE
from ._estimate import Estimate


@dataclass(frozen=True)
class Accuracy:
    """The share of rows whose most probable class is theirs, with a standard error over rows."""

    value: Estimate
    n_rows: int
    nearest_neighbour: Estimate | None = (
        None  # the share whose class is that of the nearest training row with a label
    )
    n_labels: int | None = None  # training rows with a label


def accuracy(model: VAE, rows: Rows, train: Rows | None = None) -> Accuracy:
    """Compare what ``inference.classify`` says of ``rows`` with their labels; rows without a label do not count.

    With ``train`` the nearest neighbour among its rows whose label the model was told, by Euclidean distance in units of each element's
    deviation over the training rows, is there to be beaten. Raises ``DataError`` for rows without labels, and ``IncompatibleError`` for a
    model that infers no class.
    """
    if rows.labels is None or not (rows.labels >= 0).any():
        raise DataError("`rows` has no labels: an accuracy needs some to compare with.")
    rows = rows.subset((rows.labels >= 0).nonzero().flatten())
    assert rows.labels is not None
    truth = rows.labels.cpu()
    right = classify(model, rows).class_indices == truth
    if train is None:
        return Accuracy(_proportion(right), len(rows))
    told = train.subset(labelled_row_index(train))
    return Accuracy(
        _proportion(right),
        len(rows),
        _proportion(_nearest_neighbour_classes(rows, told, train) == truth),
        len(told),
    )


def _proportion(correct: Tensor) -> Estimate:
    """The share, and the standard error of a share: the same where all rows are right."""
    share = correct.double().mean().item()
    return Estimate(share, math.sqrt(share * (1 - share) / len(correct)))


def _nearest_neighbour_classes(rows: Rows, labelled: Rows, train: Rows) -> Tensor:
    if labelled.labels is None or not len(labelled):
        raise DataError("`train` has no rows whose label is told.")
    scale = train.tensor().flatten(1).double().std(0).cpu()
    unit = torch.where(scale > 0, scale, 1.0)
    x, known_x = (each.tensor().flatten(1).double().cpu() / unit for each in (rows, labelled))
    return labelled.labels.cpu()[torch.cdist(x, known_x).argmin(1)]
