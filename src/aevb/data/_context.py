"""What a model is told of each row: columns as read, the factors made of them, and their numbers beside the rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from ..errors import ArgumentError, DataError
from ..networks._condition import Condition, ContextVariable, Covariate, Labels, encode_context
from ._formatting import format_count, format_list
from ._labels import class_names, encode_labels, is_missing

ContextKind = Literal["label", "number"]
MAX_INTEGER_CLASSES = (
    12  # different whole numbers that are taken for names of classes; more are measured
)
CONTEXT_NOTE_PREFIX = "Told of each datum"  # how the sentence about it begins
LABEL_COLUMN_NAMES = (
    "label",
    "labels",
)  # what names the labels of a set, of a folder of images, of an argument


@dataclass(frozen=True)
class ContextRequest:
    """A column that a model is to be told, and its kind where somebody said it."""

    name: str
    kind: ContextKind | None = None

    @classmethod
    def from_text(cls, text: str) -> ContextRequest:
        """``name``, ``name:label`` or ``name:number``.

        >>> ContextRequest.of("age:label"), ContextRequest.of("a:b")
        (Wanted(name='age', kind='label'), Wanted(name='a:b', kind=None))
        """
        name, _, kind = text.rpartition(":")
        return cls(name, kind) if name and kind in ("label", "number") else cls(text)


@dataclass(frozen=True, eq=False)
class ContextColumn:
    """A column of what a model is told, as read: ``values`` ``[N]`` are numbers (NaN where empty) or names (None where empty)."""

    name: str
    values: np.ndarray
    kind: ContextKind | None = None

    @property
    def missing_mask(self) -> np.ndarray:
        """Which rows have none."""
        return is_missing(self.values)

    def subset(self, index: np.ndarray) -> ContextColumn:
        """Only the rows ``index``."""
        return replace(self, values=self.values[index])

    @property
    def is_categorical(self) -> bool:
        """Whether its values are names of classes: text, or a few whole numbers, unless somebody said otherwise."""
        if self.kind is not None or self.values.dtype.kind not in "iuf":
            return self.kind != "number"
        there = self.values[~self.missing_mask]
        return (
            bool((there == np.rint(there)).all()) and len(np.unique(there)) <= MAX_INTEGER_CLASSES
        )

    def to_factor(self, train: np.ndarray) -> ContextVariable:
        """What it is to a model, by the rows ``train``. Raises ``DataError`` for text that is to be a number, and empty numbers."""
        if self.is_categorical:
            return Labels(
                self.name,
                class_names(self.values),
                labelled_fraction=float(1 - self.missing_mask[train].mean()),
            )
        try:
            values = self.values.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise DataError(
                f'condition="{self.name}:number": the column holds text ({error}): write condition="{self.name}".'
            ) from error
        if not np.isfinite(values).all():
            row = int(np.flatnonzero(~np.isfinite(values))[0])
            raise DataError(
                f'condition="{self.name}": row {row} has no number there, and only classes may be unknown: fill it or drop it.'
            )
        deviation = float(values[train].std())
        return Covariate(
            self.name, float(values[train].mean()), deviation if deviation > 0 else 1.0
        )

    def to_numbers(self, factor: ContextVariable) -> np.ndarray:
        """How a model holds it, float32 ``[N]``. Raises ``DataError`` for a class that was never seen."""
        if isinstance(factor, Labels):
            places = (
                encode_labels(self.values, tuple(factor.categories), self.name)
                .numpy()
                .astype(np.float32)
            )
            return np.where(places < 0, np.float32(math.nan), places)
        return np.array([factor.to_number(value) for value in self.values], dtype=np.float32)


@dataclass(frozen=True, eq=False)
class ContextTable:
    """What a model is told of rows: one number per factor, ``values`` float32 ``[N, factors]``, and the factors."""

    values: Tensor
    factors: tuple[ContextVariable, ...]

    @classmethod
    def from_columns(
        cls, context_columns: Sequence[ContextColumn], factors: Sequence[ContextVariable]
    ) -> ContextTable:
        """The columns ``given`` in the order of ``factors``."""
        columns = {column.name: column for column in context_columns}
        numbers = [columns[factor.name].to_numbers(factor) for factor in factors]
        return cls(torch.from_numpy(np.stack(numbers, 1)), tuple(factors))

    @classmethod
    def all_missing(cls, n_rows: int, factors: Sequence[ContextVariable]) -> ContextTable:
        """Rows of which nothing is known."""
        return cls(torch.full((n_rows, len(factors)), math.nan), tuple(factors))

    def __len__(self) -> int:
        return len(self.values)

    @property
    def context(self) -> Tensor:
        """Of all rows, ``[N, C]``."""
        return encode_context(self.factors, self.values)

    def subset(self, index: Any) -> ContextTable:
        """Only the rows ``index``."""
        return replace(self, values=self.values[index])

    def to(self, device: torch.device | str) -> ContextTable:
        """The same on another device."""
        return replace(self, values=self.values.to(device))

    def to_columns(self) -> tuple[ContextColumn, ...]:
        """The columns again, in the words of the data."""
        return tuple(
            ContextColumn(factor.name, _factor_values(factor, self.values[:, i].cpu()))
            for i, factor in enumerate(self.factors)
        )


def _factor_values(factor: ContextVariable, numbers: Tensor) -> np.ndarray:
    if isinstance(factor, Labels):
        return np.array(
            [
                None if math.isnan(place) else factor.categories[int(place)]
                for place in numbers.tolist()
            ],
            dtype=object,
        )
    assert isinstance(factor, Covariate)
    return numbers.double().numpy() * factor.scale + factor.shift


def parse_context_requests(condition: Any) -> tuple[ContextRequest, ...]:
    """The columns that were asked for by name; none where nothing was, or where the values themselves were given."""
    if condition is None or isinstance(condition, np.ndarray | Tensor):
        return ()
    texts = [condition] if isinstance(condition, str) else list(condition)
    if not texts or not all(isinstance(text, str) and text for text in texts):
        raise ArgumentError(
            f'condition={condition!r}: give names of columns, condition="label" or condition=["sex", "age"], or an array [N] of values.'
        )
    return tuple(map(ContextRequest.from_text, texts))


def to_context_columns(condition: Any) -> tuple[ContextColumn, ...]:
    """The values that were given themselves, as an array ``[N]`` or ``[N, columns]``."""
    if not isinstance(condition, np.ndarray | Tensor):
        return ()
    values = condition.detach().cpu().numpy() if isinstance(condition, Tensor) else condition
    if values.ndim not in (1, 2) or values.dtype.kind not in "biufUSO":
        raise ArgumentError(
            f"condition has the shape {values.shape} and dtype {values.dtype}; give an array [N] or [N, columns]."
        )
    table = values.reshape(len(values), -1)
    table = table.astype(np.float64) if table.dtype.kind == "f" else table
    names = (
        ["condition"]
        if table.shape[1] == 1
        else [f"condition_{i + 1}" for i in range(table.shape[1])]
    )
    return tuple(ContextColumn(name, table[:, i]) for i, name in enumerate(names))


def select_context_columns(
    available: Sequence[ContextColumn],
    requests: Sequence[ContextRequest],
    labels: np.ndarray | None,
    origin: str,
    n_rows: int,
) -> tuple[ContextColumn, ...]:
    """The columns that are wanted, among those that a reader gave and the labels. Raises ``DataError`` for what is not there."""
    columns = {column.name: column for column in available}
    result = (
        [_select_context_column(each, columns, labels, origin) for each in requests]
        if requests
        else list(available)
    )
    for column in result:
        if len(column.values) != n_rows:
            raise DataError(
                f"condition has {format_count(len(column.values), 'value')}, but {origin} has {format_count(n_rows, 'row')}: give one per row."
            )
    return tuple(result)


def _select_context_column(
    request: ContextRequest,
    columns: dict[str, ContextColumn],
    labels: np.ndarray | None,
    origin: str,
) -> ContextColumn:
    if request.name in columns:
        return replace(columns[request.name], kind=request.kind)
    if request.name in LABEL_COLUMN_NAMES and labels is not None:
        return ContextColumn("label", labels, "label")
    if request.name in LABEL_COLUMN_NAMES and len(columns) == 1:
        return replace(
            next(iter(columns.values())), kind=request.kind or "label"
        )  # the column that labels named
    has = (
        f"it has {format_list(columns)}"
        if columns
        else 'it has labels: write condition="label"'
        if labels is not None
        else "nor any labels"
    )
    raise DataError(f'condition="{request.name}": {origin} has no such column, {has}.')


def factors_from_columns(
    columns: Sequence[ContextColumn], train: np.ndarray, allow_missing: bool
) -> tuple[tuple[ContextVariable, ...] | None, tuple[str, ...]]:
    """The factors of the columns, and the sentences that say what they are. Raises ``DataError`` for a cell that must not be empty."""
    if not columns:
        return None, ()
    for column in columns:
        if column.missing_mask.any() and not (allow_missing and column.is_categorical):
            row = int(np.flatnonzero(column.missing_mask)[0])
            raise DataError(
                f'condition="{column.name}": row {row} has none: fill it or drop it, or write partial=True for a model that infers classes.'
            )
    factors = tuple(column.to_factor(train) for column in columns)
    told = f"{CONTEXT_NOTE_PREFIX}: {'; '.join(_describe_factor(factor) for factor in factors)}."
    never = [
        sentence
        for column, factor in zip(columns, factors, strict=True)
        for sentence in _unseen_class_notes(column, factor, train)
    ]
    return factors, (told, *never)


def _describe_factor(factor: ContextVariable) -> str:
    if not isinstance(factor, Labels):
        return f"{factor.name}, {factor.description}"
    share = (
        f", known of {factor.labelled_fraction:.1%} of the training rows"
        if factor.labelled_fraction < 1
        else ""
    )
    return f"{factor.name}, one of {format_count(factor.width, 'class', 'classes')} ({factor.description}){share}"


def _unseen_class_notes(
    column: ContextColumn, factor: ContextVariable, train: np.ndarray
) -> tuple[str, ...]:
    """A sentence about classes without a training row."""
    if not isinstance(factor, Labels):
        return ()
    seen = set(class_names(column.values[train]))
    never = [name for name in factor.categories if name not in seen]
    return (
        (
            f"No training row is of {factor.name} {format_list(never, 5)}: what a model makes of it means nothing.",
        )
        if never
        else ()
    )


def context_from_label(condition: Condition, label: Any, n_rows: int) -> ContextTable:
    """What a caller says of rows, as ``Condition.of`` takes it."""
    given = condition.to_numbers(label, n_rows)
    return ContextTable(given.float(), condition.variables)
