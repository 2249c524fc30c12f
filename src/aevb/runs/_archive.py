"""A run as one block of bytes: weights as safetensors, with the records as JSON beside them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from .._files import pack_tensors, parse_json, tensors_from_bytes, unreadable
from .._persistence import SavedModel, distinct_weights, model_record, restore_model
from ..training._history import Epoch, format_history, parse_history

if TYPE_CHECKING:
    from ._run import Run

ORIGIN = "the bytes of a run"  # what errors name in place of a path
RECORDS = "run"  # the one entry of the metadata, whose order would be another each time
RECORD, HISTORY = "model.json", "history.jsonl"


def run_to_bytes(run: Run) -> bytes:
    """The bytes of ``Run.to_bytes``."""
    record = model_record(run.model, run.spec, run.training, run.status)
    records = {RECORD: record, HISTORY: format_history(run.history)}
    return pack_tensors(distinct_weights(run.model), {RECORDS: json.dumps(records)})


def saved_model_from_bytes(content: bytes) -> tuple[SavedModel, tuple[Epoch, ...]]:
    """The model, the records and the history in the bytes of a run; nothing is executed.

    Raises:
        RunError: The bytes are damaged, or newer than this library.
    """
    weights, metadata = tensors_from_bytes(content, ORIGIN)
    try:
        records = parse_json(metadata[RECORDS])
        record, history = records[RECORD], str(records[HISTORY])
        if not isinstance(record, dict):
            raise ValueError(f"{RECORD} is no object")
    except (LookupError, TypeError, ValueError) as error:
        raise unreadable(Path(ORIGIN), error) from error
    return _restore(record, weights), tuple(parse_history(history, Path(ORIGIN)))


def _restore(record: Mapping[str, object], weights: Mapping[str, Tensor]) -> SavedModel:
    """The model of a record with its weights."""
    return restore_model(
        Path(ORIGIN),
        record,
        lambda: {name: tuple(tensor.shape) for name, tensor in weights.items()},
        lambda: weights,
    )
