"""The inputs of functions of a model: a model or a run, and data of any kind, checked once."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._memory import default_block_size
from ..data import Rows, Spec
from ..data._load import is_frame, read_rows
from ..errors import ArgumentError, DataError
from ..models import VAE
from ..models._input_checks import as_tensor, check_batch
from ..networks._library_size import LIBRARY_SIZE
from ..notes import Note
from ..types import Batch
from ._batches import seeded_evaluation

INPUT_CHECK_BLOCK_SIZE = 1 << 16


class TrainedModel(ABC):
    """A model with the description of its data, which functions take in place of the model.

    Args:
        model: The model.
        spec: The description of its data.
        baselines: Classical models of the training rows (``metrics.Baselines``), or None.
    """

    model: VAE
    spec: Spec
    baselines: Any
    template: Any = None  # an empty data frame with the form of the rows that are returned

    @abstractmethod
    def rows(self, source: Any = None) -> Rows:
        """The rows of a source, read as the training data were; its test rows by default."""

    @abstractmethod
    def model_for(self, *parts: Rows) -> VAE:
        """The model; with parameters per row, a copy that encodes these rows."""

    @abstractmethod
    def evaluation_notes(self, source: Any, rows: Rows) -> tuple[Note, ...]:
        """What the user should know about an evaluation of the rows of a source."""


def resolve_model(model: VAE | TrainedModel) -> VAE:
    """The model itself, or the model of a run."""
    if isinstance(model, TrainedModel):
        return model.model
    if isinstance(model, VAE):
        return model
    raise ArgumentError(
        f"give a model or a run, not a {type(model).__name__}",
        argument="model",
        suggestions=("Of the result of a training, give `result.model`",),
    )


def to_source(model: VAE | TrainedModel, x: Tensor, source: Any = None) -> Any:
    """Events in the form in which they were read, where a run knows it.

    Args:
        model: A model or a run.
        x: Events ``[N, *event]``.
        source: The data that they belong to; a data frame decides the library of a data frame.
    """
    if not isinstance(model, TrainedModel):
        return x
    return model.spec.to_source(x, source if is_frame(source) else model.template)


def resolve_input(
    model: VAE | TrainedModel, x: Any = None, *, needs_context: bool = True
) -> tuple[VAE, Rows]:
    """The model and checked rows on its device.

    Args:
        model: A model, or a run, which reads data by their names and units.
        x: An array, tensor or list ``[N, *event]``, ``Rows``, a data frame, a path, or a
            ``Dataset``, of which the test rows count. For a run by default its test rows.
        needs_context: Whether the rows must have the context that the model needs.

    Returns:
        The model, for a run the copy that encodes these rows, and the rows.

    Raises:
        ArgumentError: ``model`` is something else, or ``x`` is missing.
        DataError: The data cannot be read, or the model cannot take them.
    """
    if isinstance(model, TrainedModel):
        rows = as_model_rows(model.model, model.rows(x), needs_context=needs_context)
        return model.model_for(rows), rows
    model = resolve_model(model)
    if x is None:
        raise ArgumentError("a model has no rows of its own; give some", argument="x")
    return model, as_model_rows(model, x, needs_context=needs_context)


def as_model_rows(model: VAE, x: Any, *, needs_context: bool = True) -> Rows:
    """Data as rows on the model's device; a ``DataError`` where the model cannot take them."""
    rows = read_rows(x, resolve_model(model).data_offset).to(model.device)
    if len(rows) == 0:
        raise DataError("`x` has no rows", argument="x", suggestions=("Give at least one",))
    rows = _with_model_context(model, rows, needs_context)
    with seeded_evaluation(model, seed=0):
        check_data(model, rows, "x")
    return rows


def as_table(x: Any, name: str = "x", function: str = "inference.encode") -> Tensor:
    """The values of data of any kind, ``[N, *event]`` in the units and the dtype of the data."""
    if isinstance(x, Tensor | np.ndarray | list | tuple):
        return as_tensor(x, name, function)
    return read_rows(x, name=name).tensor()


def _with_model_context(model: VAE, rows: Rows, needs_context: bool) -> Rows:
    """The rows with the context that the model needs; an error where it is missing."""
    condition = model.condition
    if condition is None:
        return replace(rows, context_table=None)
    if rows.context_table is None and condition.names == [LIBRARY_SIZE]:
        return rows.with_label(condition, {})
    if needs_context and rows.context_table is None and not condition.is_optional:
        condition.check_context(None, of_rows=True)
    return rows


@torch.no_grad()
def check_data(model: VAE, rows: Rows, name: str) -> None:
    """Check all rows like ``check_batch``."""
    if tuple(rows.event_shape) != model.event_shape:
        raise DataError(
            f"`{name}` has events of shape {tuple(rows.event_shape)}; "
            f"the model was built for {model.event_shape}",
            argument=name,
        )
    ordered = rows.in_storage_order()
    block = default_block_size(math.prod(model.event_shape), max_rows=INPUT_CHECK_BLOCK_SIZE)
    for start in range(0, len(rows), block):
        check_batch(model, Batch(ordered.model_input(slice(start, start + block))), name, start)
