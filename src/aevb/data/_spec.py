"""The record of what was read and chosen, shared by data, presets, persistence and the report."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from ..errors import DataError
from ..likelihoods import LikelihoodRegistration
from ..networks._condition import ContextVariable, Covariate, Labels
from ..notes import Note
from ._reading import Reading

Support = Literal["binary", "levels", "unit", "real"]
NetworkKind = Literal["mlp", "conv"]


@dataclass(frozen=True)
class Spec:
    """What the data are, and which model suits them.

    The model divides the data by ``scale`` and adds the log-Jacobian, so that log-densities are in
    the units of the data.

    Args:
        name: The name of the data set.
        event_shape: The shape of one row.
        support: ``"binary"`` (0 or 1), ``"levels"`` (integers 0 ... levels-1), ``"unit"`` (the
            interval [0, 1]) or ``"real"``.
        likelihood: The name of the likelihood.
        network: ``"mlp"`` or ``"conv"``.
        levels: The number of grey levels; for binarised data, of the data before binarisation.
        shift: ``(x - shift) / scale`` has mean 0 and standard deviation 1, or lies in [0, 1]; one
            number, or one per element of the event in row-major order.
        scale: See ``shift``.
        binarisation: How grey values are binarised, if they are.
        columns: The names of the columns of a table.
        class_names: The names of the classes of the labels.
        notes: What was read, and each choice with its reason.
        condition: The variables that a model is conditioned on, in order, with their encoding.
        temporal_order: The von Neumann ratio of rows in temporal order that were split at random.
        reading: How images and arrays were read, and later data of the kind are.
        offset: What is subtracted from the data in float64, before they become float32: one number,
            or one per column; ``None`` where float32 keeps the digits.
        constants: The value of each element of the event, in row-major order, that is constant in
            the training rows, ``None`` for all others; ``None`` where none is, or where constants
            have probabilities as other values do.

    Example:
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
    notes: tuple[Note, ...] = ()
    condition: tuple[ContextVariable, ...] | None = None
    temporal_order: float | None = None
    reading: Reading = field(default_factory=Reading)
    offset: tuple[float, ...] | None = None
    constants: tuple[float | None, ...] | None = None

    @property
    def discrete(self) -> bool:
        """Whether the likelihood is a probability of discrete values instead of a density."""
        return LikelihoodRegistration.find(self.likelihood).discrete

    @property
    def image(self) -> bool:
        """Whether the event is an image: ``(H, W)`` or ``(C, H, W)``."""
        return is_image(self.event_shape)

    @property
    def item_noun(self) -> str:
        """The noun for one row: ``"image"`` or ``"row"``."""
        return "image" if self.image else "row"

    @property
    def dimensions(self) -> int:
        """The number of elements of an event."""
        return math.prod(self.event_shape)

    def to_dict(self) -> dict[str, Any]:
        """Convert the record to JSON types.

        Returns:
            The fields by name, as numbers, strings, lists, dicts and ``None``.
        """
        record = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
        }
        return record | {
            "notes": [note.to_dict() for note in self.notes],
            "reading": self.reading.settings,
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Spec:
        """Make the spec from the result of ``to_dict``.

        Args:
            record: The fields by name.

        Returns:
            The spec.

        Raises:
            DataError: Fields are missing or unknown.
        """
        known = {each.name for each in fields(cls)}
        required = {"name", "event_shape", "support", "likelihood", "network"}
        if not required <= record.keys() <= known:
            wrong = sorted((required - record.keys()) | (record.keys() - known))
            raise DataError(
                f"the record of a data set has missing or unknown fields {', '.join(wrong)}: it "
                "was edited, or written by another version"
            )
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in record.items()
        }
        values["notes"] = tuple(map(Note.from_dict, values.get("notes", ())))
        if values.get("condition") is not None:
            values["condition"] = tuple(map(factor_from_dict, values["condition"]))
        values["reading"] = Reading(**values.get("reading", {}))
        return cls(**values)


def is_image(event_shape: Sequence[int]) -> bool:
    """Whether an event of this shape is an image: ``(H, W)`` or ``(C, H, W)``."""
    return len(event_shape) in (2, 3)


def factor_from_dict(record: Mapping[str, Any]) -> ContextVariable:
    """A variable of the condition from its record."""
    return Labels(**record) if "categories" in record else Covariate(**record)
