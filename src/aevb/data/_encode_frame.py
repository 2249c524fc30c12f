"""Data frames as encoded cells: one number per cell of a modelled column."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..errors import DataError
from ..notes import Note
from ._columns import CellRules
from ._derived_cells import DerivedCells, fill_source_cells, read_derived_columns
from ._encode_column import EncodedColumn, encode_column
from ._formatting import format_count, format_list, suggest_nearest
from ._rows import Rows
from ._tables import to_narwhals

if TYPE_CHECKING:
    from ._schema import Schema

MAX_LISTED_VALUES = 5


def encode_frame(schema: Schema, frame: Any, rules: CellRules = CellRules()) -> Rows:
    """The rows of ``Schema.encode``.

    Args:
        schema: The schema.
        frame: A data frame of any library.
        rules: How cells are read.
    """
    table, encoded, derived = read_columns(schema, frame, rules)
    filled = fill_source_cells(schema.columns, encoded, derived)
    cells = np.empty((len(table), len(encoded)), dtype=np.float32)
    for place, each in enumerate(filled.values()):
        cells[:, place] = each
    known = {column.name for column in schema.columns}
    extra = [name for name in table.columns if name not in known]
    notes = (
        *_refused_notes(schema, encoded),
        *_contradiction_notes(schema, derived),
        *_extra_notes(extra),
    )
    return Rows(torch.from_numpy(cells), notes=notes)


def read_columns(
    schema: Schema, frame: Any, rules: CellRules = CellRules()
) -> tuple[Any, dict[str, EncodedColumn], dict[str, DerivedCells]]:
    """The narwhals frame, its modelled columns as encoded cells, and its derived columns.

    Args:
        schema: The schema.
        frame: A data frame of any library.
        rules: How cells are read.
    """
    table = open_frame(schema, frame)
    encoded = {each.name: encode_column(each, table[each.name], rules) for each in schema.modelled}
    return table, encoded, read_derived_columns(schema.columns, table, encoded, rules)


def open_frame(schema: Schema, frame: Any) -> Any:
    """A frame with all modelled columns and at least one row, as a narwhals frame.

    Raises:
        DataError: A modelled column is missing, or there are no rows.
    """
    table = to_narwhals(frame, "frame")
    names = list(table.columns)
    present = set(names)
    missing = [column.name for column in schema.modelled if column.name not in present]
    if missing:
        known = {column.name for column in schema.columns}
        extra = [name for name in names if name not in known]
        raise DataError(
            f"the frame has no {'column' if len(missing) == 1 else 'columns'} "
            f"{format_list((repr(name) for name in missing), 5)}",
            argument="frame",
            suggestions=[text for name in missing[:3] for text in suggest_nearest(name, extra)],
        )
    if not len(table):
        raise DataError("the frame holds no rows", argument="frame")
    return table


def _refused_notes(schema: Schema, encoded: Mapping[str, EncodedColumn]) -> tuple[Note, ...]:
    """What was made a missing cell: new categories, and numbers that a column cannot hold.

    Raises:
        DataError: There are such values, and ``Schema.unseen`` is ``"refuse"``.
    """
    refused = {name: each.refused for name, each in encoded.items() if each.refused}
    if not refused:
        return ()
    texts = [_describe_refused(name, values) for name, values in refused.items()]
    if schema.unseen == "refuse":
        raise DataError(
            f"the schema does not have {format_list(texts, 3)}",
            argument="frame",
            suggestions=("Empty these cells, or fit to data with these values",),
        )
    has_levels = {column.name: column.levels is not None for column in schema.modelled}
    notes = []
    for code, noun, kind in (
        ("unseen_categories", "new categories", True),
        ("impossible_values", "values that the column cannot hold", False),
    ):
        names = [name for name in refused if has_levels[name] is kind]
        if names:
            listed = format_list(_describe_refused(name, refused[name]) for name in names)
            data = {name: sum(refused[name].values()) for name in names}
            text = f"Cells with {noun} count as missing: {listed}."
            notes.append(Note(code, text, "warning", {"columns": data}))
    return tuple(notes)


def _describe_refused(name: str, values: Mapping[Any, int]) -> str:
    """The name of a column, a few of the values, and the number of cells."""
    listed = format_list(values, MAX_LISTED_VALUES)
    return f"{name} ({listed}; {format_count(sum(values.values()), 'cell')})"


def _contradiction_notes(schema: Schema, derived: Mapping[str, DerivedCells]) -> tuple[Note, ...]:
    """The rows in which a column contradicts the one that it is a function of.

    Raises:
        DataError: There are some, and ``Schema.unseen`` is ``"refuse"``.
    """
    counts = {name: int(np.count_nonzero(each.contradicts)) for name, each in derived.items()}
    counts = {name: count for name, count in counts.items() if count}
    if not counts:
        return ()
    sources = {column.name: column.source for column in schema.columns}
    listed = format_list(
        f"{name} contradicts {sources[name]} in {format_count(count, 'row')}"
        for name, count in counts.items()
    )
    if schema.unseen == "refuse":
        raise DataError(
            f"it is a function of another column in the schema, but {listed}",
            argument="frame",
            suggestions=("Correct or empty these cells",),
        )
    text = (
        f"A column that is a function of another one has other values: {listed}. The model gives "
        "such rows the probability 0; these cells count as missing."
    )
    return (Note("contradictions", text, "warning", {"columns": counts}),)


def _extra_notes(names: list[str]) -> tuple[Note, ...]:
    """The columns of the frame that the schema does not have."""
    if not names:
        return ()
    count = format_count(len(names), "column")
    text = f"Ignored {count} that the schema does not have: {format_list(names)}."
    return (Note("columns_ignored", text, data={"columns": names}),)
