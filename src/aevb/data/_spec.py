"""What was read and what was chosen: the record that data, presets, persistence and the report share."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from ..errors import DataError
from ..networks._condition import ContextVariable, Covariate, Labels

Support = Literal["binary", "levels", "unit", "real"]
NetworkKind = Literal["mlp", "conv"]
REAL_LIKELIHOODS = (
    "normal",
    "laplace",
    "student_t",
)  # likelihoods with a scale, of data brought to mean 0 and deviation 1
COUNT_LIKELIHOODS = (
    "poisson",
    "negative_binomial",
)  # likelihoods of 0, 1, 2, ..., whose networks work in units of ``Spec.scale``


@dataclass(frozen=True)
class Spec:
    """What the data are, and what model suits them.

    ``support`` is ``binary`` (0 or 1), ``levels`` (integers 0 ... levels-1), ``unit`` (the interval [0, 1]) or ``real``.
    ``shift`` and ``scale`` (one number, or one per element of the event in row-major order) bring the data to mean 0 and deviation 1, or
    to [0, 1]: the model divides by ``scale`` at its door and adds the log-Jacobian, so that log-densities stay in the units of the data.
    ``levels`` is the number of grey levels; where data are binarised (``binarisation``), of the data before that. ``condition`` is what
    a model is told of each datum, in this order, and how it is coded. ``succession`` says, where rows that follow one another were split
    at random, how much neighbours differ by any two.

    >>> spec = Spec(
    ...     name="digits",
    ...     event_shape=(8, 8),
    ...     support="levels",
    ...     likelihood="discretised_logistic",
    ...     network="mlp",
    ...     levels=17,
    ... )
    >>> spec.discrete, spec.image, Spec.from_dict(spec.to_dict()) == spec
    (True, True, True)
    """

    name: str
    event_shape: tuple[int, ...]
    support: Support
    likelihood: str
    network: NetworkKind
    levels: int | None = None
    shift: tuple[float, ...] = (0.0,)
    scale: tuple[float, ...] = (1.0,)
    binarisation: Literal["dynamic", "fixed"] | None = None
    columns: tuple[str, ...] | None = None
    class_names: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    condition: tuple[ContextVariable, ...] | None = None
    temporal_order: float | None = None

    @property
    def discrete(self) -> bool:
        """Whether the likelihood gives probabilities of values counted in steps, and not densities."""
        return self.likelihood in (
            "bernoulli",
            "discretised_logistic",
            "categorical",
            *COUNT_LIKELIHOODS,
        )

    @property
    def image(self) -> bool:
        """Whether the event is an image: ``(H, W)`` or ``(C, H, W)``."""
        return is_image(self.event_shape)

    @property
    def item_noun(self) -> str:
        """What a datum is called."""
        return "image" if self.image else "row"

    @property
    def dimensions(self) -> int:
        """Numbers in an event."""
        return math.prod(self.event_shape)

    def to_dict(self) -> dict[str, Any]:
        """The record as what JSON can hold: numbers, strings, lists and None."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Spec:
        """The record again. Raises ``DataError`` where fields are missing or unknown."""
        known = {field.name for field in fields(cls)}
        needed = {"name", "event_shape", "support", "likelihood", "network"}
        if not needed <= record.keys() <= known:
            wrong = sorted((needed - record.keys()) | (record.keys() - known))
            raise DataError(
                f"record of a data set: missing or unknown fields {', '.join(wrong)}: it was edited, or written by another version."
            )
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in record.items()
        }
        if values.get("condition") is not None:
            values["condition"] = tuple(factor_from_dict(factor) for factor in values["condition"])
        return cls(**values)


def is_image(event_shape: Sequence[int]) -> bool:
    """Whether an event of this shape is an image: ``(H, W)`` or ``(C, H, W)``."""
    return len(event_shape) in (2, 3)


def factor_from_dict(record: Mapping[str, Any]) -> ContextVariable:
    """A factor of a condition from its record."""
    return Labels(**record) if "categories" in record else Covariate(**record)
