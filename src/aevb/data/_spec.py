"""The record of what was read and chosen, shared by data, presets, persistence and the report."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

import torch
from torch import Tensor

from ..errors import DataError
from ..likelihoods import LikelihoodRegistration
from ..networks._column import Measure
from ..networks._condition import ContextVariable, Covariate, Labels
from ..networks._library_size import LibrarySize
from ..notes import Note
from ._layout import Kind, kind_of, source_shape, to_layout
from ._reading import Reading
from ._schema import Schema

Support = Literal["binary", "levels", "unit", "real", "mixed"]
NetworkKind = Literal["mlp", "conv", "gru"]


@dataclass(frozen=True)
class Spec:
    """What the data are, and which model suits them.

    The model divides the data by ``scale`` and adds the log-Jacobian, so that log-densities are in
    the units of the data.

    Args:
        name: The name of the data set.
        event_shape: The shape of one row.
        support: ``"binary"`` (0 or 1), ``"levels"`` (integers 0 ... levels-1), ``"unit"`` (the
            interval [0, 1]), ``"real"``, or ``"mixed"`` for the encoded cells of a ``schema``.
        likelihood: The name of the likelihood.
        network: ``"mlp"``, ``"conv"`` or ``"gru"``.
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
        layout: The axes of the source, such as ``"NHWC"``; ``None`` for a table.
        dtype: The dtype of images, series and video in the source.
        padded: Whether shorter series end in steps of NaN.
        bounds: The range of pixels that have a likelihood of all real numbers.
        schema: What the columns of a table of mixed columns hold, and how rows are encoded.
        label_column: The column of the labels of such a table, which other tables may have.
        train_rows: The number of training rows.

    Example:
        >>> spec = Spec(
        ...     name="digits",
        ...     event_shape=(8, 8),
        ...     support="levels",
        ...     likelihood="discretised_logistic",
        ...     network="mlp",
        ...     levels=17,
        ... )
        >>> spec.measure, spec.image, Spec.from_dict(spec.to_dict()) == spec
        ('probability', True, True)
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
    layout: str | None = None
    dtype: str | None = None
    padded: bool = False
    bounds: tuple[float, float] | None = None
    schema: Schema | None = None
    label_column: str | None = None
    train_rows: int | None = None

    @property
    def measure(self) -> Measure:
        """Whether rows have a density, a probability, or, in a table, both."""
        if self.schema is not None:
            return self.schema.measure
        return LikelihoodRegistration.find(self.likelihood).measure

    @property
    def has_library_size(self) -> bool:
        """Whether models are conditioned on the library size of a row of counts."""
        return any(isinstance(each, LibrarySize) for each in self.condition or ())

    @property
    def is_discrete(self) -> bool:
        """Whether all data are whole numbers, of one likelihood that gives probabilities."""
        return self.schema is None and self.measure == "probability"

    @property
    def kind(self) -> Kind:
        """What a row is: a row of a ``"table"``, an ``"image"``, a ``"series"`` or a ``"video"``.

        Images are ``(H, W)`` or ``(C, H, W)``, series ``(T, C)`` and videos ``(T, C, H, W)``.
        """
        return kind_of(self.event_shape, self.layout)

    @property
    def image(self) -> bool:
        """Whether the event is an image: ``(H, W)`` or ``(C, H, W)``."""
        return self.kind == "image"

    @property
    def item_noun(self) -> str:
        """The noun for one row: ``"row"``, ``"image"``, ``"sequence"`` or ``"video"``."""
        return _NOUNS[self.kind]

    @property
    def dimensions(self) -> int:
        """The number of elements of an event."""
        return math.prod(self.event_shape)

    @property
    def source_shape(self) -> tuple[int, ...]:
        """The shape of one row in the source, whose axes may have another order."""
        return source_shape(self.event_shape, self.layout)

    def to_source(self, x: Tensor, like: Any = None) -> Any:
        """Convert events to the form of the source: its axes, its dtype and its range.

        Whole numbers are rounded, except for binary data, whose means are probabilities. Images
        and videos are clipped to the range of their pixels. Tables of numbers stay as they are,
        and encoded cells become a data frame with the columns of the ``schema``.

        Args:
            x: Events ``[N, *event]`` in the units of the data, or encoded cells ``[N, D]``.
            like: A data frame whose library, columns, order and dtypes a frame has.

        Returns:
            The events ``[N, *source_shape]``, or the frame.

        Example:
            >>> import torch
            >>> spec = Spec(
            ...     "x", (3, 8, 8), "levels", "normal", "mlp", 256, layout="NHWC", dtype="uint8"
            ... )
            >>> x = spec.to_source(torch.full((2, 3, 8, 8), 300.0))
            >>> x.shape, x.dtype, x.max().item()
            (torch.Size([2, 8, 8, 3]), torch.uint8, 255)
        """
        if self.schema is not None:
            return self.schema.decode(x, like)
        x = to_layout(x, self.layout)
        dtype: torch.dtype | None = None if self.dtype is None else getattr(torch, self.dtype, None)
        if dtype is None or (self.support == "binary" and x.is_floating_point()):
            return x
        if self.value_range is not None:
            x = x.clamp(*self.value_range)
        return x.to(dtype) if dtype.is_floating_point else _round_to(x, dtype)

    @property
    def value_range(self) -> tuple[float, float] | None:
        """The range of pixels: that of the support, or ``bounds``."""
        if self.kind not in ("image", "video"):
            return None
        ends = {"binary": 1.0, "unit": 1.0, "levels": (self.levels or 256) - 1.0}
        return (0.0, ends[self.support]) if self.support in ends else self.bounds

    def to_dict(self) -> dict[str, Any]:
        """Convert the record to JSON types.

        Returns:
            The fields by name, as numbers, strings, lists, dicts and ``None``.
        """
        record = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
        }
        record |= {
            "notes": [note.to_dict() for note in self.notes],
            "reading": self.reading.settings,
        }
        own = {"schema": record.pop("schema"), "label_column": record.pop("label_column")}
        if self.schema is None:  # other data have the record that they had in the first format
            return record
        return record | own | {"schema": self.schema.to_dict()}

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
        if values.get("schema") is not None:
            values["schema"] = Schema.from_dict(values["schema"])
        return cls(**values)


_NOUNS: dict[Kind, str] = {"table": "row", "image": "image", "series": "sequence", "video": "video"}


def _round_to(x: Tensor, dtype: Any) -> Tensor:
    """Whole numbers of a dtype, as large as it has them."""
    if not x.is_floating_point():
        return x.to(dtype)
    kind = torch.iinfo(torch.uint8 if dtype == torch.bool else dtype)
    return x.double().round().clamp(kind.min, min(kind.max, 2**53)).to(dtype)


def is_image(event_shape: Sequence[int]) -> bool:
    """Whether an event of this shape is an image: ``(H, W)`` or ``(C, H, W)``."""
    return len(event_shape) in (2, 3)


def factor_from_dict(record: Mapping[str, Any]) -> ContextVariable:
    """A variable of the condition from its record."""
    if "reference" in record:
        return LibrarySize(**record)
    return Labels(**record) if "categories" in record else Covariate(**record)
