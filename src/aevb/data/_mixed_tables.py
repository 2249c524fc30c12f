"""Tables of mixed columns: their schema, their rows, and what is said about them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ArgumentError, DataError
from ..networks._column import Column
from ..notes import Argument, Level, Note, message
from ._columns import read_column
from ._decode_frame import from_cells
from ._encode_frame import encode_frame
from ._formatting import format_count, format_list
from ._labels import class_names, describe_labels
from ._missing_codes import MISSING_CODE_NOTE, missing_code_notes
from ._model_defaults import DataProperties, choose_network
from ._raw import MixedTable, RawData
from ._rows import Rows
from ._schema import Schema, Unseen
from ._schema_learning import learn_columns
from ._spec import NetworkKind, Spec
from ._splits import Split
from ._table_faults import dependence_notes, repeated_row_notes
from ._tables import text_number_notes

MAX_EXAMINED_ROWS = 4096
MAX_LISTED = 6  # columns of a kind, in a sentence


def learn_schema(table: MixedTable, train: np.ndarray, kinds: Any, unseen: Unseen) -> Schema | None:
    """The schema of the training rows; ``None`` where all columns are complete real numbers.

    A table whose columns are all constant in few training rows is one of numbers, too.

    Raises:
        DataError: No column can be used.
        ArgumentError: ``kinds`` names an unknown column or kind.
    """
    if isinstance(kinds, Schema):
        return kinds
    requested = parse_kinds(kinds)
    try:
        learned = learn_columns(table.subset(train).source, requested, table.rules)
    except DataError as error:
        error_of_all_rows = _error_of_all_rows(table, requested)
        if kinds is None and error_of_all_rows is None and _has_numbers(table):
            return None
        raise _error_in(table, error_of_all_rows or error) from error
    notes = tuple(note for note in learned.notes if note.code != MISSING_CODE_NOTE)
    schema = Schema(learned.columns, learned.rows, unseen, notes, table.rules.missing)
    plain = all(each.kind == "continuous" for each in schema.modelled) and not schema.derived
    return None if kinds is None and plain and not _has_missing(table, schema) else schema


def parse_kinds(kinds: Any) -> Any:
    """Kinds as ``"age=count"`` by the name of their column; a path stays.

    >>> parse_kinds(["age=count"])
    {'age': 'count'}
    """
    texts = [kinds] if isinstance(kinds, str) else kinds
    if not isinstance(texts, list | tuple):
        return kinds
    if len(texts) == 1 and (Path(texts[0]).exists() or Path(texts[0]).suffix == ".toml"):
        return texts[0]
    pairs = [str(text).rpartition("=") for text in texts]
    wrong = [kind for name, _, kind in pairs if not name]
    if wrong:
        raise ArgumentError(
            "give the name of a column and its kind",
            argument="kinds",
            value=wrong[0],
            suggestions=(message("Write {kinds}", kinds=Argument("kinds", "age=count")),),
        )
    return {name: kind for name, _, kind in pairs}


def _has_numbers(table: MixedTable) -> bool:
    """Whether a table can be read as one of numbers."""
    try:
        return bool(len(table.read_numbers().values))
    except DataError:
        return False


def _error_of_all_rows(table: MixedTable, kinds: Any) -> DataError | None:
    """The error of the table with the numbers of its own rows, where all rows have one."""
    try:
        learn_columns(table.source, kinds, table.rules)
    except DataError as error:
        return error
    return None


def _error_in(table: MixedTable, error: DataError) -> DataError:
    """The error of a frame with the name of the table; that of a file of kinds as it is."""
    if error.argument == "kinds":
        return error
    reason = message("{reason} (in {origin})", reason=error.reason, origin=table.source.origin)
    return DataError(reason, argument="source", suggestions=error.suggestions)


def _has_missing(table: MixedTable, schema: Schema) -> bool:
    """Whether a modelled column has an empty cell."""
    return bool(np.isnan(_encode(table, schema).tensor().numpy()).any())


def _encode(table: MixedTable, schema: Schema) -> Rows:
    """The rows of a table as encoded cells.

    Raises:
        DataError: A cell cannot be encoded.
    """
    try:
        return encode_frame(schema, table.frame, table.rules)
    except DataError as error:
        raise _error_in(table, error) from error


def encode_table(raw: RawData, schema: Schema) -> RawData:
    """The rows of a table as encoded cells, with the names of their columns."""
    assert raw.table is not None
    rows = _encode(raw.table, schema)
    return replace(
        raw,
        values=rows.tensor().numpy(),
        columns=tuple(each.name for each in schema.modelled),
        notes=(*raw.notes, *rows.notes),
    )


def filled_cells(values: np.ndarray) -> np.ndarray:
    """Encoded cells with the mean of their column in the place of missing ones."""
    observed = ~np.isnan(values)
    total = np.where(observed, values, 0).sum(0, dtype=np.float64)
    return np.where(observed, values, total / np.maximum(observed.sum(0), 1))


def mixed_spec(
    raw: RawData,
    split: Split,
    schema: Schema,
    network: NetworkKind | None,
    label_column: str | None,
) -> Spec:
    """The spec of a table whose rows are encoded by a schema, with notes."""
    size = len(schema.modelled)
    network, network_note = choose_network(DataProperties(0, 1, False, (size,)), network)
    classes = None if raw.labels is None else class_names(raw.labels)
    return Spec(
        name=raw.name,
        event_shape=(size,),
        support="mixed",
        likelihood="columns",
        network=network,
        columns=raw.columns,
        class_names=classes,
        schema=schema,
        label_column=label_column,
        notes=(
            _reading_note(raw, schema, classes),
            *kind_notes(schema),
            *_set_aside_notes(schema),
            *_derived_notes(schema),
            *_missing_notes(raw),
            *raw.notes,
            *schema.notes,
            *_number_notes(raw, schema),
            split.note,
            *_fault_notes(raw, schema),
            network_note,
        ),
    )


def _reading_note(raw: RawData, schema: Schema, classes: tuple[str, ...] | None) -> Note:
    """The size of the table."""
    labels = "" if classes is None else f" and {describe_labels(classes)}"
    columns = format_count(len(schema.modelled), "column")
    return Note(
        "data_read",
        f"Read {format_count(len(raw.values), 'row')} of {columns}{labels}.",
        data={
            "rows": len(raw.values),
            "event_shape": [len(schema.modelled)],
            "columns": list(raw.columns or ()),
            "kind": "table",
            "layout": None,
            "classes": None if classes is None else list(classes),
        },
    )


def kind_notes(schema: Schema) -> tuple[Note, ...]:
    """The columns of each kind."""
    kinds = {column.name: column.kind for column in schema.modelled}
    parts = [
        f"{count:,} {kind} ({format_list((n for n in kinds if kinds[n] == kind), MAX_LISTED)})"
        for kind, count in Counter(kinds.values()).most_common()
    ]
    return (Note("column_kinds", f"Kinds: {'; '.join(parts)}.", data={"kinds": kinds}),)


def _set_aside_notes(schema: Schema) -> tuple[Note, ...]:
    """The columns without a likelihood, and why."""
    columns = [column for column in schema.columns if not column.modelled and not column.source]
    if not columns:
        return ()
    listed = format_list(
        (f"{c.name or 'unnamed'} ({c.kind}: {c.reason})" for c in columns), MAX_LISTED
    )
    kinds = {column.name: column.kind for column in columns}
    text = f"Set aside {format_count(len(columns), 'column')}: {listed}."
    return (Note("columns_excluded", text, data={"columns": kinds}),)


def _derived_notes(schema: Schema) -> tuple[Note, ...]:
    """The columns that are functions of another one."""
    if not schema.derived:
        return ()
    listed = format_list((f"{c.name} of {c.source}" for c in schema.derived), MAX_LISTED)
    text = (
        f"Not modelled twice: {format_count(len(schema.derived), 'column')} that "
        f"{'is a function' if len(schema.derived) == 1 else 'are functions'} of another one "
        f"({listed}). On output they follow from it."
    )
    sources = {column.name: column.source for column in schema.derived}
    return (Note("columns_derived", text, data={"columns": sources}),)


def _missing_notes(raw: RawData) -> tuple[Note, ...]:
    """The share of empty cells; rows with some are kept."""
    values = np.asarray(raw.values)
    counts = np.isnan(values).sum(0)
    if not counts.any():
        return ()
    shares = dict(zip(raw.columns or (), (counts / len(values)).tolist(), strict=True))
    shares = dict(sorted(((n, s) for n, s in shares.items() if s), key=lambda item: -item[1]))
    listed = format_list((f"{name} {share:.1%}" for name, share in shares.items()), MAX_LISTED)
    total = counts.sum() / values.size
    text = f"Missing: {total:.1%} of the cells ({listed}); all rows are kept."
    return (Note("cells_missing", text, data={"share": total, "columns": shares}),)


def _number_notes(raw: RawData, schema: Schema) -> tuple[Note, ...]:
    """Numbers that were read from text, and those that likely stand for missing values."""
    assert raw.table is not None
    names = [each.name for each in schema.modelled if each.levels is None and not each.unit]
    frame, rules = raw.table.frame, raw.table.rules
    columns = [read_column(name, frame[name], True, rules) for name in names]
    return (*text_number_notes(columns), *missing_code_notes(columns))


def _fault_notes(raw: RawData, schema: Schema) -> tuple[Note, ...]:
    """Repeated rows, and dependence between columns that have a density."""
    values = np.asarray(raw.values)
    places = np.linspace(0, len(values) - 1, min(len(values), MAX_EXAMINED_ROWS)).astype(int)
    rows = values[np.unique(places)]
    level: Level = "info" if schema.measure == "probability" else "warning"
    notes = repeated_row_notes(rows, len(values), level)
    table, names = density_cells(rows, schema.modelled)
    return (*notes, *(dependence_notes(table, names) if table.size else ()))


def density_cells(cells: np.ndarray, columns: Sequence[Column]) -> tuple[np.ndarray, list[str]]:
    """The complete rows of the columns of real numbers, in data units, and their names."""
    used = [place for place, column in enumerate(columns) if column.measure == "density"]
    found = [from_cells(columns[place], cells[:, place].astype(np.float64)) for place in used]
    table = np.stack(found, 1) if found else np.empty((len(cells), 0))
    return table[~np.isnan(table).any(1)], [columns[place].name for place in used]
