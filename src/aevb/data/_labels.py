"""Class labels: names or numbers in the data, class numbers in the model."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..errors import DataError
from ..networks._condition import class_name
from ._formatting import format_count, format_list, suggest_nearest


def class_names(values: np.ndarray) -> tuple[str, ...]:
    """The names of the distinct labels in sorted order, without None and NaN.

    Raises:
        DataError: A label is a number that is not whole.

    >>> class_names(np.array([3.0, 1.0, 3.0, np.nan]))
    ('1', '3')
    """
    return tuple(
        class_name(value) for value in np.unique(_validate_labels(values[~is_missing(values)]))
    )


def encode_labels(
    values: np.ndarray, classes: tuple[str, ...] | None = None, noun: str = "label"
) -> Tensor:
    """Convert labels to class numbers.

    Args:
        values: Labels ``[N]``.
        classes: The known classes; the sorted distinct labels where ``None``.
        noun: How an error names a label.

    Returns:
        Positions in ``classes``, int64 ``[N]``, -1 where a label is missing.

    Raises:
        DataError: A label is not among ``classes``.

    >>> encode_labels(np.array(["cat", "ant", None, "cat"], dtype=object))
    tensor([ 1,  0, -1,  1])
    """
    present = ~is_missing(values)
    distinct, index = np.unique(_validate_labels(values[present]), return_inverse=True)
    names = [class_name(value) for value in distinct]
    places = {name: place for place, name in enumerate(classes or names)}
    unknown = [name for name in names if name not in places]
    if unknown:
        raise DataError(
            f'{noun} "{unknown[0]}" is not among the known classes {format_list(places)}',
            argument="labels" if noun == "label" else "condition",
            suggestions=suggest_nearest(unknown[0], places),
        )
    numbers = np.full(len(values), -1)
    numbers[present] = np.array([places[name] for name in names], dtype=np.int64)[index.reshape(-1)]
    return torch.from_numpy(numbers)


def is_missing(values: np.ndarray) -> np.ndarray:
    """Which labels are missing, ``[N]``: None among names, NaN among numbers."""
    if values.dtype.kind == "O":
        return np.array([value is None or value != value for value in values], dtype=bool)
    return np.isnan(values) if values.dtype.kind == "f" else np.zeros(len(values), bool)


def describe_labels(classes: tuple[str, ...]) -> str:
    """The classes as part of a sentence.

    >>> describe_labels(("0", "1", "2")), describe_labels(("a", "b"))
    ('labels 0 to 2', 'labels of 2 classes (a, b)')
    """
    if len(classes) > 1 and classes == tuple(str(i) for i in range(len(classes))):
        return f"labels 0 to {len(classes) - 1}"
    return f"labels of {format_count(len(classes), 'class', 'classes')} ({format_list(classes, 6)})"


def _validate_labels(values: np.ndarray) -> np.ndarray:
    """Labels as names or numbers that can be sorted."""
    if values.dtype.kind == "O":
        return np.array([str(value) for value in values])
    fractional = values[values != np.rint(values)] if values.dtype.kind == "f" else values[:0]
    if fractional.size:
        raise DataError(
            f"labels contain {fractional[0]:g}; labels are whole numbers or names",
            argument="labels",
            suggestions=("Leave `labels` out for a measured quantity",),
        )
    return values
