"""How often the class that a model infers is the right one."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..data import Rows
from ..data.few import known
from ..errors import DataError
from ..inference import classify
from ..models import VAE
from .measured import Measured


@dataclass(frozen=True)
class Accuracy:
    """The share of rows whose most probable class is theirs, with a standard error over rows."""

    value: Measured
    rows: int
    nearest: Measured | None = None  # the share whose class is that of the nearest training row with a label
    labels: int | None = None  # training rows with a label


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
    right = classify(model, rows).numbers == truth
    if train is None:
        return Accuracy(_share(right), len(rows))
    told = train.subset(known(train))
    return Accuracy(_share(right), len(rows), _share(_nearest(rows, told, train) == truth), len(told))


def _share(right: Tensor) -> Measured:
    """The share, and the standard error of a share: the same where all rows are right."""
    share = right.double().mean().item()
    return Measured(share, math.sqrt(share * (1 - share) / len(right)))


def _nearest(rows: Rows, told: Rows, train: Rows) -> Tensor:
    if told.labels is None or not len(told):
        raise DataError("`train` has no rows whose label is told.")
    scale = train.tensor().flatten(1).double().std(0).cpu()
    unit = torch.where(scale > 0, scale, 1.0)
    x, known_x = (each.tensor().flatten(1).double().cpu() / unit for each in (rows, told))
    return told.labels.cpu()[torch.cdist(x, known_x).argmin(1)]
