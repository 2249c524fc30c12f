"""The likelihood, the scaling and the network that fit the data, each with its reason."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from ..errors import ArgumentError, DataError, check_choice
from ..likelihoods import LikelihoodRegistration
from ..likelihoods._chow_liu import count_exclusions
from ..notes import Argument, Note, message
from ._formatting import format_list, format_shape
from ._layout import Kind, channel_axis_of, kind_of
from ._memory_map import RowValues
from ._raw import RawData
from ._spec import NetworkKind, Support
from ._statistics import (
    MIN_DISTINGUISHABLE_VALUES,
    MIN_RANGE_SHARE,
    Moments,
    as_table,
    constant_elements,
    count_distinguishable,
    iter_chunks,
    moments,
    stored_numbers,
    summarise_values,
)

DEPTHS = (8, 10, 12, 14, 16)  # bits of the grey levels of images
MAX_TREE_COLUMNS, MAX_TREE_CELLS = 1024, 2_000_000  # whose pairs are counted in a second
MIN_EXCLUSIVE_SHARE = 0.1  # of columns; public sets have less than .02 or more than .25
MIN_CONV_SIDE = 12  # pixels; two halvings of smaller images leave too few


@dataclass(frozen=True)
class DataProperties:
    """What is true of all values of the data.

    Args:
        low: The least value.
        high: The greatest value.
        byte_valued: Whether all values are whole numbers from 0 to 255.
        event_shape: The shape of one row.
        black_and_white: Whether only 0 and 255 occur.
        deep: Whether the values are whole numbers of 16 bits that do not fit into bytes.
        layout: The axes of the source, which decide whether rows are images, series or video.
    """

    low: float
    high: float
    byte_valued: bool
    event_shape: tuple[int, ...]
    black_and_white: bool = False
    deep: bool = False
    layout: str | None = None

    @classmethod
    def from_raw(cls, raw: RawData) -> DataProperties:
        """The properties of canonical data, whose whole numbers 0 to 255 are bytes."""
        if raw.packed_shape:
            return cls(0.0, 1.0, True, raw.packed_shape)
        summary = raw.summary or summarise_values(raw.values)
        return cls(
            summary.low,
            summary.high,
            raw.values.dtype == np.uint8,
            raw.event_shape,
            summary.black_and_white,
            raw.dtype == np.uint16 and raw.values.dtype != np.uint8,
            raw.layout,
        )

    @property
    def kind(self) -> Kind:
        """What a row is."""
        return kind_of(self.event_shape, self.layout)

    @property
    def pixels(self) -> bool:
        """Whether the values are those of an image or a video."""
        return self.kind in ("image", "video")

    @property
    def binary(self) -> bool:
        """Whether all values are 0 or 1."""
        return self.byte_valued and self.high <= 1

    @property
    def in_unit_interval(self) -> bool:
        """Whether all values are in [0, 1]."""
        return self.low >= 0 and self.high <= 1

    @property
    def levels(self) -> int:
        """The number of grey levels: the greatest value plus 1 up to 64, then 2**8 to 2**16.

        >>> DataProperties(0, 16, True, (8, 8)).levels, DataProperties(0, 200, True, (8, 8)).levels
        (17, 256)
        >>> DataProperties(0, 4000, False, (8, 8)).levels
        4096
        """
        if self.high < 64:
            return max(int(self.high) + 1, 2)
        return next(2**bits for bits in DEPTHS if self.high < 2**bits)


_DEFAULT_LIKELIHOODS: dict[Support, str] = {
    "binary": "bernoulli",
    "levels": "discretised_logistic",
    "unit": "continuous_bernoulli",
    "real": "normal",
}
_OUTSIDE_SUPPORT: dict[Support, Callable[[np.ndarray, int], np.ndarray]] = {
    "binary": lambda x, levels: (x != 0) & (x != 1),
    "levels": lambda x, levels: (
        (x < 0) | (x > levels - 1) | (x.dtype.kind == "f" and x != np.rint(x))
    ),
    "unit": lambda x, levels: (x < 0) | (x > 1),
    "real": lambda x, levels: np.zeros(x.shape, bool),
}


@dataclass(frozen=True)
class LikelihoodChoice:
    """A likelihood with the support and the levels of the data, and the reason."""

    likelihood: LikelihoodRegistration
    support: Support
    levels: int | None
    note: Note


@dataclass(frozen=True)
class Scaling:
    """A network receives ``(x - shift) / scale``: one number each, or one per column."""

    shift: tuple[float, ...] = (0.0,)
    scale: tuple[float, ...] = (1.0,)
    notes: tuple[Note, ...] = ()


def choose_likelihood(
    properties: DataProperties,
    values: RowValues,
    requested: str | None = None,
    train: np.ndarray | None = None,
) -> LikelihoodChoice:
    """The requested likelihood, or the one that fits the data.

    Columns of 0 and 1 have independent cells given the latent unless many of them exclude or imply
    another in the rows ``train``.

    Raises:
        DataError: The data are outside of the support of the requested likelihood.

    >>> properties = DataProperties(0, 1, True, (28, 28))
    >>> str(choose_likelihood(properties, np.zeros((1, 28, 28))).note)
    'Likelihood: Bernoulli, because all values are 0 or 1.'
    """
    exclusions = "" if requested else _describe_exclusions(properties, values, train)
    entry = LikelihoodRegistration.find(
        requested
        or (
            "bernoulli_tree" if exclusions else _DEFAULT_LIKELIHOODS[_support_by_values(properties)]
        )
    )
    if not entry.accepts(properties.low, properties.high, _is_whole(entry, properties, values)):
        raise _likelihood_error(entry, properties, values)
    support = _support_under(entry, properties)
    levels = properties.levels if support == "levels" else None
    steps = f" with {levels} levels" if entry.has_levels else ""
    found = exclusions or _describe_range(properties, support)
    reason = "as requested" if requested else f"because {found}"
    note = Note(
        "likelihood",
        f"Likelihood: {entry.title}{steps}, {reason}.",
        data={"likelihood": entry.name, "levels": levels, "requested": requested is not None},
    )
    return LikelihoodChoice(entry, support, levels, note)


def _describe_exclusions(
    properties: DataProperties, values: RowValues, train: np.ndarray | None
) -> str:
    """Why columns of 0 and 1 depend on each other in pairs; empty where few do."""
    columns = math.prod(properties.event_shape)
    if not properties.binary or properties.kind != "table" or columns > MAX_TREE_COLUMNS:
        return ""
    index = np.arange(len(values)) if train is None else train
    rows = index[
        np.linspace(0, len(index) - 1, min(len(index), MAX_TREE_CELLS // columns), dtype=int)
    ]
    x = np.concatenate([*iter_chunks(values, np.sort(rows))])
    count = count_exclusions(torch.from_numpy(x.astype(np.float32)))
    if count < MIN_EXCLUSIVE_SHARE * columns:
        return ""
    return f"all values are 0 or 1, and {count:,} of {columns:,} columns exclude or imply another"


def check_likelihood(name: str | None) -> str | None:
    """The registered name of a likelihood that can be chosen by name; ``None`` for ``None``.

    Raises:
        ArgumentError: There is no likelihood of this name.
        IncompatibleError: The likelihood is built from other parts.
    """
    if name is None:
        return None
    entry = LikelihoodRegistration.find(name)
    entry.check()
    return entry.name


def _support_by_values(properties: DataProperties) -> Support:
    """The support of data, by their values."""
    if properties.binary:
        return "binary"
    if properties.pixels and (properties.byte_valued or properties.deep):
        return "levels"
    return "unit" if properties.pixels and properties.in_unit_interval else "real"


def _support_under(entry: LikelihoodRegistration, properties: DataProperties) -> Support:
    """The support of data under a likelihood."""
    if entry.kinds == ("binary",):
        return "binary"
    if entry.has_levels:
        return "levels"
    if {"bounded", "proportion"} & set(entry.kinds):
        return "unit" if properties.in_unit_interval else "levels"
    return _support_by_values(properties)


def _is_whole(entry: LikelihoodRegistration, properties: DataProperties, values: RowValues) -> bool:
    """Whether all values are whole numbers; values beyond 16 bits are read for counts only."""
    return (
        properties.byte_valued
        or properties.deep
        or ("count" in entry.kinds and _find_fraction(values) is None)
    )


def is_within_support(properties: DataProperties, support: Support, levels: int | None) -> bool:
    """Whether the properties alone show that all values are in a support.

    >>> (
    ...     is_within_support(DataProperties(0, 16, True, (8, 8)), "levels", 17),
    ...     is_within_support(DataProperties(0, 16, True, (8, 8)), "unit", None),
    ... )
    (True, False)
    """
    within = {
        "binary": properties.binary,
        "levels": properties.byte_valued and properties.high < (levels or 256),
        "unit": properties.in_unit_interval,
        "real": True,
    }
    return within[support]


def find_value_outside(values: RowValues, support: Support, levels: int | None) -> float | None:
    """The first value outside of a support; ``None`` where all values are in it.

    >>> find_value_outside(np.array([0.0, 0.5, 2.0]), "unit", None)
    2.0
    """
    return _find_first(values, lambda chunk: _OUTSIDE_SUPPORT[support](chunk, levels or 256))


def _find_fraction(values: RowValues) -> float | None:
    """The first value that is not a whole number; ``None`` where all values are whole."""
    return _find_first(values, lambda chunk: (chunk != np.rint(chunk)) & (chunk == chunk))


def find_noncount(values: RowValues) -> float | None:
    """The first value that is not a whole number from 0; ``None`` where all are."""
    return _find_first(values, lambda chunk: (chunk < 0) | (chunk != np.rint(chunk)))


def _find_first(
    values: RowValues, is_violation: Callable[[np.ndarray], np.ndarray]
) -> float | None:
    """The first value with a property; ``None`` where there is none."""
    for chunk in iter_chunks(stored_numbers(values)):  # 0 has no such property
        violations = chunk[is_violation(chunk)]
        if violations.size:
            return float(violations.flat[0])
    return None


def is_standardised(raw: RawData, requested: str | None) -> bool:
    """Whether the requested likelihood, or the one for these values, is for standardised data."""
    name = requested or _DEFAULT_LIKELIHOODS[_support_by_values(DataProperties.from_raw(raw))]
    return LikelihoodRegistration.find(name).scaling == "standardise"


def choose_scaling(choice: LikelihoodChoice, raw: RawData, train: np.ndarray) -> Scaling:
    """The scaling for a likelihood, from the rows ``train``.

    A table is scaled by column, series and video by channel, an image as a whole.
    """
    values, scaling, axis = raw.values, choice.likelihood.scaling, channel_axis_of(raw.layout)
    unit = "column" if len(values.shape) == 2 else None if axis is None else "channel"
    if scaling == "unit_interval" and choice.support == "levels":
        return Scaling(scale=(float((choice.levels or 256) - 1),))
    if scaling == "mean":
        mean = float(moments(values, train, False, axis).mean.mean())
        text = f"The decoder starts at the mean of the training rows, {mean:.3g}."
        note = Note("decoder_start", text, data={"mean": mean})
        return Scaling(scale=(mean or 1.0,), notes=(note,))
    if scaling not in ("size", "standardise"):
        return Scaling()
    found = moments(values, train, unit == "column", axis)
    if scaling == "standardise":
        chosen = _standardisation(found, raw, train, unit)
    else:
        note = _scaling_note("mean", unit)
        chosen = Scaling((0.0,) * len(found.mean), tuple(found.mean.tolist()), (note,))
    return chosen if axis is None or len(chosen.scale) == 1 else _repeat(chosen, raw, axis)


def _repeat(scaling: Scaling, raw: RawData, axis: int) -> Scaling:
    """The numbers of each channel for every element of an event."""
    sides = [1] * (len(raw.values.shape) - 1)
    sides[axis - 1] = -1
    shift, scale = (
        np.broadcast_to(np.reshape(numbers, sides), raw.values.shape[1:]).reshape(-1).tolist()
        for numbers in (scaling.shift, scaling.scale)
    )
    return Scaling(tuple(shift), tuple(scale), scaling.notes)


@dataclass(frozen=True)
class ConstantElements:
    """The values of constant elements, ``None`` for all others, and the note about them."""

    values: tuple[float | None, ...] | None = None
    notes: tuple[Note, ...] = ()


def find_constants(choice: LikelihoodChoice, raw: RawData, train: np.ndarray) -> ConstantElements:
    """The elements that are constant in the rows ``train``.

    Under a density they add 0 to ``log p(x)``, because their own density has no bound. Under a
    probability only those of a table with named columns do: a pixel that is always 0 in the
    training rows may be another one in others.
    """
    if raw.packed_shape or (choice.likelihood.measure == "probability" and raw.columns is None):
        return ConstantElements()
    found = constant_elements(raw.values, train)
    constant = ~np.isnan(found)
    if not constant.any():
        return ConstantElements()
    found = np.broadcast_to(found + np.array(raw.offset or (0.0,)), found.shape)
    values = tuple(float(x) if here else None for x, here in zip(found, constant, strict=True))
    return ConstantElements(values, (_constant_note(raw, found, constant),))


def _constant_note(raw: RawData, values: np.ndarray, constant: np.ndarray) -> Note:
    """Which elements are constant, and what becomes of them."""
    text = (
        "Constant in the training rows, so that they add 0 to log p(x) and are put back on output"
    )
    kind = kind_of(raw.event_shape, raw.layout)
    if kind != "table":
        count = int(constant.sum())
        return Note(
            "constant_pixels" if kind in ("image", "video") else "constant_cells",
            f"{text}: {count:,} of {constant.size:,} values.",
            data={"constant": count, "values": constant.size},
        )
    names = raw.columns or tuple(f"column {i}" for i in range(len(values)))
    return _column_note("constant_columns", text, names, values, constant)


def choose_network(
    properties: DataProperties, requested: NetworkKind | None = None
) -> tuple[NetworkKind, Note]:
    """The requested network, or the one that fits the data, and the reason.

    Raises:
        ArgumentError: A convolutional network is requested for data that are not images.

    >>> network, note = choose_network(DataProperties(0, 1, False, (3, 32, 32)))
    >>> print(note)
    Network: convolutional, because the data are images of 32 x 32 with more than two values.
    """
    if requested is None:
        network, reason = _suitable_network(properties)
    else:
        network, reason = _validate_network(requested, properties), ""
    why = f"because {reason}" if reason else "as requested"
    return network, Note(
        "network",
        f"Network: {_NETWORK_TITLES[network]}, {why}.",
        data={"network": network, "requested": requested is not None},
    )


def _suitable_network(properties: DataProperties) -> tuple[NetworkKind, str]:
    """The network that fits the data, and the reason."""
    size = format_shape(properties.event_shape[-2:])
    if properties.kind == "table":
        return "mlp", "the data are a table"
    if properties.kind != "image":
        return "conv", f"the data are sequences of {properties.event_shape[0]:,} steps"
    if min(properties.event_shape[-2:]) < MIN_CONV_SIDE:
        return "mlp", f"images of {size} are small"
    if properties.binary:
        return "mlp", "the images are binary"
    return "conv", f"the data are images of {size} with more than two values"


_NETWORK_TITLES: dict[str, str] = {
    "mlp": "fully connected (MLP)",
    "conv": "convolutional",
    "gru": "recurrent (GRU)",
}


def check_network_name(name: str | None) -> None:
    """Check the name of a network.

    Raises:
        ArgumentError: There is no network of this name.
    """
    if name is not None:
        check_choice("network", name, tuple(_NETWORK_TITLES))


def _validate_network(requested: NetworkKind, properties: DataProperties) -> NetworkKind:
    """Refuse convolutions of tables, and recurrent networks of data that are not sequences."""
    needs = {"conv": "convolutions need images or sequences", "gru": "this needs sequences"}
    fits = {"table": ("mlp",), "image": ("mlp", "conv")}.get(properties.kind, (requested,))
    if requested not in fits:
        raise ArgumentError(
            f"{needs[requested]}, and one row has the shape {properties.event_shape}",
            argument="network",
            value=requested,
            suggestions=(message("Write {mlp}", mlp=Argument("network", "mlp")),),
        )
    return requested


def _standardisation(
    statistics: Moments, raw: RawData, train: np.ndarray, unit: str | None
) -> Scaling:
    """Mean 0 and standard deviation 1, with notes about columns where this is not possible."""
    mean, deviation, constant = statistics.mean, statistics.deviation, statistics.constant
    mean = mean + np.array(raw.offset or (0.0,))
    coarse = _coarse_columns(statistics, raw, train)
    names = raw.columns or tuple(f"{unit} {i}" if unit else "all values" for i in range(len(mean)))
    notes = [_scaling_note("mean and standard deviation", unit)]
    if coarse.any():
        text = (
            "Too far from 0 for their spread: as numbers of this precision, they have fewer than "
            f"{MIN_DISTINGUISHABLE_VALUES:,} distinguishable values"
        )
        notes.append(_column_note("imprecise_columns", text, names, mean, coarse))
    return Scaling(
        tuple(mean.tolist()), tuple(np.where(constant, 1.0, deviation).tolist()), tuple(notes)
    )


def _coarse_columns(statistics: Moments, raw: RawData, train: np.ndarray) -> np.ndarray:
    """Columns with few distinguishable values as they were read, unless all are whole numbers."""
    dtype = np.dtype(np.float32) if raw.summary is None else raw.summary.dtype
    offset = np.array(raw.offset or (0.0,))
    low, high = statistics.low + offset, statistics.high + offset
    narrow = high - low < MIN_RANGE_SHARE * np.maximum(np.abs(low), np.abs(high))
    few = count_distinguishable(low, high, dtype) < MIN_DISTINGUISHABLE_VALUES
    coarse = narrow & few & ~statistics.constant
    if coarse.any():
        chunks = (chunk + offset for chunk in iter_chunks(raw.values, np.sort(train)))
        axis, by_column = channel_axis_of(raw.layout), len(raw.values.shape) == 2
        tables = (as_table(chunk, by_column, axis) for chunk in chunks)
        fractions = [(table != np.rint(table)).any(axis=0) for table in tables]
        exact = np.maximum(np.abs(low), np.abs(high)) < 2 ** (np.finfo(np.float32).nmant + 1)
        coarse &= np.any(fractions, axis=0) | ~exact
    return coarse


def _scaling_note(statistics: str, unit: str | None) -> Note:
    """By which statistics the data are scaled: each column or channel, or all values."""
    what = f"each {unit}" if unit else "all values"
    text = f"Scaled {what} by the {statistics} of the training rows."
    data = {"statistics": statistics, "by_column": unit == "column", "unit": unit}
    return Note("scaled", text, data=data)


def _column_note(
    code: str, text: str, names: tuple[str, ...], mean: np.ndarray, mask: np.ndarray
) -> Note:
    """A warning about the columns where ``mask`` is set, with their means."""
    columns = {names[i]: float(mean[i]) for i in np.flatnonzero(mask)}
    listed = format_list(f"{name} ({value:g})" for name, value in columns.items())
    return Note(code, f"{text}: {listed}.", "warning", {"columns": columns})


def _describe_range(properties: DataProperties, support: Support) -> str:
    """The values of the data as the reason of a choice."""
    low, high = f"{properties.low:g}", f"{properties.high:g}"
    kind = "whole" if properties.byte_valued or properties.deep else "real"
    return {
        "binary": "all values are 0 or 1",
        "levels": f"the values are integers from {low} to {high}",
        "unit": f"the values are between {low} and {high}, in [0, 1]",
        "real": f"the values are {kind} numbers from {low} to {high}",
    }[support]


def _likelihood_error(
    entry: LikelihoodRegistration, properties: DataProperties, values: RowValues
) -> DataError:
    """The error for data outside of the support of a likelihood."""
    is_grey = entry.name == "bernoulli" and properties.byte_valued
    instead = "continuous_bernoulli" if is_grey or properties.in_unit_interval else "normal"
    return DataError(
        f"this is for values that are {entry.values}, and the data hold "
        f"{_find_unaccepted(entry, properties, values):g}",
        argument="likelihood",
        value=entry.name,
        suggestions=(
            message(
                "Write {dynamic}, {fixed} or {instead}" if is_grey else "Write {instead}",
                dynamic=Argument("binarise", "dynamic"),
                fixed=Argument("binarise", "fixed"),
                instead=Argument("likelihood", instead),
            ),
        ),
    )


def _find_unaccepted(
    entry: LikelihoodRegistration, properties: DataProperties, values: RowValues
) -> float:
    """A value that a likelihood does not accept: the least, the greatest, or a fraction."""
    for value in (properties.low, properties.high):
        if not entry.accepts(value, value, float(value).is_integer()):
            return value
    fraction = _find_fraction(values)
    return properties.high if fraction is None else fraction
