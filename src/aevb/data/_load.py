"""One door for all data: read, check, split, choose, and say what was chosen."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from .._shapes import as_shape
from ..errors import ArgumentError, DataError
from ..networks._condition import Condition, ContextVariable, Labels
from . import _binarisation as binarising
from ._arrays import from_array, to_canonical, to_numpy
from ._context import (
    ContextColumn,
    ContextRequest,
    ContextTable,
    factors_from_columns,
    parse_context_requests,
    select_context_columns,
    to_context_columns,
)
from ._dataset import Dataset
from ._formatting import did_you_mean, format_count, format_list, format_shape
from ._labels import class_names, describe_labels, encode_labels, is_missing
from ._memory_map import MappedRows
from ._model_defaults import (
    DataProperties,
    check_likelihood_name,
    check_network_name,
    choose_likelihood,
    choose_network,
    choose_scaling,
    find_value_outside,
    is_within_support,
)
from ._named_datasets import NAMED_DATASETS, NamedDataset, find_named_dataset, read_named_dataset
from ._packing import pack, should_pack
from ._raw import RawData, ReadOptions
from ._readers import read_path
from ._rows import Rows
from ._spec import NetworkKind, Spec, Support
from ._splits import DEFAULT_SPLIT, RowOrder, Split, SplitFractions, check_split, split_rows
from ._statistics import iter_chunks
from ._tables import from_frame
from ._temporal_order import TemporalOrder, measure_temporal_order, temporal_order_notes
from ._transforms import ToFloat, UnpackBits


def load(
    source: Any,
    *,
    key: str | None = None,
    shape: Sequence[int] | None = None,
    binarise: Literal["dynamic", "fixed"] | None = None,
    likelihood: str | None = None,
    network: NetworkKind | None = None,
    split: SplitFractions = DEFAULT_SPLIT,
    order: RowOrder = "random",
    seed: int = 0,
    labels: Any = None,
    name: str | None = None,
    memory_map: bool | None = None,
    condition: Any = None,
    allow_missing_labels: bool = False,
) -> Dataset:
    """Load data, split them, and choose what suits them; ``spec.said`` holds one sentence for each choice.

    ``source`` is an array, tensor or list ``[N, *event]``, a data frame, the path of a file (.npy, .npz, IDX, .csv, .tsv, .parquet; .gz
    behind it), of a folder of images, or the name of a set (``list_sets()``). A text with a path separator or an ending is a path.
    ``key`` chooses an array of an .npz file or a column of rows of a .parquet file; ``shape`` is that of an event whose rows are stored
    flat, as (28, 28). ``labels`` is an array ``[N]``, or the name of a
    column, of an array of an .npz file, or of a kind of label of a named set. ``split`` are the fractions of train, validation and test;
    a published split stays as it was published, and frames of a film stay in order.

    Rows of an .npy file above 1 GiB, and of a memory-mapped array of that size, stay in the file and are read batch by batch; everything
    is looked at a piece at a time, and the batches are those of rows in memory. ``memory_map`` asks for that at any size, or forbids it.

    ``condition`` is what a model is to be told of each datum: a column of a table, several, ``"label"`` for the labels of a set, of a
    folder or of ``labels``, or an array ``[N]``. Text and a few whole numbers are classes, other numbers are brought to mean 0 and
    deviation 1; ``"age:label"`` and ``"grade:number"`` say otherwise. Such columns are no data. With ``partial`` classes may be empty, for
    models that infer them: held-out rows then come without.

    Raises ``DataError`` for data that cannot be used, ``ArgumentError`` for arguments that no data could be loaded with.

    >>> data = load(np.random.default_rng(0).normal(size=(100, 3)))
    >>> data.train[:16].shape, data.spec.likelihood
    (torch.Size([16, 3]), 'normal')
    """
    check_split(split, order, seed)
    check_likelihood_name(likelihood)
    check_network_name(network)
    binarising.check_binarise(binarise, likelihood)
    wanted = parse_context_requests(condition)
    ask = ReadOptions(
        key,
        labels if isinstance(labels, str) else None,
        memory_map=memory_map,
        condition=tuple(each.name for each in wanted),
        allow_missing_labels=allow_missing_labels,
    )
    raw = _read(source, ask, labels, None if shape is None else as_shape("shape", shape))
    raw = replace(
        raw, name=name or raw.name, context_columns=_context_columns(raw, condition, wanted)
    )
    if likelihood not in (None, "bernoulli"):
        raw = raw.unpack()
    rows = _split(raw, split, order, seed)
    torn = _undeclared_temporal_order(raw, order)
    raw = replace(raw, notes=(*raw.notes, *temporal_order_notes(torn)))
    factors, told = factors_from_columns(raw.context_columns, rows.train, allow_missing_labels)
    raw = _with_condition_labels(raw, factors)
    _check_labels(raw, allow_missing_labels)
    spec = _make_spec(raw, rows, binarise, likelihood, network, seed)
    spec = replace(
        spec,
        condition=factors,
        notes=(*spec.notes, *told),
        temporal_order=None if torn is None else torn.von_neumann_ratio,
    )
    return Dataset(
        _make_part(raw, rows.train, spec, seed, "train"),
        _make_part(raw, rows.validation, spec, seed, "validation"),
        _make_part(raw, rows.test, spec, seed, "test"),
        spec,
    )


def load_as(
    source: Any,
    spec: Spec,
    *,
    key: str | None = None,
    labels: Any = None,
    seed: int = 0,
    memory_map: bool | None = None,
    condition: Any = None,
) -> Rows:
    """Load other data for a model that was made for ``spec``: all rows, or the test rows of a named set or a ``Dataset``.

    Rows that are stored flat, without names of columns, take the shape of the model's; large files stay where they are, as in ``load``.
    Columns of a table are matched by name. Where ``spec`` was binarised, grey data are binarised once with ``seed``, as the test rows of
    ``load`` are. Class names are numbered as in ``spec.classes``. What the model is told of each datum is read as it was for training, by
    the names in ``spec.condition``, or is the array ``condition`` ``[N]``; classes that the model infers are not read.
    Raises ``DataError`` for another event shape, missing columns, empty cells and values that the model cannot take.

    >>> data = load("digits", binarise="dynamic")
    >>> torch.equal(load_as("digits", data.spec).tensor(), data.test.tensor())
    True
    """
    check_split(DEFAULT_SPLIT, "random", seed)
    factors = () if spec.condition is None or _is_inferred(spec.condition) else spec.condition
    wanted = (
        () if condition is not None else tuple(ContextRequest(factor.name) for factor in factors)
    )
    names = tuple(each.name for each in wanted)
    ask = ReadOptions(
        key,
        labels if isinstance(labels, str) else None,
        spec.columns,
        keep_all_rows=True,
        memory_map=memory_map,
        condition=names,
    )
    raw = _reshape_flat(
        _read(source.test if isinstance(source, Dataset) else source, ask, labels), spec
    )
    raw = replace(
        raw,
        context_columns=_rename_columns(_context_columns(raw, condition, wanted), factors)
        if factors
        else (),
    )
    if _find_named_dataset(source):
        raw = raw.subset(_split(raw, DEFAULT_SPLIT, "random", seed).test)
    if raw.event_shape != spec.event_shape:
        raise DataError(_shape_error_message(raw, spec))
    if spec.support != "binary":
        raw = raw.unpack()
    binarises = spec.binarisation is not None and not DataProperties.from_raw(raw).binary
    _check_support(raw, "levels" if binarises else spec.support, spec)
    if (
        raw.labels is not None
        and spec.class_names is not None
        and labels is None
        and not set(class_names(raw.labels)) <= set(spec.class_names)
    ):
        raw = replace(
            raw, labels=None
        )  # a foreign set with classes of its own: nobody asked for them
    _check_labels(raw, allow_missing=not factors and spec.condition is not None)
    fixed = replace(spec, binarisation="fixed" if binarises else None)
    return _make_part(raw, np.arange(len(raw.values)), fixed, seed, "test")


def _make_spec(
    raw: RawData,
    split: Split,
    binarise: Any,
    likelihood: str | None,
    network: NetworkKind | None,
    seed: int,
) -> Spec:
    """The spec of the data, with a sentence for each choice."""
    facts = DataProperties.from_raw(raw)
    if binarise:
        binarising.check_grey_values(facts)
    seen = replace(facts, low=0.0, high=1.0) if binarise else facts
    choice = choose_likelihood(seen, raw.values, likelihood)
    scaling = choose_scaling(choice, raw.values, split.train, raw.columns)
    layers, why = choose_network(seen, network)
    binarised = (
        (binarising.binarisation_note(binarise, seed),)
        if binarise
        else _black_and_white_notes(facts)
    )
    return Spec(
        name=raw.name,
        event_shape=raw.event_shape,
        support=choice.support,
        likelihood=choice.likelihood,
        network=layers,
        levels=facts.levels if binarise else choice.levels,
        shift=scaling.shift,
        scale=scaling.scale,
        binarisation=binarise,
        columns=raw.columns,
        class_names=None if raw.labels is None else class_names(raw.labels),
        notes=(
            _reading_note(raw, facts),
            *_storage_notes(raw, binarise),
            *raw.notes,
            split.note,
            *binarised,
            choice.note,
            *scaling.notes,
            why,
        ),
    )


def _read(
    source: Any, options: ReadOptions, labels: Any, shape: tuple[int, ...] | None = None
) -> RawData:
    """The source in canonical form, with its labels."""
    raw = to_canonical(_read_source(source, options).with_event_shape(shape))
    if options.memory_map and not isinstance(raw.values, MappedRows):
        raise ArgumentError(
            f"mapped=True has no meaning for {raw.origin}: leave it out, or write the rows as an .npy file."
        )
    return (
        raw
        if labels is None or isinstance(labels, str)
        else raw.with_labels(to_numpy(labels, "labels"))
    )


def _read_source(source: Any, options: ReadOptions) -> RawData:
    if isinstance(source, str | os.PathLike):
        return _read_path_or_name(source, options)
    if isinstance(source, Rows):
        values = (
            source.stored_values
            if isinstance(source.stored_values, MappedRows) and source.transform == ToFloat()
            else source.tensor().cpu().numpy()
        )
        labels, given = (
            None if source.labels is None else source.labels.cpu().numpy(),
            () if source.context_table is None else source.context_table.to_columns(),
        )
        return RawData("rows", "the rows", values, labels=labels, context_columns=given)
    if isinstance(source, np.ndarray | Tensor | list | tuple):
        return from_array(source, options)
    return from_frame(source, options)


def _read_path_or_name(source: str | os.PathLike[str], options: ReadOptions) -> RawData:
    """A path or a name: what has a separator or an ending is a path; names come before folders of the same name."""
    known = _find_named_dataset(source)
    if known:
        return read_named_dataset(known, options)
    path = Path(source).expanduser()
    if _is_path_like(source) or (str(source) and path.exists()):
        return read_path(path, options)
    raise DataError(
        f'source="{source}" is neither a set nor a path. Sets: {format_list(NAMED_DATASETS)}.{did_you_mean(str(source).lower(), NAMED_DATASETS)}'
    )


def _find_named_dataset(source: Any) -> NamedDataset | None:
    return (
        find_named_dataset(source)
        if isinstance(source, str) and not _is_path_like(source)
        else None
    )


def _is_path_like(source: str | os.PathLike[str]) -> bool:
    return (
        not isinstance(source, str)
        or bool({"/", "\\", os.sep} & set(source))
        or bool(Path(source).suffix)
    )


def _undeclared_temporal_order(raw: RawData, order: RowOrder) -> TemporalOrder | None:
    """Rows that follow one another in time, where nobody said so and they are split at random."""
    if raw.split is not None or (raw.order or order) != "random":
        return None
    found = measure_temporal_order(len(raw.values), lambda index: np.asarray(raw.values[index]))
    return found if found is not None and found.is_ordered else None


def _split(raw: RawData, fractions: SplitFractions, order: RowOrder, seed: int) -> Split:
    """The published split where there is one, else one by fractions."""
    if raw.split is None:
        return split_rows(len(raw.values), fractions, raw.order or order, seed)
    if (tuple(fractions), order) != (DEFAULT_SPLIT, "random"):
        raise ArgumentError(
            f"split={fractions!r}, order={order!r}: {raw.origin} comes with a split of its own. Leave both out."
        )
    return raw.split(seed)


def _context_columns(
    raw: RawData, condition: Any, requests: Sequence[ContextRequest]
) -> tuple[ContextColumn, ...]:
    """What a model is told, as read from the source or given as values; nothing where nothing was asked for."""
    values = to_context_columns(condition)
    if not values and not requests:
        return ()
    return select_context_columns(
        values or raw.context_columns, requests, raw.labels, raw.origin, len(raw.values)
    )


def _rename_columns(
    columns: Sequence[ContextColumn], factors: Sequence[ContextVariable]
) -> tuple[ContextColumn, ...]:
    """Columns given as values under the names that the model knows them by. Raises ``DataError`` for more or fewer of them."""
    if len(columns) != len(factors):
        names = format_list(factor.name for factor in factors)
        raise DataError(
            f"condition has {format_count(len(columns), 'column')}, and the model is told {names}: give one column for each."
        )
    return tuple(
        replace(column, name=factor.name) for column, factor in zip(columns, factors, strict=True)
    )


def _is_inferred(factors: Sequence[ContextVariable]) -> bool:
    """Whether a model infers all that it may be told."""
    return Condition(factors).is_optional


def _with_condition_labels(raw: RawData, factors: Sequence[ContextVariable] | None) -> RawData:
    """With the first class that a model is told as labels, where there are no others: reports colour and name rows by it."""
    classes = [
        column
        for column, factor in zip(raw.context_columns, factors or (), strict=True)
        if isinstance(factor, Labels)
    ]
    return raw if raw.labels is not None or not classes else raw.with_labels(classes[0].values)


def _check_labels(raw: RawData, allow_missing: bool) -> None:
    if raw.labels is None or allow_missing:
        return
    missing = is_missing(raw.labels)
    if missing.any():
        raise DataError(
            f"labels of {raw.origin} are missing, the first in row {int(np.flatnonzero(missing)[0])}: fill or drop them, or write "
            'condition="label", partial=True for a model that infers them.'
        )


def _make_part(raw: RawData, index: np.ndarray, spec: Spec, seed: int, part: str) -> Rows:
    """The rows of a part; where a model infers what it may be told, only training rows tell it."""
    rows = _make_rows(raw, index, spec, seed, part)
    if not spec.condition:
        return rows
    hidden = part != "train" and _is_inferred(spec.condition)
    given = () if hidden else [column.subset(index) for column in raw.context_columns]
    return replace(
        rows,
        context_table=ContextTable.all_missing(len(index), spec.condition)
        if hidden
        else ContextTable.from_columns(given, spec.condition),
    )


def _make_rows(raw: RawData, index: np.ndarray, spec: Spec, seed: int, part: str) -> Rows:
    labels = None if raw.labels is None else encode_labels(raw.labels[index], spec.class_names)
    if spec.binarisation:
        return binarising.binarise_rows(
            Rows(_select_stored(raw, index), ToFloat(), labels),
            spec.binarisation,
            spec.levels or 256,
            seed,
            part,
        )
    if raw.packed_shape:
        return Rows(_select_stored(raw, index), UnpackBits(raw.packed_shape), labels)
    if (
        spec.support == "binary"
        and isinstance(raw.values, np.ndarray)
        and should_pack(raw.values.size)
    ):
        return Rows(
            pack(iter_chunks(raw.values, index), len(index)), UnpackBits(raw.event_shape), labels
        )
    return Rows(_select_stored(raw, index), ToFloat(), labels)


def _select_stored(raw: RawData, index: np.ndarray) -> Tensor | MappedRows:
    values = raw.values[index]
    return values if isinstance(values, MappedRows) else torch.from_numpy(values)


def _reshape_flat(raw: RawData, spec: Spec) -> RawData:
    """Flat rows without names of columns in the shape of the model's, where that holds as many numbers."""
    flat = len(raw.event_shape) == 1 and raw.columns is None and spec.columns is None
    return (
        raw.with_event_shape(spec.event_shape)
        if flat and raw.event_shape[0] == spec.dimensions
        else raw
    )


def _reading_note(raw: RawData, facts: DataProperties) -> str:
    labels = f" and {describe_labels(class_names(raw.labels))}" if raw.labels is not None else ""
    size = len(raw.values)
    if not facts.image:
        names = f": {format_list(raw.columns)}" if raw.columns else ""
        return f"Read {format_count(size, 'row')} of {format_shape(facts.event_shape)} {'columns' if raw.columns else 'numbers'}{names}{labels}."
    kind = "colour image" if facts.event_shape[:-2] == (3,) else "image"
    return f"Read {format_count(size, kind)} of {format_shape(facts.event_shape[-2:])} with {_describe_values(facts)}{labels}."


def _storage_notes(raw: RawData, binarise: str | None) -> tuple[str, ...]:
    """Where the rows are, where that is not the memory."""
    if not isinstance(raw.values, MappedRows):
        return ()
    if binarise == "fixed":
        return (
            f"The file ({raw.values.size_text}) is gone through once; the bits drawn are held in memory.",
        )
    return (f"The rows stay in the file ({raw.values.size_text}) and are read batch by batch.",)


def _describe_values(facts: DataProperties) -> str:
    if facts.binary:
        return "values 0 and 1"
    grey = "levels" if facts.event_shape[:-2] == (3,) else "grey levels"
    return (
        f"{facts.levels} {grey} (0 to {facts.levels - 1})"
        if facts.byte_valued
        else f"values from {facts.low:g} to {facts.high:g}"
    )


def _black_and_white_notes(facts: DataProperties) -> tuple[str, ...]:
    """A hint for black and white images that were saved as bytes 0 and 255."""
    return (
        ('Only the values 0 and 255 occur: binarise="fixed" reads them as 0 and 1.',)
        if facts.black_and_white
        else ()
    )


def _shape_error_message(raw: RawData, spec: Spec) -> str:
    one = ": for a single row, write x[None]" if raw.values.shape == spec.event_shape else ""
    return f'{raw.origin} has rows of shape {raw.event_shape}, and the model was made for shape {spec.event_shape} ("{spec.name}"){one}.'


def _check_support(raw: RawData, support: Support, spec: Spec) -> None:
    if is_within_support(DataProperties.from_raw(raw), support, spec.levels):
        return
    value = find_value_outside(raw.values, support, spec.levels)
    if value is None:
        return
    takes = {
        "binary": "0 and 1",
        "unit": "values in [0, 1]",
        "levels": f"whole numbers from 0 to {(spec.levels or 256) - 1}",
    }[support]
    hint = (
        ": divide by 255"
        if support == "unit" and raw.values.dtype == np.uint8
        else ": bring it to the scale of the training data"
    )
    raise DataError(
        f'{raw.origin} holds {value:g}, and the model takes {takes}, as "{spec.name}" does{hint}.'
    )
