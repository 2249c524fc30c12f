"""The record of the rows that a run was trained, validated and tested on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .._files import read_json
from ..data import Dataset
from ..data._fingerprints import fingerprint
from ..data._splits import PART_NAMES, PartName
from ..errors import RunError

DATA_PARTS = "data_parts"  # in the record of the training


def data_parts_record(data: Dataset) -> dict[str, Any]:
    """Number and fingerprint of the rows of each part, for the record of a run.

    Rows that stay in their file have no fingerprint, because all of it would be read.

    Args:
        data: The data of the run.
    """
    parts = {}
    for part in PART_NAMES:
        rows = getattr(data, part)
        mark = None if rows.is_memory_mapped else fingerprint([rows])
        parts[part] = {"rows": len(rows), "fingerprint": mark}
    return {DATA_PARTS: parts}


def changed_part(training: Mapping[str, Any], now: Mapping[str, Any]) -> PartName | None:
    """The first part whose rows have changed; None where an older run has no record of them.

    Args:
        training: The record of the training.
        now: ``data_parts_record`` of the data as they are now.
    """
    before, parts = training.get(DATA_PARTS), now[DATA_PARTS]
    if not isinstance(before, Mapping):
        return None
    return next((part for part in PART_NAMES if before.get(part, parts[part]) != parts[part]), None)


def check_same_data(out: str | Path | None, now: Mapping[str, Any]) -> None:
    """Check that a run is resumed with the rows it began with.

    Args:
        out: The run folder.
        now: ``data_parts_record`` of the data as they are now.

    Raises:
        RunError: A part has other rows.
    """
    path = None if out is None else Path(out) / "model.json"
    if path is None or not path.exists():
        return
    part = changed_part(read_json(path).get("training", {}), now)
    if part is not None:
        raise RunError(
            f"the {part} rows are not those that the run in `{out}` began with",
            argument="source" if part == "train" else part,
            suggestions=("Bring the data back, or start a new run",),
        )
