"""How often the class that a model infers is the right one."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .._registry import register
from ..data import Rows
from ..data._masked_labels import labelled_row_index
from ..errors import DataError
from ..inference import classify
from ..models import VAE
from ._estimate import Estimate
from ._number import MetricRegistration, Number

if TYPE_CHECKING:
    from ._evaluation import EvaluationContext


@dataclass(frozen=True)
class Accuracy:
    """Share of rows whose most probable class is the true class.

    Args:
        value: The share, with its standard error over rows.
        n_rows: Number of rows with a label.
        nearest_neighbour: The share whose class is that of the nearest labelled training row.
        n_labels: Number of training rows with a label.
    """

    value: Estimate
    n_rows: int
    nearest_neighbour: Estimate | None = None
    n_labels: int | None = None


def accuracy(model: VAE, rows: Rows, train: Rows | None = None) -> Accuracy:
    """Compare the classes that ``inference.classify`` infers with the labels of the rows.

    Args:
        model: A model that infers a class.
        rows: Rows with labels; those without a label do not count.
        train: Training rows for a baseline: the nearest neighbour among those whose label the model
            was trained with, by Euclidean distance in units of each element's standard deviation.

    Returns:
        The accuracy, and with ``train`` that of the baseline.

    Raises:
        DataError: No row has a label.
        IncompatibleError: The model infers no class.
    """
    if rows.labels is None or not (rows.labels >= 0).any():
        raise DataError("`rows` has no labels to compare with")
    rows = rows.subset((rows.labels >= 0).nonzero().flatten())
    assert rows.labels is not None
    truth = rows.labels.cpu()
    value = _proportion(classify(model, rows).class_indices == truth)
    if train is None:
        return Accuracy(value, len(rows))
    labelled = train.subset(labelled_row_index(train))
    neighbours = _nearest_neighbour_classes(rows, labelled, train)
    return Accuracy(value, len(rows), _proportion(neighbours == truth), len(labelled))


@register(
    MetricRegistration(
        name="accuracy",
        title="Accuracy",
        paper="Kingma et al. (2014)",
        use_when="the model infers labels",
        cost="one pass through the model for each class",
        order=90,
    )
)
def _accuracy_number(context: EvaluationContext) -> Iterator[Number]:
    condition, labels = context.model.condition, context.rows.labels
    if condition is None or not condition.is_optional or labels is None or not (labels >= 0).any():
        return
    value = accuracy(context.model, context.rows).value
    yield Number.from_estimate(
        "accuracy",
        "accuracy",
        value,
        text=f"{100 * value.mean:.1f} ± {100 * value.standard_error:.1f} %",
        meaning="Share of labelled rows whose most probable label is the true one.",
    )


def _proportion(correct: Tensor) -> Estimate:
    """A share with the standard error of a share, which is 0 where all rows are correct."""
    share = correct.double().mean().item()
    return Estimate(share, math.sqrt(share * (1 - share) / len(correct)))


def _nearest_neighbour_classes(rows: Rows, labelled: Rows, train: Rows) -> Tensor:
    """The class of the nearest labelled row, ``[N]``."""
    if labelled.labels is None or not len(labelled):
        raise DataError("`train` has no rows with a label")
    scale = train.tensor().flatten(1).double().std(0).cpu()
    unit = torch.where(scale > 0, scale, 1.0)
    x, known_x = (each.tensor().flatten(1).double().cpu() / unit for each in (rows, labelled))
    return labelled.labels.cpu()[torch.cdist(x, known_x).argmin(1)]
