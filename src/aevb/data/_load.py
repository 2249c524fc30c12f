"""Loading of data: read, check, split, and choose a model that fits."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from .._offset import Offset
from .._shapes import as_shape
from ..errors import ArgumentError, DataError, check_choice
from ..networks._condition import Condition, ContextVariable, Labels
from ..networks._library_size import LIBRARY_SIZE
from ..notes import UNSET, Argument, Note, Text, message
from ._arrays import from_array, to_canonical, to_numpy
from ._binarisation import (
    BinarisationMode,
    binarisation_note,
    binarise_rows,
    check_binarise,
    check_grey_values,
)
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
from ._formatting import format_count, format_list, format_shape, source_error, suggest_nearest
from ._image_faults import find_image_faults
from ._labels import class_names, describe_labels, encode_labels, is_missing
from ._layout import canonical_layout, source_shape
from ._load_shards import loads_shards, loads_shards_as
from ._matrices import from_annotated, from_matrix, is_annotated
from ._memory_map import MappedRows
from ._mixed_tables import encode_table, filled_cells, learn_schema, mixed_spec
from ._model_defaults import (
    DataProperties,
    check_likelihood,
    check_network_name,
    choose_likelihood,
    choose_network,
    choose_scaling,
    find_constants,
    find_noncount,
    find_value_outside,
    is_standardised,
    is_within_support,
)
from ._named_datasets import NAMED_DATASETS, NamedDataset, find_named_dataset, read_named_dataset
from ._packing import pack, should_pack
from ._padding import with_lengths
from ._part_sources import PartSource, part_sources, remaining_fractions, split_note
from ._raw import RawData, ReadOptions
from ._readers import read_path
from ._reading import IMAGE_FILE_SETTINGS, Crop, Frames, Layout, Reading
from ._rows import Rows, StoredRows, as_weights
from ._schema import Unseen
from ._sparse_rows import is_sparse_matrix
from ._spec import NetworkKind, Spec, Support
from ._splits import (
    DEFAULT_SPLIT,
    PART_NAMES,
    PartName,
    RowOrder,
    Split,
    SplitFractions,
    check_split,
    split_rows,
)
from ._statistics import iter_chunks, row_totals
from ._table_faults import find_table_faults
from ._tables import frame_values, from_frame, take_weights
from ._temporal_order import TemporalOrder, measure_temporal_order, temporal_order_notes
from ._transforms import ToFloat, UnpackBits


def _load_as(source: Any, spec: Spec, **settings: Any) -> Rows:
    """``load_as``, which follows."""
    return load_as(source, spec, **settings)


@loads_shards(_load_as)
def load(
    source: Any,
    *,
    key: str | None = None,
    shape: Sequence[int] | None = None,
    binarise: BinarisationMode | None = None,
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
    background: str | None = None,
    frames: Frames | None = None,
    resize: Sequence[int] | None = None,
    crop: Crop | None = None,
    layout: Layout | None = None,
    encoding: str | None = None,
    delimiter: str | None = None,
    decimal: Literal[".", ","] | None = None,
    header: bool | None = None,
    missing: Any = None,
    allow_large: bool | None = None,
    lengths: Any = None,
    kinds: Any = None,
    unseen: Unseen = "missing",
    validation: Any = None,
    test: Any = None,
    validation_key: str | None = None,
    test_key: str | None = None,
    validation_labels: Any = None,
    test_labels: Any = None,
    weights: Any = None,
    cache: Any = None,
) -> Dataset:
    """Load data, split them, and choose the likelihood, scaling and network that fit.

    ``spec.notes`` of the result has a note for each choice. Rows of an ``.npy`` file or a
    memory-mapped array above 1 GiB stay in their file and are read batch by batch; the batches are
    the same as those of rows in memory.

    A pattern such as ``"shards/*.parquet"``, a list of paths, or ``Shards`` is one data set in many
    files, of any size: the files are read twice in blocks, and the encoded training rows are kept
    in a folder, from which each epoch reads windows of rows that are shuffled in memory. Of all
    rows, at most 10,000 validate and 10,000 test.

    The columns of a table (a file or a frame) have a likelihood each, by their kinds: a ``Schema``
    of the training rows encodes all rows, and empty cells are missing values. A table of complete
    real numbers, or one with a ``likelihood``, is read as an array of numbers: text is set aside,
    and rows with empty cells are left out.

    Args:
        source: An array, tensor or list ``[N, *event]``, ``Rows``, a data frame, a sparse matrix of
            SciPy or an ``AnnData`` object (few filled cells stay sparse), the path of a file
            (tables as .csv, .tsv, .txt, .data, .jsonl, .parquet, .arrow, .xlsx or .arff; arrays as
            .npy, .npz, .mat, .h5ad or IDX; each also with .gz, .bz2, .xz, .zst or .zip) or of a
            folder of images, or the name of a data set (see ``list_datasets``). A text with a path
            separator or an ending is a path. A pattern of paths, a list of paths or ``Shards`` are
            many files.
        key: The array of an .npz file, or the column of rows of a .parquet file.
        shape: The shape of an event whose rows are stored flat, such as ``(28, 28)``.
        binarise: Draw binary values from grey values: ``"dynamic"`` at every epoch (validation and
            test rows once), ``"fixed"`` once.
        likelihood: The name of a likelihood (``LikelihoodRegistration``); chosen from the values
            by default.
        network: ``"mlp"`` or ``"conv"``; chosen from the values by default.
        split: Fractions of train, validation and test rows; those of validation and test rows may
            be 0. A published split is not changed.
        order: ``"random"``, or ``"time"``: first rows train, last rows test. Frames of a film are
            always split by time.
        seed: Decides the split and the draws of ``binarise``.
        labels: Labels ``[N]``, or the name of a column, of an array of an .npz file, or of a kind
            of labels of a named data set.
        name: The name of the data set.
        memory_map: ``True`` leaves rows in their file at any size, ``False`` reads them.
        condition: What a model is conditioned on: the name of a column of a table or a list of
            names, ``"label"`` for the labels, or an array ``[N]``. These columns are not data. Text
            and few whole numbers are classes, other numbers are standardised; ``"age:label"``,
            ``"grade:number"`` and ``"molecules:library"`` choose the kind. ``"library_size"`` is
            the total of each row of counts. A dict of arrays ``[N]`` names them.
        allow_missing_labels: Whether classes of ``condition`` may be missing, for models that infer
            them; held-out rows then have no context.
        background: The colour behind the transparent pixels of images, as ``"black"`` or
            ``"#ff8000"``; white by default.
        frames: The images of an animation or of a file with several pages: ``"first"`` (the
            default) or ``"all"``.
        resize: Height and width that images are resized to, with anti-aliasing.
        crop: What ``resize`` does to other proportions: ``"center"`` (the default) cuts off the
            edges, ``"none"`` stretches the image.
        layout: The axes of an array, such as ``"NHWC"`` (see ``Reading``); chosen from its shape
            and values by default.
        encoding: The encoding of a text file, such as ``"cp1252"``; UTF-8, UTF-16 and cp1252 are
            detected.
        delimiter: The character between the cells of a text file, or ``"comma"``,
            ``"semicolon"``, ``"tab"``, ``"pipe"``, ``"blank"``; detected by default.
        decimal: The decimal mark of numbers in text, ``"."`` or ``","``; detected by default.
        header: Whether the first line of a table holds the names of the columns; detected by
            default.
        missing: Values of a table that stand for empty cells: ``-200``, or a list; in one column
            ``"age=99"``.
        allow_large: Whether the contents of a file may fill more than half of the memory at hand.
        lengths: The number of steps of each series ``[N]``, or the name of an array of an .npz
            file; later steps are not data. Steps of NaN at the end of a row mean the same.
        kinds: Kinds of columns of a table, where they are not to be chosen from the values: a dict
            by the name of the column, as ``{"age": "count"}``, a list such as ``["age=count"]``,
            or the path of a TOML file. A ``Schema`` is used as it is, so that rows are encoded as
            those of another table.
        unseen: What becomes of a category that no training row has: ``"missing"`` or ``"refuse"``.
        validation: Another source, whose rows all validate; it is read with the choices of the
            training rows. ``source`` then has no test rows, unless ``split`` says so.
        test: Another source of test rows; a tenth of ``source`` then validates, unless
            ``validation`` or ``split`` says otherwise.
        validation_key: The ``key`` of the validation rows, in ``source`` where there is no
            ``validation``; by default that of ``source``.
        test_key: The ``key`` of the test rows, likewise.
        validation_labels: The ``labels`` of the validation rows; by default the column of
            ``labels``.
        test_labels: The ``labels`` of the test rows, likewise.
        weights: Weights of the rows in training and validation, 0 or more: ``[N]``, or the name of
            a column of a table, which is then no data.
        cache: The folder for the encoded rows of many files; by default ``aevb/shards`` in
            ``$XDG_CACHE_HOME`` or ``~/.cache``. They are written again where a file or a setting
            has changed.

    Returns:
        The three parts of the data, and the ``Spec`` that describes them.

    Raises:
        DataError: The data cannot be read or used.
        ArgumentError: An argument is not valid for any data.
        MissingExtraError: The format needs an optional dependency.

    Example:
        >>> data = load(np.random.default_rng(0).normal(size=(100, 3)))
        >>> data.train[:16].shape, data.spec.likelihood
        (torch.Size([16, 3]), 'normal')
    """
    check_split(split, order, seed)
    given: dict[PartName, PartSource] = {
        "validation": PartSource("validation", validation, validation_key, validation_labels),
        "test": PartSource("test", test, test_key, test_labels),
    }
    own = part_sources(source, key, labels, condition, given)
    fractions = remaining_fractions(split, own)
    likelihood = check_likelihood(likelihood)
    check_network_name(network)
    check_binarise(binarise, likelihood)
    reading = Reading(
        background=background,
        frames=frames,
        resize=None if resize is None else tuple(resize),
        crop=crop,
        layout=layout,
        encoding=encoding,
        delimiter=delimiter,
        decimal=decimal,
        header=header,
        missing=missing,
        allow_large=allow_large,
        lengths=lengths if isinstance(lengths, str) else None,
    )
    requests = parse_context_requests(condition)
    _check_kinds(kinds, unseen, likelihood, binarise)
    options = ReadOptions(
        key,
        labels if isinstance(labels, str) else None,
        memory_map=memory_map,
        condition=_columns_to_read(requests, condition),
        allow_missing_labels=allow_missing_labels,
        reading=reading,
        mixed=likelihood is None and binarise is None and shape is None,
    )
    event_shape = None if shape is None else as_shape("shape", shape)
    table = source
    if isinstance(weights, str):
        table, weights = take_weights(source, weights, options)
    raw = _read(
        table,
        options,
        labels,
        lambda raw: _arrange(raw.with_event_shape(event_shape), reading.layout, lengths=lengths),
    )
    _check_reading(raw, reading)
    fractions = fractions if raw.split is None else split
    schema = None
    if raw.table is not None:
        train = _split(raw, fractions, order, seed).train
        schema = learn_schema(raw.table, train, kinds, unseen)
        if schema is None:  # a table of numbers
            raw = _with_labels(_arrange(raw.table.read_numbers(), None), labels)
        else:
            raw = encode_table(raw, schema)
    elif kinds is not None:
        raise ArgumentError(f"{raw.origin} has no columns", argument="kinds", value=kinds)
    if _find_named_dataset(source):  # the form of its file says nothing
        raw = replace(raw, dtype=None)
    raw = replace(
        raw, name=name or raw.name, context_columns=_context_columns(raw, condition, requests)
    )
    if likelihood not in (None, "bernoulli"):
        raw = raw.unpack()
    if schema is None and not is_standardised(raw, likelihood):
        raw = raw.in_data_units()
    rows = _split(raw, fractions, order, seed)
    weights = None if weights is None else _weights_of(raw, weights)
    temporal_order = _undeclared_temporal_order(raw, order)
    raw = replace(raw, notes=(*raw.notes, *temporal_order_notes(temporal_order)))
    factors, context_notes = factors_from_columns(
        raw.context_columns, rows.train, allow_missing_labels
    )
    raw = _with_condition_labels(raw, factors)
    _check_labels(raw, allow_missing_labels or schema is not None)
    spec = (
        _make_spec(raw, rows, binarise, likelihood, network, seed)
        if schema is None
        else mixed_spec(raw, rows, schema, network, options.labels)
    )
    spec = replace(
        spec,
        condition=factors,
        notes=(*spec.notes, *context_notes, *_empty_row_notes(raw)),
        temporal_order=None if temporal_order is None else temporal_order.von_neumann_ratio,
        reading=reading,
        train_rows=len(rows.train),
    )
    parts: dict[PartName, Rows] = {
        part: _make_part(
            raw, getattr(rows, part), spec, seed, part, None if part == "test" else weights
        )
        for part in PART_NAMES
        if part not in own
    }
    if not own:
        return Dataset(parts["train"], parts["validation"], parts["test"], spec)
    others = {part: _load_part(each, spec, seed, memory_map) for part, each in own.items()}
    parts = {part: (parts | others)[part] for part in PART_NAMES}
    notes = (note for rows in others.values() for note in rows.notes)
    made = split_note(parts, own, rows.description)
    notes = (*(made if note.code == "split" else note for note in spec.notes), *notes)
    return Dataset(parts["train"], parts["validation"], parts["test"], replace(spec, notes=notes))


def _load_part(own: PartSource, spec: Spec, seed: int, memory_map: bool | None) -> Rows:
    """The rows of a part with a source of its own; errors name the part."""
    optional = spec.schema is not None and own.labels == spec.label_column
    labels = None if optional else own.labels
    try:
        rows = load_as(
            own.source, spec, key=own.key, labels=labels, seed=seed, memory_map=memory_map
        )
    except DataError as error:
        value = own.source if isinstance(own.source, str | os.PathLike) else UNSET
        raise DataError(
            error.reason, argument=own.part, value=value, suggestions=error.suggestions
        ) from error
    if len(rows):
        return rows
    raise DataError("it has no rows", argument=own.part, suggestions=("Leave it out",))


@loads_shards_as
def load_as(
    source: Any,
    spec: Spec,
    *,
    key: str | None = None,
    labels: Any = None,
    seed: int = 0,
    memory_map: bool | None = None,
    condition: Any = None,
    reading: Reading = Reading(),
) -> Rows:
    """Load other data for a model that was made for ``spec``.

    Flat rows without names of columns are reshaped to the events of the model. Columns of a table
    are matched by name, and rows with an empty cell are left out, as ``notes`` of the result say;
    the ``schema`` of a table of mixed columns encodes all rows, and an array holds encoded cells.
    Where ``spec`` was binarised, grey values are binarised once, like the test
    rows of ``load``.

    Args:
        source: Data as in ``load``, or a ``Dataset``. The encoded rows of many files are kept in a
            folder.
        spec: The spec that the model was made for.
        key: As in ``load``.
        labels: As in ``load``; class names are numbered as in ``spec.class_names``.
        seed: Decides the split of a named data set and the draws of binarisation.
        memory_map: As in ``load``.
        condition: The context as an array ``[N]``; by default, the columns that ``spec.condition``
            names are read. Classes that the model infers are not read.
        reading: How images and arrays are read, where other than ``spec.reading``.

    Returns:
        All rows; the test rows of a named data set, the ``evaluation_rows`` of a ``Dataset``.

    Raises:
        DataError: The events have another shape, columns are missing, or values
            are outside of the support of the model.

    Example:
        >>> data = load("digits", binarise="dynamic")
        >>> torch.equal(load_as("digits", data.spec).tensor(), data.test.tensor())
        True
    """
    check_split(DEFAULT_SPLIT, "random", seed)
    factors = () if spec.condition is None or _is_inferred(spec.condition) else spec.condition
    requests = tuple(ContextRequest(factor.name) for factor in factors)
    if isinstance(condition, np.ndarray | Tensor):
        requests = tuple(request for request in requests if request.is_row_total)
    options = ReadOptions(
        key,
        labels if isinstance(labels, str) else None,
        spec.columns,
        memory_map=memory_map,
        condition=_columns_to_read(requests, condition),
        reading=spec.reading.merge(reading),
        mixed=spec.schema is not None,
    )
    if (
        spec.schema is not None
        and labels is None
        and (is_frame(source) or isinstance(source, str | os.PathLike))
    ):
        options = replace(options, labels=spec.label_column, labels_optional=True)
    raw = _read(
        source.evaluation_rows if isinstance(source, Dataset) else source,
        options,
        labels,
        arrange=lambda raw: _arrange_as(raw, spec, reading.layout),
    )
    raw = raw if raw.offset == spec.offset else raw.in_data_units()
    _check_reading(raw, reading)
    notes = tuple(note for note in raw.notes if note.level == "warning")
    if raw.table is not None and spec.schema is not None:
        known, raw = len(raw.notes), encode_table(raw, spec.schema)
        notes += raw.notes[known:]
    context_columns = (
        _rename_columns(_context_columns(raw, condition, requests), factors) if factors else ()
    )
    raw = replace(raw, context_columns=context_columns)
    if _find_named_dataset(source):
        raw = raw.subset(_split(raw, DEFAULT_SPLIT, "random", seed).test)
    if raw.event_shape != spec.event_shape:
        raise _shape_error(raw, spec)
    if spec.support != "binary":
        raw = raw.unpack()
    binarises = spec.binarisation is not None and not DataProperties.from_raw(raw).binary
    if spec.schema is None:
        _check_support(raw, "levels" if binarises else spec.support, spec)
    if (
        raw.labels is not None
        and spec.class_names is not None
        and labels is None
        and not set(class_names(raw.labels)) <= set(spec.class_names)
    ):  # another data set, with other classes that were not requested
        raw = replace(raw, labels=None)
    inferred = not factors and spec.condition is not None
    _check_labels(raw, allow_missing=inferred or spec.schema is not None)
    fixed = replace(spec, binarisation="fixed" if binarises else None)
    rows = _make_part(raw, np.arange(len(raw.values)), fixed, seed, "test")
    return replace(rows, notes=notes)


def read_rows(source: Any, offset: Offset | None = None, name: str = "x") -> Rows:
    """Read all rows of a source of any kind as they are, without a ``Spec``.

    Args:
        source: An array, tensor or list ``[N, *event]``, ``Rows``, a data frame of numbers, a path,
            or a ``Dataset``, of which the test rows count.
        offset: The offset of the model that takes the rows.
        name: The argument that errors name.

    Returns:
        The rows, stored with this offset.

    Raises:
        DataError: The source cannot be read.

    Example:
        >>> read_rows([[1.0, 2.0]]).tensor()
        tensor([[1., 2.]])
    """
    if isinstance(source, str | os.PathLike):
        return _read_path_rows(source, offset, name)
    if isinstance(source, Dataset):
        source = source.evaluation_rows
    elif is_annotated(source):
        source = source.X
    elif not (
        isinstance(source, Rows | np.ndarray | Tensor | list | tuple) or is_sparse_matrix(source)
    ):
        source = frame_values(source, name)
    return Rows.in_model_units(source, offset)


def _read_path_rows(path: str | os.PathLike[str], offset: Offset | None, name: str) -> Rows:
    """All rows of a file or a folder."""
    try:
        raw = to_canonical(_read_source(path, ReadOptions()), known_offset=offset).unpack()
    except DataError as error:
        raise DataError(
            error.reason, argument=name, value=error.value, suggestions=error.suggestions
        ) from error
    if any(note.code == "rows_dropped" for note in raw.notes):
        raise DataError(
            "some rows have empty cells, and would be left out",
            argument=name,
            value=str(path),
            suggestions=("Give a data frame, in which empty cells stay", "Leave the rows out"),
        )
    stored = raw.values
    stored = torch.from_numpy(stored) if isinstance(stored, np.ndarray) else stored
    return Rows(stored, offset=raw.offset).with_offset(offset)


def _make_spec(
    raw: RawData,
    split: Split,
    binarise: BinarisationMode | None,
    likelihood: str | None,
    network: NetworkKind | None,
    seed: int,
) -> Spec:
    """The spec of the data, with a note for each choice."""
    properties = DataProperties.from_raw(raw)
    if binarise:
        check_grey_values(properties)
    modelled = replace(properties, low=0.0, high=1.0) if binarise else properties
    choice = choose_likelihood(modelled, raw.values, likelihood, split.train)
    scaling = choose_scaling(choice, raw, split.train)
    constants = find_constants(choice, raw, split.train)
    network, network_note = choose_network(modelled, network)
    binarisation_notes = (
        (binarisation_note(binarise, seed),) if binarise else _black_and_white_notes(properties)
    )
    return Spec(
        name=raw.name,
        event_shape=raw.event_shape,
        support=choice.support,
        likelihood=choice.likelihood.name,
        network=network,
        levels=properties.levels if binarise else choice.levels,
        shift=scaling.shift,
        scale=scaling.scale,
        binarisation=binarise,
        columns=raw.columns,
        class_names=None if raw.labels is None else class_names(raw.labels),
        offset=raw.offset,
        constants=constants.values,
        layout=raw.layout,
        padded=raw.padded,
        dtype=None if raw.dtype is None or raw.layout is None else raw.dtype.name,
        bounds=(-1.0, 1.0) if _is_signed_image(properties, choice.support) else None,
        notes=(
            _reading_note(raw, properties),
            *_storage_notes(raw, binarise),
            *raw.notes,
            *(find_image_faults(raw) if properties.kind == "image" else ()),
            split.note,
            *binarisation_notes,
            choice.note,
            *scaling.notes,
            *constants.notes,
            *find_table_faults(raw, choice.likelihood.measure, likelihood is not None),
            network_note,
        ),
    )


def _is_signed_image(properties: DataProperties, support: Support) -> bool:
    """Whether the values are pixels in [-1, 1]."""
    signed = -1 <= properties.low < 0 and properties.high <= 1
    return properties.pixels and support == "real" and signed


def _read(
    source: Any, options: ReadOptions, labels: Any, arrange: Callable[[RawData], RawData]
) -> RawData:
    """The source in canonical form, with its labels."""
    raw = _read_source(source, options)
    raw = arrange(raw) if raw.table is None else raw
    if options.memory_map and not isinstance(raw.values, MappedRows):
        raise ArgumentError(
            f"this has no meaning for {raw.origin}",
            argument="memory_map",
            value=True,
            suggestions=("Leave it out, or write the rows to an .npy file",),
        )
    return _with_labels(raw, labels)


def _with_labels(raw: RawData, labels: Any) -> RawData:
    """The data with the labels of an array; those of a column were read with the data."""
    if labels is None or isinstance(labels, str):
        return raw
    return raw.with_labels(to_numpy(labels, "labels"))


def _weights_of(raw: RawData, weights: Any) -> Tensor:
    """The weights of all rows.

    Raises:
        ArgumentError: There is not one number of at least 0 per row, or all are 0.
    """
    found = as_weights(weights)
    if found.shape != raw.values.shape[:1]:
        raise ArgumentError(
            f"weights have the shape {tuple(found.shape)}, but {raw.origin} has "
            f"{format_count(len(raw.values), 'row')}",
            argument="weights",
            suggestions=("Give one weight per row",),
        )
    return found


def _check_kinds(
    kinds: Any, unseen: str, likelihood: str | None, binarise: BinarisationMode | None
) -> None:
    """Refuse kinds of columns beside a likelihood of all columns."""
    check_choice("unseen", unseen, get_args(Unseen))
    for argument, value in (("likelihood", likelihood), ("binarise", binarise)):
        if kinds is not None and value is not None:
            raise ArgumentError(
                message(
                    "with {other} there is one likelihood for all columns",
                    other=Argument(argument, value),
                ),
                argument="kinds",
                value=kinds,
                suggestions=("Leave one of the two out",),
            )


def _check_reading(raw: RawData, reading: Reading) -> None:
    """Refuse settings that have no meaning for the data."""
    meaningful = (
        IMAGE_FILE_SETTINGS if raw.from_image_files else {"layout"} | raw.table_settings
    ) | {"allow_large"}
    meaningful |= set() if raw.lengths is None else {"lengths"}
    for name, value in reading.settings.items():
        if name not in meaningful:
            raise ArgumentError(
                f"this has no meaning for {raw.origin}",
                argument=name,
                value=value,
                suggestions=("Leave it out",),
            )


def is_frame(source: Any) -> bool:
    """Whether a source is a data frame."""
    known = str | os.PathLike | Rows | Dataset | np.ndarray | Tensor | list | tuple | None
    return not (isinstance(source, known) or is_sparse_matrix(source) or is_annotated(source))


def _read_source(source: Any, options: ReadOptions) -> RawData:
    """The source as its reader returns it."""
    if isinstance(source, str | os.PathLike):
        return _read_path_or_name(source, options)
    if isinstance(source, Rows):
        return _read_rows(source)
    if isinstance(source, np.ndarray | Tensor | list | tuple):
        return from_array(source, options)
    if is_sparse_matrix(source):
        return from_matrix(source, options)
    if is_annotated(source):
        return from_annotated(source, options)
    return from_frame(source, options)


def _read_rows(rows: Rows) -> RawData:
    """Rows that were loaded before."""
    stored = rows.stored_values
    if isinstance(stored, Tensor) or rows.transform != ToFloat():
        stored = rows.tensor().cpu().numpy()
    elif isinstance(stored, MappedRows) and stored.offset is not None:  # which is chosen again
        stored = replace(stored, dtype=stored.file.array.dtype, offset=None)
    return RawData(
        "rows",
        "the rows",
        stored,
        labels=None if rows.labels is None else rows.labels.cpu().numpy(),
        context_columns=() if rows.context_table is None else rows.context_table.to_columns(),
    )


def _read_path_or_name(source: str | os.PathLike[str], options: ReadOptions) -> RawData:
    """A named data set, or a path: names come before folders of the same name."""
    dataset = _find_named_dataset(source)
    if dataset:
        return read_named_dataset(dataset, options)
    path = Path(source).expanduser()
    if _is_path_like(source) or (str(source) and path.exists()):
        return read_path(path, options)
    raise DataError(
        "this is neither a data set nor a path; data sets are " + format_list(NAMED_DATASETS),
        argument="source",
        value=source,
        suggestions=suggest_nearest(str(source).lower(), NAMED_DATASETS, "source"),
    )


def _find_named_dataset(source: Any) -> NamedDataset | None:
    """The data set that the source names; ``None`` for paths and data."""
    return (
        find_named_dataset(source)
        if isinstance(source, str) and not _is_path_like(source)
        else None
    )


def _is_path_like(source: str | os.PathLike[str]) -> bool:
    """Whether the source has a path separator or an ending."""
    return (
        not isinstance(source, str)
        or bool({"/", "\\", os.sep} & set(source))
        or bool(Path(source).suffix)
    )


def _undeclared_temporal_order(raw: RawData, order: RowOrder) -> TemporalOrder | None:
    """The order of rows that are ordered in time and are split at random."""
    if raw.split is not None or (raw.order or order) != "random":
        return None
    values = raw.values if raw.table is None else filled_cells(np.asarray(raw.values))
    measured = measure_temporal_order(len(values), lambda index: np.asarray(values[index]))
    return measured if measured is not None and measured.is_ordered else None


def _split(raw: RawData, fractions: SplitFractions, order: RowOrder, seed: int) -> Split:
    """The published split where there is one, otherwise a split by fractions."""
    if raw.split is None:
        return split_rows(len(raw.values), fractions, raw.order or order, seed)
    if (tuple(fractions), order) != (DEFAULT_SPLIT, "random"):
        raise ArgumentError(
            message(
                "{split} and {order} have no meaning for {origin}, which has a published split",
                split=Argument("split", fractions),
                order=Argument("order", order),
                origin=raw.origin,
            ),
            argument="split",
            suggestions=("Leave both out",),
        )
    return raw.split(seed)


def _context_columns(
    raw: RawData, condition: Any, requests: Sequence[ContextRequest]
) -> tuple[ContextColumn, ...]:
    """The columns of context: values of ``condition``, or requested columns of the source."""
    columns = to_context_columns(condition)
    totals = tuple(_library_column(raw) for request in requests if request.is_row_total)
    if not columns and not requests:
        return ()
    if isinstance(condition, np.ndarray | Tensor):
        requests = ()
    available = (columns or raw.context_columns) + totals
    if isinstance(condition, Mapping):
        available = raw.context_columns + columns + totals
    return select_context_columns(available, requests, raw.labels, raw.origin, len(raw.values))


def _columns_to_read(requests: Sequence[ContextRequest], condition: Any) -> tuple[str, ...]:
    """The names of the columns of a source that the context consists of."""
    supplied = {column.name for column in to_context_columns(condition)}
    return tuple(
        request.name
        for request in requests
        if not request.is_row_total and request.name not in supplied
    )


def _library_column(raw: RawData) -> ContextColumn:
    """The totals of rows of counts.

    Raises:
        DataError: The values are not counts.
    """
    values = raw.unpack().values
    wrong = find_noncount(values)
    if wrong is not None or raw.offset is not None or raw.padded:
        raise DataError(
            f"this is the total of a row of counts, and the data hold {wrong or raw.offset}",
            argument="condition",
            value=LIBRARY_SIZE,
            suggestions=("Leave it out",),
        )
    return ContextColumn(LIBRARY_SIZE, row_totals(values), "library")


def _empty_row_notes(raw: RawData) -> tuple[Note, ...]:
    """The warning about rows without counts, whose library size is not known."""
    columns = [column for column in raw.context_columns if column.kind == "library"]
    count = sum(int((column.values < 1).sum()) for column in columns)
    if not count:
        return ()
    text = f"{format_count(count, 'row')} without counts: the library size is taken as 1."
    return (Note("empty_rows", text, "warning", {"rows": count}),)


def _rename_columns(
    columns: Sequence[ContextColumn], factors: Sequence[ContextVariable]
) -> tuple[ContextColumn, ...]:
    """The columns under the names of the variables of a model, in this order."""
    totals = [column for column in columns if column.kind == "library"]
    if not totals and len(columns) != len(factors):
        names = format_list(factor.name for factor in factors)
        raise DataError(
            f"`condition` has {format_count(len(columns), 'column')}, and the model is conditioned "
            f"on {names}",
            argument="condition",
            suggestions=("Give one column for each variable",),
        )
    if totals:
        factors = [factor for factor in factors if factor.name != LIBRARY_SIZE]
        columns = [column for column in columns if column.kind != "library"]
    renamed = (
        replace(column, name=factor.name) for column, factor in zip(columns, factors, strict=True)
    )
    return (*renamed, *totals)


def _is_inferred(factors: Sequence[ContextVariable]) -> bool:
    """Whether a model infers all variables of its condition."""
    return Condition(factors).is_optional


def _with_condition_labels(raw: RawData, factors: Sequence[ContextVariable] | None) -> RawData:
    """The data with the first class of the condition as labels, if there are no labels."""
    if raw.labels is not None:
        return raw
    for column, factor in zip(raw.context_columns, factors or (), strict=True):
        if isinstance(factor, Labels):
            return raw.with_labels(column.values)
    return raw


def _check_labels(raw: RawData, allow_missing: bool) -> None:
    """Refuse missing labels where they are not allowed."""
    if raw.labels is None or allow_missing:
        return
    missing = is_missing(raw.labels)
    if missing.any():
        raise DataError(
            f"labels of {raw.origin} are missing, the first in row "
            f"{int(np.flatnonzero(missing)[0])}",
            argument="labels",
            suggestions=(
                message(
                    "Fill or drop them, or write {condition} with {allow} for a model that infers "
                    "them",
                    condition=Argument("condition", "label"),
                    allow=Argument("allow_missing_labels", True),
                ),
            ),
        )


def _make_part(
    raw: RawData, index: np.ndarray, spec: Spec, seed: int, part: str, weights: Tensor | None = None
) -> Rows:
    """The rows of a part; where a model infers its condition, only training rows have context."""
    rows = _make_rows(raw, index, spec, seed, part)
    if weights is not None:
        own = weights[index]
        rows = replace(rows, weights=as_weights(own) if len(index) else own)
    if not spec.condition:
        return rows
    if part != "train" and _is_inferred(spec.condition):
        return replace(rows, context_table=ContextTable.all_missing(len(index), spec.condition))
    columns = [column.subset(index) for column in raw.context_columns]
    return replace(rows, context_table=ContextTable.from_columns(columns, spec.condition))


def _make_rows(raw: RawData, index: np.ndarray, spec: Spec, seed: int, part: str) -> Rows:
    """The rows of a part in their stored form, without context."""
    labels = None if raw.labels is None else encode_labels(raw.labels[index], spec.class_names)
    if spec.binarisation:
        return binarise_rows(
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
    return Rows(_select_stored(raw, index), ToFloat(), labels, offset=raw.offset)


def _select_stored(raw: RawData, index: np.ndarray) -> StoredRows:
    """Values of the rows ``index``."""
    own = raw.table is not None  # encoded cells, which nobody else can change
    every = own and np.array_equal(index, np.arange(len(raw.values)))
    values = raw.values if every else raw.values[index]
    return torch.from_numpy(values) if isinstance(values, np.ndarray) else values


def _arrange(
    raw: RawData, layout: str | None, offset: Offset | None = None, lengths: Any = None
) -> RawData:
    """The data in canonical form, with NaN after the end of series."""
    lengths = raw.lengths if lengths is None or isinstance(lengths, str) else lengths
    raw = raw if lengths is None else with_lengths(raw, lengths, layout)
    return to_canonical(raw, layout, offset)


def _arrange_as(raw: RawData, spec: Spec, layout: str | None) -> RawData:
    """Other data in canonical form, with the axes of the training data where the shapes are equal.

    Flat rows without names of columns get the shape of a row of the training data.
    """
    if spec.schema is not None:  # encoded cells, in which NaN is a missing one
        return replace(raw, values=np.asarray(raw.values, dtype=np.float32))
    shape = source_shape(spec.event_shape, spec.layout)
    flat = len(raw.event_shape) == 1 and raw.columns is None and spec.columns is None
    if flat and raw.event_shape[0] == spec.dimensions:
        raw = raw.with_event_shape(shape)
    if layout is None and spec.layout is not None:
        known = {spec.event_shape: canonical_layout(spec.layout), shape: spec.layout}
        layout = known.get(raw.event_shape)
    raw = _arrange(raw, layout, spec.offset)
    if raw.padded and not spec.padded:
        raise source_error(
            f"{raw.origin} has sequences that end in NaN, and the model was made for complete "
            f'ones, as in "{spec.name}"',
            "Leave them out, or train on data with sequences of several lengths",
        )
    return raw


def _reading_note(raw: RawData, properties: DataProperties) -> Note:
    """What was read."""
    classes = None if raw.labels is None else class_names(raw.labels)
    labels = "" if classes is None else f" and {describe_labels(classes)}"
    size, shape = len(raw.values), properties.event_shape
    if properties.kind == "table":
        kind = "row"
        names = f": {format_list(raw.columns)}" if raw.columns else ""
        content = f"{format_shape(shape)} {'columns' if raw.columns else 'numbers'}{names}"
    else:
        kind, content = _describe_events(properties)
    return Note(
        "data_read",
        f"Read {format_count(size, kind)} of {content}{labels}.",
        data={
            "rows": size,
            "event_shape": list(shape),
            "low": properties.low,
            "high": properties.high,
            "columns": None if raw.columns is None else list(raw.columns),
            "kind": properties.kind,
            "layout": raw.layout,
            "classes": None if classes is None else list(classes),
        },
    )


def _describe_events(properties: DataProperties) -> tuple[str, str]:
    """The noun for an image, a sequence or a video, and what they consist of."""
    shape, values = properties.event_shape, _describe_values(properties)
    if properties.kind == "series":
        steps = f"{format_count(shape[0], 'step')} of {format_count(shape[1], 'channel')}"
        return "sequence", f"{steps} with {values}"
    size = f"{format_shape(shape[-2:])} with {values}"
    if properties.kind == "image":
        return ("colour image" if shape[:-2] == (3,) else "image"), size
    colour = "colour frame" if shape[1] == 3 else "frame"
    return "video", f"{format_count(shape[0], colour)} of {size}"


def _storage_notes(raw: RawData, binarise: BinarisationMode | None) -> tuple[Note, ...]:
    """Where the rows are, if they are in a file."""
    if not isinstance(raw.values, MappedRows):
        return ()
    size = raw.values.size_text
    if binarise == "fixed":
        text = f"The file ({size}) is read once; the binary values are kept in memory."
        return (Note("binarised_in_memory", text, data={"size": size}),)
    text = f"The rows stay in the file ({size}) and are read batch by batch."
    return (Note("rows_in_file", text, data={"size": size}),)


def _describe_values(properties: DataProperties) -> str:
    """The values of images."""
    if properties.binary:
        return "values 0 and 1"
    if not (properties.byte_valued or properties.deep) or not properties.pixels:
        return f"values from {properties.low:g} to {properties.high:g}"
    grey = "levels" if properties.event_shape[:-2] == (3,) else "grey levels"
    return f"{properties.levels:,} {grey} (0 to {properties.levels - 1:,})"


def _black_and_white_notes(properties: DataProperties) -> tuple[Note, ...]:
    """The suggestion to binarise black and white images that are stored as 0 and 255."""
    if not properties.black_and_white:
        return ()
    text = message(
        "Only the values 0 and 255 occur: {fixed} reads them as 0 and 1.",
        fixed=Argument("binarise", "fixed"),
    )
    return (Note("black_and_white", text, "warning"),)


def _shape_error(raw: RawData, spec: Spec) -> DataError:
    """The error for events of another shape than the model's."""
    suggestions: tuple[Text, ...] = (
        ("Write x[None] for a single row",) if raw.values.shape == spec.event_shape else ()
    )
    return source_error(
        f"{raw.origin} has rows of shape {raw.event_shape}, and the model was made for shape "
        f'{spec.event_shape} ("{spec.name}")',
        *suggestions,
    )


def _check_support(raw: RawData, support: Support, spec: Spec) -> None:
    """Refuse values outside of the support of the model."""
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
    is_bytes = support == "unit" and raw.values.dtype == np.uint8
    raise source_error(
        f'{raw.origin} holds {value:g}, and the model takes {takes}, as in "{spec.name}"',
        "Divide by 255" if is_bytes else "Bring the data to the scale of the training data",
    )
