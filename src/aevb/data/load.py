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

from ..errors import ArgumentError, DataError
from ..networks.condition import Condition, Factor, Labels
from ..shapes import as_shape
from . import binarising
from .arrays import canonical, from_array, to_numpy
from .choose import Facts, check_likelihood, check_network, choose_likelihood, choose_network, choose_scaling, inside, offender
from .dataset import Dataset
from .labels import class_names, labels_said, number_labels, unknown
from .look import pieces
from .mapped import Mapped
from .named import SETS, NamedSet, find_set, read_set
from .order import Succession, order_said, succession
from .packing import pack, worth_packing
from .raw import Ask, Raw
from .read import read_path
from .rows import Rows
from .spec import Network, Spec, Support
from .splits import FRACTIONS, Fractions, Order, Split, check_split, split_rows
from .tables import from_frame
from .told import Given, Told, Wanted, columns_of, factors_of, found, wanted_of
from .transforms import Cast, Unpack
from .words import count, listing, nearest, sides


def load(
    source: Any,
    *,
    key: str | None = None,
    shape: Sequence[int] | None = None,
    binarise: Literal["dynamic", "fixed"] | None = None,
    likelihood: str | None = None,
    network: Network | None = None,
    split: Fractions = FRACTIONS,
    order: Order = "random",
    seed: int = 0,
    labels: Any = None,
    name: str | None = None,
    mapped: bool | None = None,
    condition: Any = None,
    partial: bool = False,
) -> Dataset:
    """Load data, split them, and choose what suits them; ``spec.said`` holds one sentence for each choice.

    ``source`` is an array, tensor or list ``[N, *event]``, a data frame, the path of a file (.npy, .npz, IDX, .csv, .tsv, .parquet; .gz
    behind it), of a folder of images, or the name of a set (``list_sets()``). A text with a path separator or an ending is a path.
    ``key`` chooses an array of an .npz file or a column of rows of a .parquet file; ``shape`` is that of an event whose rows are stored
    flat, as (28, 28). ``labels`` is an array ``[N]``, or the name of a
    column, of an array of an .npz file, or of a kind of label of a named set. ``split`` are the fractions of train, validation and test;
    a published split stays as it was published, and frames of a film stay in order.

    Rows of an .npy file above 1 GiB, and of a memory-mapped array of that size, stay in the file and are read batch by batch; everything
    is looked at a piece at a time, and the batches are those of rows in memory. ``mapped`` asks for that at any size, or forbids it.

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
    check_likelihood(likelihood)
    check_network(network)
    binarising.check_binarise(binarise, likelihood)
    wanted = wanted_of(condition)
    ask = Ask(
        key, labels if isinstance(labels, str) else None, mapped=mapped, condition=tuple(each.name for each in wanted), partial=partial
    )
    raw = _read(source, ask, labels, None if shape is None else as_shape("shape", shape))
    raw = replace(raw, name=name or raw.name, given=_given(raw, condition, wanted))
    if likelihood not in (None, "bernoulli"):
        raw = raw.unpacked()
    rows = _split(raw, split, order, seed)
    torn = _torn(raw, order)
    raw = replace(raw, notes=(*raw.notes, *order_said(torn)))
    factors, told = factors_of(raw.given, rows.train, partial)
    raw = _labelled_by(raw, factors)
    _check_labels(raw, partial)
    spec = _choose(raw, rows, binarise, likelihood, network, seed)
    spec = replace(spec, condition=factors, said=(*spec.said, *told), succession=None if torn is None else torn.near)
    return Dataset(
        _part(raw, rows.train, spec, seed, "train"),
        _part(raw, rows.validation, spec, seed, "validation"),
        _part(raw, rows.test, spec, seed, "test"),
        spec,
    )


def load_as(
    source: Any,
    spec: Spec,
    *,
    key: str | None = None,
    labels: Any = None,
    seed: int = 0,
    mapped: bool | None = None,
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
    check_split(FRACTIONS, "random", seed)
    factors = () if spec.condition is None or _inferred(spec.condition) else spec.condition
    wanted = () if condition is not None else tuple(Wanted(factor.name) for factor in factors)
    names = tuple(each.name for each in wanted)
    ask = Ask(key, labels if isinstance(labels, str) else None, spec.columns, every=True, mapped=mapped, condition=names)
    raw = _flat_as(_read(source.test if isinstance(source, Dataset) else source, ask, labels), spec)
    raw = replace(raw, given=_renamed(_given(raw, condition, wanted), factors) if factors else ())
    if _set_of(source):
        raw = raw.rows(_split(raw, FRACTIONS, "random", seed).test)
    if raw.event_shape != spec.event_shape:
        raise DataError(_other_shape(raw, spec))
    if spec.support != "binary":
        raw = raw.unpacked()
    binarises = spec.binarisation is not None and not Facts.of(raw).binary
    _check_support(raw, "levels" if binarises else spec.support, spec)
    if raw.labels is not None and spec.classes is not None and labels is None and not set(class_names(raw.labels)) <= set(spec.classes):
        raw = replace(raw, labels=None)  # a foreign set with classes of its own: nobody asked for them
    _check_labels(raw, partial=not factors and spec.condition is not None)
    fixed = replace(spec, binarisation="fixed" if binarises else None)
    return _part(raw, np.arange(len(raw.values)), fixed, seed, "test")


def _choose(raw: Raw, rows: Split, binarise: Any, likelihood: str | None, network: Network | None, seed: int) -> Spec:
    """The spec of the data, with a sentence for each choice."""
    facts = Facts.of(raw)
    if binarise:
        binarising.check_grey(facts)
    seen = replace(facts, low=0.0, high=1.0) if binarise else facts
    choice = choose_likelihood(seen, raw.values, likelihood)
    scaling = choose_scaling(choice, raw.values, rows.train, raw.columns)
    layers, why = choose_network(seen, network)
    binarised = (binarising.said(binarise, seed),) if binarise else _two_values(facts)
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
        classes=None if raw.labels is None else class_names(raw.labels),
        said=(_read_said(raw, facts), *_place_said(raw, binarise), *raw.notes, rows.said, *binarised, choice.said, *scaling.said, why),
    )


def _read(source: Any, ask: Ask, labels: Any, shape: tuple[int, ...] | None = None) -> Raw:
    """The source in canonical form, with its labels."""
    raw = canonical(_read_source(source, ask).shaped(shape))
    if ask.mapped and not isinstance(raw.values, Mapped):
        raise ArgumentError(f"mapped=True has no meaning for {raw.origin}: leave it out, or write the rows as an .npy file.")
    return raw if labels is None or isinstance(labels, str) else raw.labelled(to_numpy(labels, "labels"))


def _read_source(source: Any, ask: Ask) -> Raw:
    if isinstance(source, str | os.PathLike):
        return _read_text(source, ask)
    if isinstance(source, Rows):
        values = source.stored if isinstance(source.stored, Mapped) and source.decode == Cast() else source.tensor().cpu().numpy()
        labels, given = None if source.labels is None else source.labels.cpu().numpy(), () if source.told is None else source.told.given()
        return Raw("rows", "the rows", values, labels=labels, given=given)
    if isinstance(source, np.ndarray | Tensor | list | tuple):
        return from_array(source, ask)
    return from_frame(source, ask)


def _read_text(source: str | os.PathLike[str], ask: Ask) -> Raw:
    """A path or a name: what has a separator or an ending is a path; names come before folders of the same name."""
    known = _set_of(source)
    if known:
        return read_set(known, ask)
    path = Path(source).expanduser()
    if _path_like(source) or (str(source) and path.exists()):
        return read_path(path, ask)
    raise DataError(f'source="{source}" is neither a set nor a path. Sets: {listing(SETS)}.{nearest(str(source).lower(), SETS)}')


def _set_of(source: Any) -> NamedSet | None:
    return find_set(source) if isinstance(source, str) and not _path_like(source) else None


def _path_like(source: str | os.PathLike[str]) -> bool:
    return not isinstance(source, str) or bool({"/", "\\", os.sep} & set(source)) or bool(Path(source).suffix)


def _torn(raw: Raw, order: Order) -> Succession | None:
    """Rows that follow one another in time, where nobody said so and they are split at random."""
    if raw.split is not None or (raw.order or order) != "random":
        return None
    found = succession(len(raw.values), lambda index: np.asarray(raw.values[index]))
    return found if found is not None and found.timely else None


def _split(raw: Raw, fractions: Fractions, order: Order, seed: int) -> Split:
    """The published split where there is one, else one by fractions."""
    if raw.split is None:
        return split_rows(len(raw.values), fractions, raw.order or order, seed)
    if (tuple(fractions), order) != (FRACTIONS, "random"):
        raise ArgumentError(f"split={fractions!r}, order={order!r}: {raw.origin} comes with a split of its own. Leave both out.")
    return raw.split(seed)


def _given(raw: Raw, condition: Any, wanted: Sequence[Wanted]) -> tuple[Given, ...]:
    """What a model is told, as read from the source or given as values; nothing where nothing was asked for."""
    values = columns_of(condition)
    if not values and not wanted:
        return ()
    return found(values or raw.given, wanted, raw.labels, raw.origin, len(raw.values))


def _renamed(given: Sequence[Given], factors: Sequence[Factor]) -> tuple[Given, ...]:
    """Columns given as values under the names that the model knows them by. Raises ``DataError`` for more or fewer of them."""
    if len(given) != len(factors):
        names = listing(factor.name for factor in factors)
        raise DataError(f"condition has {count(len(given), 'column')}, and the model is told {names}: give one column for each.")
    return tuple(replace(column, name=factor.name) for column, factor in zip(given, factors, strict=True))


def _inferred(factors: Sequence[Factor]) -> bool:
    """Whether a model infers all that it may be told."""
    return Condition(factors).optional


def _labelled_by(raw: Raw, factors: Sequence[Factor] | None) -> Raw:
    """With the first class that a model is told as labels, where there are no others: reports colour and name rows by it."""
    classes = [column for column, factor in zip(raw.given, factors or (), strict=True) if isinstance(factor, Labels)]
    return raw if raw.labels is not None or not classes else raw.labelled(classes[0].values)


def _check_labels(raw: Raw, partial: bool) -> None:
    if raw.labels is None or partial:
        return
    missing = unknown(raw.labels)
    if missing.any():
        raise DataError(
            f"labels of {raw.origin} are missing, the first in row {int(np.flatnonzero(missing)[0])}: fill or drop them, or write "
            'condition="label", partial=True for a model that infers them.'
        )


def _part(raw: Raw, index: np.ndarray, spec: Spec, seed: int, part: str) -> Rows:
    """The rows of a part; where a model infers what it may be told, only training rows tell it."""
    rows = _rows(raw, index, spec, seed, part)
    if not spec.condition:
        return rows
    hidden = part != "train" and _inferred(spec.condition)
    given = () if hidden else [column.rows(index) for column in raw.given]
    return replace(rows, told=Told.unknown(len(index), spec.condition) if hidden else Told.of(given, spec.condition))


def _rows(raw: Raw, index: np.ndarray, spec: Spec, seed: int, part: str) -> Rows:
    labels = None if raw.labels is None else number_labels(raw.labels[index], spec.classes)
    if spec.binarisation:
        return binarising.binarised(Rows(_stored(raw, index), Cast(), labels), spec.binarisation, spec.levels or 256, seed, part)
    if raw.packed:
        return Rows(_stored(raw, index), Unpack(raw.packed), labels)
    if spec.support == "binary" and isinstance(raw.values, np.ndarray) and worth_packing(raw.values.size):
        return Rows(pack(pieces(raw.values, index), len(index)), Unpack(raw.event_shape), labels)
    return Rows(_stored(raw, index), Cast(), labels)


def _stored(raw: Raw, index: np.ndarray) -> Tensor | Mapped:
    values = raw.values[index]
    return values if isinstance(values, Mapped) else torch.from_numpy(values)


def _flat_as(raw: Raw, spec: Spec) -> Raw:
    """Flat rows without names of columns in the shape of the model's, where that holds as many numbers."""
    flat = len(raw.event_shape) == 1 and raw.columns is None and spec.columns is None
    return raw.shaped(spec.event_shape) if flat and raw.event_shape[0] == spec.dimensions else raw


def _read_said(raw: Raw, facts: Facts) -> str:
    labels = f" and {labels_said(class_names(raw.labels))}" if raw.labels is not None else ""
    size = len(raw.values)
    if not facts.image:
        names = f": {listing(raw.columns)}" if raw.columns else ""
        return f"Read {count(size, 'row')} of {sides(facts.event_shape)} {'columns' if raw.columns else 'numbers'}{names}{labels}."
    kind = "colour image" if facts.event_shape[:-2] == (3,) else "image"
    return f"Read {count(size, kind)} of {sides(facts.event_shape[-2:])} with {_values_said(facts)}{labels}."


def _place_said(raw: Raw, binarise: str | None) -> tuple[str, ...]:
    """Where the rows are, where that is not the memory."""
    if not isinstance(raw.values, Mapped):
        return ()
    if binarise == "fixed":
        return (f"The file ({raw.values.size}) is gone through once; the bits drawn are held in memory.",)
    return (f"The rows stay in the file ({raw.values.size}) and are read batch by batch.",)


def _values_said(facts: Facts) -> str:
    if facts.binary:
        return "values 0 and 1"
    grey = "levels" if facts.event_shape[:-2] == (3,) else "grey levels"
    return f"{facts.levels} {grey} (0 to {facts.levels - 1})" if facts.whole else f"values from {facts.low:g} to {facts.high:g}"


def _two_values(facts: Facts) -> tuple[str, ...]:
    """A hint for black and white images that were saved as bytes 0 and 255."""
    return ('Only the values 0 and 255 occur: binarise="fixed" reads them as 0 and 1.',) if facts.two else ()


def _other_shape(raw: Raw, spec: Spec) -> str:
    one = ": for a single row, write x[None]" if raw.values.shape == spec.event_shape else ""
    return f'{raw.origin} has rows of shape {raw.event_shape}, and the model was made for shape {spec.event_shape} ("{spec.name}"){one}.'


def _check_support(raw: Raw, support: Support, spec: Spec) -> None:
    if inside(Facts.of(raw), support, spec.levels):
        return
    value = offender(raw.values, support, spec.levels)
    if value is None:
        return
    takes = {"binary": "0 and 1", "unit": "values in [0, 1]", "levels": f"whole numbers from 0 to {(spec.levels or 256) - 1}"}[support]
    hint = ": divide by 255" if support == "unit" and raw.values.dtype == np.uint8 else ": bring it to the scale of the training data"
    raise DataError(f'{raw.origin} holds {value:g}, and the model takes {takes}, as "{spec.name}" does{hint}.')
