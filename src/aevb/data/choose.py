"""The likelihood, the scaling and the network that suit the data, each with its reason."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..errors import ArgumentError, DataError
from .look import Moments, look, moments, pieces
from .mapped import Values
from .raw import Raw
from .spec import COUNTS, REAL, Network, Support, is_image
from .words import listing, nearest, sides

CONV_SIDE = 12  # below, two halvings leave next to nothing of an image


@dataclass(frozen=True)
class Facts:
    """What is true of all rows: their range, whether they are whole numbers, the shape of one, whether only 0 and 255 occur."""

    low: float
    high: float
    whole: bool
    event_shape: tuple[int, ...]
    two: bool = False

    @classmethod
    def of(cls, raw: Raw) -> Facts:
        """The facts of canonical data: bytes are whole numbers, float32 are not (or lie beyond bytes)."""
        if raw.packed:
            return cls(0.0, 1.0, True, raw.packed)
        seen = raw.seen or look(raw.values)
        return cls(seen.low, seen.high, raw.values.dtype == np.uint8, raw.event_shape, seen.two)

    @property
    def image(self) -> bool:
        """Whether a row is an image."""
        return is_image(self.event_shape)

    @property
    def binary(self) -> bool:
        """Whether all values are 0 or 1."""
        return self.whole and self.high <= 1

    @property
    def unit(self) -> bool:
        """Whether all values lie in [0, 1]."""
        return self.low >= 0 and self.high <= 1

    @property
    def levels(self) -> int:
        """The number of grey levels: 256, or as many as occur where that is at most 64.

        >>> Facts(0, 16, True, (8, 8)).levels, Facts(0, 200, True, (8, 8)).levels
        (17, 256)
        """
        return max(int(self.high) + 1, 2) if self.high < 64 else 256


@dataclass(frozen=True)
class Likelihood:
    """A likelihood by name: its title, the values it is for, whether facts fit, and their support under it."""

    title: str
    values: str
    fits: Callable[[Facts], bool]
    support: Callable[[Facts], Support]


def _natural_support(facts: Facts) -> Support:
    if facts.binary:
        return "binary"
    if facts.image and facts.whole:
        return "levels"
    return "unit" if facts.image and facts.unit else "real"


def _unit_support(facts: Facts) -> Support:
    return "unit" if facts.unit else "levels"


LIKELIHOODS = {
    "bernoulli": Likelihood("Bernoulli", "0 or 1", lambda facts: facts.binary, lambda facts: "binary"),
    "continuous_bernoulli": Likelihood(
        "continuous Bernoulli", "in [0, 1], or whole numbers from 0 to 255", lambda facts: facts.unit or facts.whole, _unit_support
    ),
    "discretised_logistic": Likelihood(
        "discretised logistic", "whole numbers from 0 to 255", lambda facts: facts.whole, lambda facts: "levels"
    ),
    "categorical": Likelihood("categorical", "whole numbers from 0 to 255", lambda facts: facts.whole, lambda facts: "levels"),
    "normal": Likelihood("normal", "any real numbers", lambda facts: True, _natural_support),
    "laplace": Likelihood("Laplace", "any real numbers", lambda facts: True, _natural_support),
    "student_t": Likelihood("Student t", "any real numbers", lambda facts: True, _natural_support),
    "poisson": Likelihood("Poisson", "whole numbers from 0", lambda facts: facts.low >= 0, _natural_support),
    "negative_binomial": Likelihood("negative binomial", "whole numbers from 0", lambda facts: facts.low >= 0, _natural_support),
}
_NATURAL = {"binary": "bernoulli", "levels": "discretised_logistic", "unit": "continuous_bernoulli", "real": "normal"}
_OUTSIDE: dict[Support, Callable[[np.ndarray, int], np.ndarray]] = {
    "binary": lambda x, levels: (x != 0) & (x != 1),
    "levels": lambda x, levels: (x < 0) | (x > levels - 1) | (x.dtype.kind == "f" and x != np.rint(x)),
    "unit": lambda x, levels: (x < 0) | (x > 1),
    "real": lambda x, levels: np.zeros(x.shape, bool),
}


@dataclass(frozen=True)
class Choice:
    """A likelihood with its support and levels, and the sentence that says why."""

    likelihood: str
    support: Support
    levels: int | None
    said: str


@dataclass(frozen=True)
class Scaling:
    """``(x - shift) / scale`` is what a network sees: one number, or one per column; and what there is to say about it."""

    shift: tuple[float, ...] = (0.0,)
    scale: tuple[float, ...] = (1.0,)
    said: tuple[str, ...] = ()


def choose_likelihood(facts: Facts, values: Values, asked: str | None = None) -> Choice:
    """The likelihood that suits the data, or the one asked for. Raises ``DataError`` where the data do not fit it.

    >>> choose_likelihood(Facts(0, 1, True, (28, 28)), np.zeros((1, 28, 28))).said
    'Likelihood: Bernoulli, because all values are 0 or 1.'
    """
    name = asked or _NATURAL[_natural_support(facts)]
    likelihood = LIKELIHOODS[name]
    if not likelihood.fits(facts) or (name in COUNTS and _no_count(values) is not None):
        raise _misfit(name, facts, values)
    support = likelihood.support(facts)
    levels = facts.levels if support == "levels" else None
    steps = f" with {levels} levels" if name in ("discretised_logistic", "categorical") else ""
    reason = "as asked" if asked else f"because {_range(facts, support)}"
    return Choice(name, support, levels, f"Likelihood: {likelihood.title}{steps}, {reason}.")


def check_likelihood(name: str | None) -> None:
    """Raise ``ArgumentError`` for the name of no likelihood."""
    if name is not None and name not in LIKELIHOODS:
        raise ArgumentError(f'likelihood="{name}" is not known. Known: {listing(LIKELIHOODS)}.{nearest(str(name), LIKELIHOODS)}')


def inside(facts: Facts, support: Support, levels: int | None) -> bool:
    """Whether the facts alone say that all values are inside of a support.

    >>> inside(Facts(0, 16, True, (8, 8)), "levels", 17), inside(Facts(0, 16, True, (8, 8)), "unit", None)
    (True, False)
    """
    within = {"binary": facts.binary, "levels": facts.whole and facts.high < (levels or 256), "unit": facts.unit, "real": True}
    return within[support]


def offender(values: Values, support: Support, levels: int | None) -> float | None:
    """The first value outside of a support, None where all are inside.

    >>> offender(np.array([0.0, 0.5, 2.0]), "unit", None)
    2.0
    """
    return _first(values, lambda piece: _OUTSIDE[support](piece, levels or 256))


def _no_count(values: Values) -> float | None:
    """The first value that is not one of 0, 1, 2, ...; of any size, where ``Facts.whole`` knows bytes only."""
    return _first(values, lambda piece: (piece < 0) | (piece != np.rint(piece)))


def _first(values: Values, wrong: Callable[[np.ndarray], np.ndarray]) -> float | None:
    for piece in pieces(values):
        bad = piece[wrong(piece)]
        if bad.size:
            return float(bad.flat[0])
    return None


def choose_scaling(choice: Choice, values: Values, train: np.ndarray, columns: tuple[str, ...] | None) -> Scaling:
    """Mean and deviation of the rows ``train`` for real likelihoods, their mean for counts, [0, 1] for the continuous Bernoulli.

    A table is scaled by column, an image as a whole (its pixels are of one kind).
    """
    if choice.likelihood == "continuous_bernoulli" and choice.support == "levels":
        return Scaling(scale=(float((choice.levels or 256) - 1),))
    if choice.likelihood in COUNTS:
        mean = float(moments(values, train, by_column=False).mean[0])
        return Scaling(scale=(mean or 1.0,), said=(f"The decoder begins at the mean of the training rows, {mean:.3g}.",))
    if choice.likelihood not in REAL:
        return Scaling()
    by_column = len(values.shape) == 2
    return _standard(moments(values, train, by_column), columns, by_column)


def choose_network(facts: Facts, asked: Network | None = None) -> tuple[Network, str]:
    """``conv`` or ``mlp``, and the sentence that says why.

    >>> choose_network(Facts(0, 1, False, (3, 32, 32)))
    ('conv', 'Network: convolutional, because the data are images of 32 x 32 with more than two values.')
    """
    size = sides(facts.event_shape[-2:])
    if asked is not None:
        return asked, f"Network: {_NETWORKS[_checked_network(asked, facts)]}, as asked."
    if not facts.image:
        return "mlp", "Network: fully connected (MLP), because the data are a table."
    if min(facts.event_shape[-2:]) < CONV_SIDE:
        return "mlp", f"Network: fully connected (MLP), because images of {size} are small."
    if facts.binary:
        return "mlp", "Network: fully connected (MLP), because the images are binary."
    return "conv", f"Network: convolutional, because the data are images of {size} with more than two values."


_NETWORKS = {"mlp": "fully connected (MLP)", "conv": "convolutional"}


def check_network(name: str | None) -> None:
    """Raise ``ArgumentError`` for the name of no network."""
    if name is not None and name not in _NETWORKS:
        raise ArgumentError(f'network="{name}" is not known: write network="mlp" or network="conv".')


def _checked_network(asked: str, facts: Facts) -> str:
    if asked == "conv" and not facts.image:
        raise ArgumentError(f'network="conv" needs images, and one row has the shape {facts.event_shape}: write network="mlp".')
    return asked


def _standard(found: Moments, columns: tuple[str, ...] | None, by_column: bool) -> Scaling:
    mean, deviation, constant = found.mean, found.deviation, found.constant
    narrow = ~constant & (deviation < 1e-5 * np.abs(mean))
    names = (columns or tuple(f"column {i}" for i in range(len(mean)))) if by_column else ("all values",)
    said = [f"Scaled {'each column' if by_column else 'all values'} by mean and deviation of the training rows."]
    if constant.any():
        said.append(f"Constant in the training rows, so not scaled: {_some(names, mean, constant)}.")
    if narrow.any():
        said.append(f"Far from 0 beside its spread, so 32-bit numbers keep few digits of it: {_some(names, mean, narrow)}.")
    return Scaling(tuple(mean.tolist()), tuple(np.where(constant, 1.0, deviation).tolist()), tuple(said))


def _some(names: tuple[str, ...], values: np.ndarray, which: np.ndarray) -> str:
    return listing(f"{names[i]} ({values[i]:g})" for i in np.flatnonzero(which))


def _range(facts: Facts, support: Support) -> str:
    low, high = f"{facts.low:g}", f"{facts.high:g}"
    return {
        "binary": "all values are 0 or 1",
        "levels": f"the values are integers from {low} to {high}",
        "unit": f"the values lie between {low} and {high}, inside [0, 1]",
        "real": f"the values are {'whole' if facts.whole else 'real'} numbers from {low} to {high}",
    }[support]


def _misfit(name: str, facts: Facts, values: Values) -> DataError:
    grey = facts.whole and not facts.binary
    supports: dict[str, Support] = {"bernoulli": "binary", "continuous_bernoulli": "unit"}
    hint = 'binarise="dynamic" or binarise="fixed", or ' if name == "bernoulli" and grey else ""
    instead = "continuous_bernoulli" if hint or facts.unit else "normal"
    value = _no_count(values) if name in COUNTS else offender(values, supports.get(name, "levels"), 256)
    got = f"{value:g}" if value is not None and math.isfinite(value) else f"{facts.low:g} to {facts.high:g}"
    takes = LIKELIHOODS[name].values
    return DataError(f'likelihood="{name}" is for values that are {takes}, and the data hold {got}: write {hint}likelihood="{instead}".')
