"""The attributes of an estimator as a record of JSON and as arrays."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._files import read_tensors, unreadable
from ..errors import ArgumentError

RECORD = "estimator"  # in the record of the training
ARRAYS = "estimator.safetensors"


def record_of(estimator: Any) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The class, the parameters and the state of a fitted estimator, and its arrays of numbers.

    A parameter that JSON does not hold has its default when the estimator is read.
    """
    parameters = estimator.get_params(deep=False)
    state = {k: v for k, v in vars(estimator).items() if k in estimator.saved_attributes}
    is_array = {k: isinstance(v, np.ndarray) and v.dtype != object for k, v in state.items()}
    arrays = {k: torch.from_numpy(np.array(v)) for k, v in state.items() if is_array[k]}
    texts = [k for k, v in state.items() if isinstance(v, np.ndarray) and not is_array[k]]
    record = {
        "class": type(estimator).__name__,
        "parameters": {k: v for k, v in parameters.items() if _is_json(v)},
        "state": {k: _plain(v) for k, v in state.items() if not is_array[k]},
        "texts": texts,
    }
    return record, arrays


def restore(cls: type[Any], record: Any, path: Path) -> Any:
    """The estimator of a record in a run folder, without its run.

    Raises:
        ArgumentError: It is of another class.
        RunError: The record or the arrays are damaged.
    """
    parts = ("parameters", "state", "texts")
    if not isinstance(record, Mapping) or not all(part in record for part in parts):
        raise unreadable(path / "model.json", "the record of the estimator is damaged")
    if record.get("class") != cls.__name__:
        raise ArgumentError(
            f"it holds a {record.get('class')}",
            argument="path",
            value=str(path),
            suggestions=(f"Use `aevb.sklearn.{record.get('class')}.load`",),
        )
    arrays, _ = read_tensors(path / ARRAYS)
    try:
        return _restore(cls, record, arrays)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise unreadable(path / "model.json", error) from error


def _restore(cls: type[Any], record: Mapping[str, Any], arrays: Mapping[str, Tensor]) -> Any:
    """The estimator of a record of the right class; only attributes that it saves are set."""
    known = cls().get_params(deep=False)
    parameters = {
        name: tuple(x) if isinstance(x, list) else x
        for name, x in record["parameters"].items()
        if name in known
    }
    texts = {name: np.array(record["state"][name], dtype=object) for name in record["texts"]}
    numbers = {name: tensor.numpy() for name, tensor in arrays.items()}
    state = {**record["state"], **texts, **numbers}
    estimator = cls(**parameters)
    vars(estimator).update({k: v for k, v in state.items() if k in cls.saved_attributes})
    return estimator


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value
