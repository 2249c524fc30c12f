"""The likelihood, the scaling and the network that suit the data, each with its reason."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..errors import ArgumentError, DataError
from ._formatting import did_you_mean, format_list, format_shape
from ._memory_map import RowValues
from ._raw import RawData
from ._spec import COUNT_LIKELIHOODS, REAL_LIKELIHOODS, NetworkKind, Support, is_image
from ._statistics import Moments, iter_chunks, moments, summarise_values

MIN_CONV_SIDE = 12  # below, two halvings leave next to nothing of an image


@dataclass(frozen=True)
class DataProperties:
    """What is true of all rows: their range, whether they are whole numbers, the shape of one, whether only 0 and 255 occur."""

    low: float
    high: float
    byte_valued: bool
    event_shape: tuple[int, ...]
    black_and_white: bool = False

    @classmethod
    def from_raw(cls, raw: RawData) -> DataProperties:
        """The facts of canonical data: bytes are whole numbers, float32 are not (or lie beyond bytes)."""
        if raw.packed_shape:
            return cls(0.0, 1.0, True, raw.packed_shape)
        seen = raw.summary or summarise_values(raw.values)
        return cls(
            seen.low, seen.high, raw.values.dtype == np.uint8, raw.event_shape, seen.black_and_white
        )

    @property
    def image(self) -> bool:
        """Whether a row is an image."""
        return is_image(self.event_shape)

    @property
    def binary(self) -> bool:
        """Whether all values are 0 or 1."""
        return self.byte_valued and self.high <= 1

    @property
    def in_unit_interval(self) -> bool:
        """Whether all values lie in [0, 1]."""
        return self.low >= 0 and self.high <= 1

    @property
    def levels(self) -> int:
        """The number of grey levels: 256, or as many as occur where that is at most 64.

        >>> DataProperties(0, 16, True, (8, 8)).levels, DataProperties(0, 200, True, (8, 8)).levels
        (17, 256)
        """
        return max(int(self.high) + 1, 2) if self.high < 64 else 256


@dataclass(frozen=True)
class LikelihoodInfo:
    """A likelihood by name: its title, the values it is for, whether facts fit, and their support under it."""

    title: str
    domain: str
    accepts: Callable[[DataProperties], bool]
    support: Callable[[DataProperties], Support]


def _default_support(facts: DataProperties) -> Support:
    if facts.binary:
        return "binary"
    if facts.image and facts.byte_valued:
        return "levels"
    return "unit" if facts.image and facts.in_unit_interval else "real"


def _unit_support(facts: DataProperties) -> Support:
    return "unit" if facts.in_unit_interval else "levels"


LIKELIHOODS = {
    "bernoulli": LikelihoodInfo(
        "Bernoulli", "0 or 1", lambda facts: facts.binary, lambda facts: "binary"
    ),
    "continuous_bernoulli": LikelihoodInfo(
        "continuous Bernoulli",
        "in [0, 1], or whole numbers from 0 to 255",
        lambda facts: facts.in_unit_interval or facts.byte_valued,
        _unit_support,
    ),
    "discretised_logistic": LikelihoodInfo(
        "discretised logistic",
        "whole numbers from 0 to 255",
        lambda facts: facts.byte_valued,
        lambda facts: "levels",
    ),
    "categorical": LikelihoodInfo(
        "categorical",
        "whole numbers from 0 to 255",
        lambda facts: facts.byte_valued,
        lambda facts: "levels",
    ),
    "normal": LikelihoodInfo("normal", "any real numbers", lambda facts: True, _default_support),
    "laplace": LikelihoodInfo("Laplace", "any real numbers", lambda facts: True, _default_support),
    "student_t": LikelihoodInfo(
        "Student t", "any real numbers", lambda facts: True, _default_support
    ),
    "poisson": LikelihoodInfo(
        "Poisson", "whole numbers from 0", lambda facts: facts.low >= 0, _default_support
    ),
    "negative_binomial": LikelihoodInfo(
        "negative binomial", "whole numbers from 0", lambda facts: facts.low >= 0, _default_support
    ),
}
_DEFAULT_LIKELIHOODS = {
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
    """A likelihood with its support and levels, and the sentence that says why."""

    likelihood: str
    support: Support
    levels: int | None
    note: str


@dataclass(frozen=True)
class Scaling:
    """``(x - shift) / scale`` is what a network sees: one number, or one per column; and what there is to say about it."""

    shift: tuple[float, ...] = (0.0,)
    scale: tuple[float, ...] = (1.0,)
    notes: tuple[str, ...] = ()


def choose_likelihood(
    facts: DataProperties, values: RowValues, requested: str | None = None
) -> LikelihoodChoice:
    """The likelihood that suits the data, or the one asked for. Raises ``DataError`` where the data do not fit it.

    >>> choose_likelihood(DataProperties(0, 1, True, (28, 28)), np.zeros((1, 28, 28))).said
    'Likelihood: Bernoulli, because all values are 0 or 1.'
    """
    name = requested or _DEFAULT_LIKELIHOODS[_default_support(facts)]
    likelihood = LIKELIHOODS[name]
    if not likelihood.accepts(facts) or (
        name in COUNT_LIKELIHOODS and _find_non_count(values) is not None
    ):
        raise _likelihood_error(name, facts, values)
    support = likelihood.support(facts)
    levels = facts.levels if support == "levels" else None
    steps = f" with {levels} levels" if name in ("discretised_logistic", "categorical") else ""
    reason = "as asked" if requested else f"because {_describe_range(facts, support)}"
    return LikelihoodChoice(
        name, support, levels, f"Likelihood: {likelihood.title}{steps}, {reason}."
    )


def check_likelihood_name(name: str | None) -> None:
    """Raise ``ArgumentError`` for the name of no likelihood."""
    if name is not None and name not in LIKELIHOODS:
        raise ArgumentError(
            f'likelihood="{name}" is not known. Known: {format_list(LIKELIHOODS)}.{did_you_mean(str(name), LIKELIHOODS)}'
        )


def is_within_support(facts: DataProperties, support: Support, levels: int | None) -> bool:
    """Whether the facts alone say that all values are inside of a support.

    >>> (
    ...     inside(DataProperties(0, 16, True, (8, 8)), "levels", 17),
    ...     inside(DataProperties(0, 16, True, (8, 8)), "unit", None),
    ... )
    (True, False)
    """
    within = {
        "binary": facts.binary,
        "levels": facts.byte_valued and facts.high < (levels or 256),
        "unit": facts.in_unit_interval,
        "real": True,
    }
    return within[support]


def find_value_outside(values: RowValues, support: Support, levels: int | None) -> float | None:
    """The first value outside of a support, None where all are inside.

    >>> offender(np.array([0.0, 0.5, 2.0]), "unit", None)
    2.0
    """
    return _find_first(values, lambda piece: _OUTSIDE_SUPPORT[support](piece, levels or 256))


def _find_non_count(values: RowValues) -> float | None:
    """The first value that is not one of 0, 1, 2, ...; of any size, where ``DataProperties.whole`` knows bytes only."""
    return _find_first(values, lambda piece: (piece < 0) | (piece != np.rint(piece)))


def _find_first(
    values: RowValues, is_violation: Callable[[np.ndarray], np.ndarray]
) -> float | None:
    for piece in iter_chunks(values):
        bad = piece[is_violation(piece)]
        if bad.size:
            return float(bad.flat[0])
    return None


def choose_scaling(
    choice: LikelihoodChoice, values: RowValues, train: np.ndarray, columns: tuple[str, ...] | None
) -> Scaling:
    """Mean and deviation of the rows ``train`` for real likelihoods, their mean for counts, [0, 1] for the continuous Bernoulli.

    A table is scaled by column, an image as a whole (its pixels are of one kind).
    """
    if choice.likelihood == "continuous_bernoulli" and choice.support == "levels":
        return Scaling(scale=(float((choice.levels or 256) - 1),))
    if choice.likelihood in COUNT_LIKELIHOODS:
        mean = float(moments(values, train, by_column=False).mean[0])
        return Scaling(
            scale=(mean or 1.0,),
            notes=(f"The decoder begins at the mean of the training rows, {mean:.3g}.",),
        )
    if choice.likelihood not in REAL_LIKELIHOODS:
        return Scaling()
    by_column = len(values.shape) == 2
    return _standardisation(moments(values, train, by_column), columns, by_column)


def choose_network(
    facts: DataProperties, requested: NetworkKind | None = None
) -> tuple[NetworkKind, str]:
    """``conv`` or ``mlp``, and the sentence that says why.

    >>> choose_network(DataProperties(0, 1, False, (3, 32, 32)))
    ('conv', 'Network: convolutional, because the data are images of 32 x 32 with more than two values.')
    """
    size = format_shape(facts.event_shape[-2:])
    if requested is not None:
        return (
            requested,
            f"Network: {_NETWORK_TITLES[_validate_network(requested, facts)]}, as asked.",
        )
    if not facts.image:
        return "mlp", "Network: fully connected (MLP), because the data are a table."
    if min(facts.event_shape[-2:]) < MIN_CONV_SIDE:
        return "mlp", f"Network: fully connected (MLP), because images of {size} are small."
    if facts.binary:
        return "mlp", "Network: fully connected (MLP), because the images are binary."
    return (
        "conv",
        f"Network: convolutional, because the data are images of {size} with more than two values.",
    )


_NETWORK_TITLES = {"mlp": "fully connected (MLP)", "conv": "convolutional"}


def check_network_name(name: str | None) -> None:
    """Raise ``ArgumentError`` for the name of no network."""
    if name is not None and name not in _NETWORK_TITLES:
        raise ArgumentError(
            f'network="{name}" is not known: write network="mlp" or network="conv".'
        )


def _validate_network(requested: str, facts: DataProperties) -> str:
    if requested == "conv" and not facts.image:
        raise ArgumentError(
            f'network="conv" needs images, and one row has the shape {facts.event_shape}: write network="mlp".'
        )
    return requested


def _standardisation(
    statistics: Moments, columns: tuple[str, ...] | None, by_column: bool
) -> Scaling:
    mean, deviation, constant = statistics.mean, statistics.deviation, statistics.constant
    narrow = ~constant & (deviation < 1e-5 * np.abs(mean))
    names = (
        (columns or tuple(f"column {i}" for i in range(len(mean))))
        if by_column
        else ("all values",)
    )
    said = [
        f"Scaled {'each column' if by_column else 'all values'} by mean and deviation of the training rows."
    ]
    if constant.any():
        said.append(
            f"Constant in the training rows, so not scaled: {_format_selected(names, mean, constant)}."
        )
    if narrow.any():
        said.append(
            f"Far from 0 beside its spread, so 32-bit numbers keep few digits of it: {_format_selected(names, mean, narrow)}."
        )
    return Scaling(
        tuple(mean.tolist()), tuple(np.where(constant, 1.0, deviation).tolist()), tuple(said)
    )


def _format_selected(names: tuple[str, ...], values: np.ndarray, mask: np.ndarray) -> str:
    return format_list(f"{names[i]} ({values[i]:g})" for i in np.flatnonzero(mask))


def _describe_range(facts: DataProperties, support: Support) -> str:
    low, high = f"{facts.low:g}", f"{facts.high:g}"
    return {
        "binary": "all values are 0 or 1",
        "levels": f"the values are integers from {low} to {high}",
        "unit": f"the values lie between {low} and {high}, inside [0, 1]",
        "real": f"the values are {'whole' if facts.byte_valued else 'real'} numbers from {low} to {high}",
    }[support]


def _likelihood_error(name: str, facts: DataProperties, values: RowValues) -> DataError:
    grey = facts.byte_valued and not facts.binary
    supports: dict[str, Support] = {"bernoulli": "binary", "continuous_bernoulli": "unit"}
    hint = 'binarise="dynamic" or binarise="fixed", or ' if name == "bernoulli" and grey else ""
    instead = "continuous_bernoulli" if hint or facts.in_unit_interval else "normal"
    value = (
        _find_non_count(values)
        if name in COUNT_LIKELIHOODS
        else find_value_outside(values, supports.get(name, "levels"), 256)
    )
    got = (
        f"{value:g}"
        if value is not None and math.isfinite(value)
        else f"{facts.low:g} to {facts.high:g}"
    )
    takes = LIKELIHOODS[name].domain
    return DataError(
        f'likelihood="{name}" is for values that are {takes}, and the data hold {got}: write {hint}likelihood="{instead}".'
    )
