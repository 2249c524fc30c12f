"""Class labels: names or numbers in, class numbers out."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..errors import DataError
from ..networks._condition import class_name
from ._formatting import did_you_mean, format_count, format_list


def class_names(values: np.ndarray) -> tuple[str, ...]:
    """The distinct labels in sorted order, as names; None and NaN are none.

    >>> class_names(np.array([3.0, 1.0, 3.0, np.nan]))
    ('1', '3')

    Raises ``DataError`` for numbers that are not whole: those are measured, not classes.
    """
    return tuple(
        class_name(value) for value in np.unique(_validate_labels(values[~is_missing(values)]))
    )


def encode_labels(
    values: np.ndarray, classes: tuple[str, ...] | None = None, noun: str = "label"
) -> Tensor:
    """Class numbers, int64 ``[N]``: places among ``classes``, or among the sorted distinct values; -1 where there is none.

    >>> encode_labels(np.array(["cat", "ant", None, "cat"], dtype=object))
    tensor([ 1,  0, -1,  1])

    Raises ``DataError`` for a label that is not among ``classes``.
    """
    there = ~is_missing(values)
    distinct, index = np.unique(_validate_labels(values[there]), return_inverse=True)
    names = [class_name(value) for value in distinct]
    places = {name: place for place, name in enumerate(classes or names)}
    strange = [name for name in names if name not in places]
    if strange:
        raise DataError(
            f'{noun} "{strange[0]}" is not among the known classes {format_list(places)}.{did_you_mean(strange[0], places)}'
        )
    numbers = np.full(len(values), -1)
    numbers[there] = np.array([places[name] for name in names], dtype=np.int64)[index.reshape(-1)]
    return torch.from_numpy(numbers)


def is_missing(values: np.ndarray) -> np.ndarray:
    """Which labels are missing, ``[N]``: None among names, NaN among numbers."""
    if values.dtype.kind == "O":
        return np.array([value is None or value != value for value in values], dtype=bool)
    return np.isnan(values) if values.dtype.kind == "f" else np.zeros(len(values), bool)


def describe_labels(classes: tuple[str, ...]) -> str:
    """How a sentence names the classes.

    >>> describe_labels(("0", "1", "2")), describe_labels(("a", "b"))
    ('labels 0 to 2', 'labels of 2 classes (a, b)')
    """
    if len(classes) > 1 and classes == tuple(str(i) for i in range(len(classes))):
        return f"labels 0 to {len(classes) - 1}"
    return f"labels of {format_count(len(classes), 'class', 'classes')} ({format_list(classes, 6)})"


def _validate_labels(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind == "O":
        return np.array([str(value) for value in values])
    broken = values[values != np.rint(values)] if values.dtype.kind == "f" else values[:0]
    if broken.size:
        raise DataError(
            f"labels hold {broken[0]:g}, and labels are whole numbers or names: leave labels out for a measured quantity."
        )
    return values
