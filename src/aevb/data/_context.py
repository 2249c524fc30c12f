"""The variables that a model is conditioned on: columns as read, encoding, and table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from ..errors import ArgumentError, DataError
from ..networks._condition import Condition, ContextVariable, Covariate, Labels, encode_context
from ..networks._library_size import LIBRARY_SIZE, LibrarySize
from ..notes import Argument, Note, message
from ._formatting import format_count, format_list
from ._labels import class_names, encode_labels, is_missing

ContextKind = Literal["label", "number", "library"]
MAX_INTEGER_CLASSES = 12  # a column with more distinct whole numbers is a covariate
CONTEXT_NOTE_CODE = "condition"
LABEL_COLUMN_NAMES = ("label", "labels")  # names of the labels of a data set


@dataclass(frozen=True)
class ContextRequest:
    """A column to condition a model on, and its kind where the user chose the kind."""

    name: str
    kind: ContextKind | None = None

    @classmethod
    def from_text(cls, text: str) -> ContextRequest:
        """Parse ``name``, or ``name:kind`` with one of the three kinds.

        >>> ContextRequest.from_text("age:label"), ContextRequest.from_text("a:b")
        (ContextRequest(name='age', kind='label'), ContextRequest(name='a:b', kind=None))
        """
        name, _, kind = text.rpartition(":")
        return cls(name, kind) if name and kind in ("label", "number", "library") else cls(text)

    @property
    def is_row_total(self) -> bool:
        """Whether the values are the totals of the rows, and not a column."""
        return self.name == LIBRARY_SIZE and self.kind is None


@dataclass(frozen=True, eq=False)
class ContextColumn:
    """A column of context as read.

    Args:
        name: The name of the column.
        values: Numbers (NaN where empty) or names (None where empty), ``[N]``.
        kind: The kind that the user chose.
    """

    name: str
    values: np.ndarray
    kind: ContextKind | None = None

    @property
    def missing_mask(self) -> np.ndarray:
        """Which rows have no value."""
        return is_missing(self.values)

    def subset(self, index: np.ndarray) -> ContextColumn:
        """The rows ``index``."""
        return replace(self, values=self.values[index])

    @property
    def is_categorical(self) -> bool:
        """Whether the values are classes: text or few whole numbers, unless the user chose."""
        if self.kind is not None or self.values.dtype.kind not in "iuf":
            return self.kind in (None, "label")
        present = self.values[~self.missing_mask]
        is_whole = bool((present == np.rint(present)).all())
        return is_whole and len(np.unique(present)) <= MAX_INTEGER_CLASSES

    def to_factor(self, train: np.ndarray) -> ContextVariable:
        """The variable of the column, with statistics of the rows ``train``.

        Raises:
            DataError: The column is numeric, and a cell is empty or holds text.
        """
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
                f"the column holds text ({error})",
                argument="condition",
                value=f"{self.name}:number",
                suggestions=(message("Write {label}", label=Argument("condition", self.name)),),
            ) from error
        if not np.isfinite(values).all():
            row = int(np.flatnonzero(~np.isfinite(values))[0])
            raise DataError(
                f"row {row} has no number, and only classes may be missing",
                argument="condition",
                value=self.name,
                suggestions=("Fill the cell, or drop the row",),
            )
        if self.kind == "library":
            if values.min() < 0:
                raise DataError(
                    "a library size is not negative",
                    argument="condition",
                    value=self.name,
                    suggestions=("Leave it out",),
                )
            return LibrarySize(self.name, float(np.exp(np.log(values[train].clip(1)).mean())))
        deviation = float(values[train].std())
        return Covariate(
            self.name, float(values[train].mean()), deviation if deviation > 0 else 1.0
        )

    def to_numbers(self, factor: ContextVariable) -> np.ndarray:
        """The values as numbers, float32 ``[N]``, NaN where a class is missing.

        Raises:
            DataError: A class does not occur in the training data.
        """
        if isinstance(factor, Labels):
            numbers = encode_labels(self.values, tuple(factor.categories), self.name).numpy()
            return np.where(numbers < 0, np.float32(math.nan), numbers.astype(np.float32))
        return np.array([factor.to_number(value) for value in self.values], dtype=np.float32)


@dataclass(frozen=True, eq=False)
class ContextTable:
    """The context of rows: one number per variable, ``values`` float32 ``[N, variables]``."""

    values: Tensor
    factors: tuple[ContextVariable, ...]

    @classmethod
    def from_columns(
        cls, context_columns: Sequence[ContextColumn], factors: Sequence[ContextVariable]
    ) -> ContextTable:
        """The columns in the order of ``factors``."""
        columns = {column.name: column for column in context_columns}
        numbers = [columns[factor.name].to_numbers(factor) for factor in factors]
        return cls(torch.from_numpy(np.stack(numbers, 1)), tuple(factors))

    @classmethod
    def all_missing(cls, n_rows: int, factors: Sequence[ContextVariable]) -> ContextTable:
        """Rows whose values are all missing."""
        return cls(torch.full((n_rows, len(factors)), math.nan), tuple(factors))

    def __len__(self) -> int:
        return len(self.values)

    @property
    def context(self) -> Tensor:
        """The context of all rows, ``[N, C]``."""
        return encode_context(self.factors, self.values)

    def subset(self, index: Any) -> ContextTable:
        """The rows ``index``."""
        return replace(self, values=self.values[index])

    def to(self, device: torch.device | str) -> ContextTable:
        """The same table on another device."""
        return replace(self, values=self.values.to(device))

    def to_columns(self) -> tuple[ContextColumn, ...]:
        """The columns with class names and numbers in the units of the data."""
        return tuple(
            ContextColumn(
                factor.name,
                _factor_values(factor, self.values[:, i].cpu()),
                "library" if isinstance(factor, LibrarySize) else None,
            )
            for i, factor in enumerate(self.factors)
        )


def _factor_values(factor: ContextVariable, numbers: Tensor) -> np.ndarray:
    """Encoded numbers as class names or numbers in the units of the data."""
    if isinstance(factor, Labels):
        names = [
            None if math.isnan(place) else factor.categories[int(place)]
            for place in numbers.tolist()
        ]
        return np.array(names, dtype=object)
    if isinstance(factor, LibrarySize):
        return numbers.double().exp().numpy() * factor.reference
    assert isinstance(factor, Covariate)
    return numbers.double().numpy() * factor.scale + factor.shift


def parse_context_requests(condition: Any) -> tuple[ContextRequest, ...]:
    """The columns that ``condition`` names; none where it holds values.

    Raises:
        ArgumentError: ``condition`` holds neither names nor values.
    """
    if condition is None or isinstance(condition, np.ndarray | Tensor):
        return ()
    if isinstance(condition, Mapping):
        return tuple(map(ContextRequest.from_text, condition))
    texts = [condition] if isinstance(condition, str) else list(condition)
    if not texts or not all(isinstance(text, str) and text for text in texts):
        raise ArgumentError(
            "give names of columns, or an array [N] of values",
            argument="condition",
            value=condition,
            suggestions=(
                message(
                    "Write {label} or {columns}",
                    label=Argument("condition", "label"),
                    columns=Argument("condition", ["sex", "age"]),
                ),
            ),
        )
    return tuple(map(ContextRequest.from_text, texts))


def to_context_columns(condition: Any) -> tuple[ContextColumn, ...]:
    """The columns of an array ``[N]`` or ``[N, columns]``, or of a dict of arrays ``[N]``."""
    if isinstance(condition, Mapping):
        columns = {k: to_context_columns(v) for k, v in condition.items() if v is not None}
        requests = {name: ContextRequest.from_text(name) for name in columns}
        return tuple(
            replace(column, name=requests[name].name)
            for name, found in columns.items()
            for column in found
        )
    if not isinstance(condition, np.ndarray | Tensor):
        return ()
    values = condition.detach().cpu().numpy() if isinstance(condition, Tensor) else condition
    if values.ndim not in (1, 2) or values.dtype.kind not in "biufUSO":
        raise ArgumentError(
            f"`condition` has the shape {values.shape} and dtype {values.dtype}",
            argument="condition",
            suggestions=("Give an array [N] or [N, columns]",),
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
    """The requested columns among those of the reader and the labels.

    Raises:
        DataError: A column is missing, or has another number of rows.
    """
    columns = {column.name: column for column in available}
    selected = (
        [_select_context_column(request, columns, labels, origin) for request in requests]
        if requests
        else list(available)
    )
    for column in selected:
        if len(column.values) != n_rows:
            raise DataError(
                f"`condition` has {format_count(len(column.values), 'value')}, but {origin} has "
                f"{format_count(n_rows, 'row')}",
                argument="condition",
                suggestions=("Give one value per row",),
            )
    return tuple(selected)


def _select_context_column(
    request: ContextRequest,
    columns: dict[str, ContextColumn],
    labels: np.ndarray | None,
    origin: str,
) -> ContextColumn:
    """The column of one request."""
    if request.name in columns:
        column = columns[request.name]
        return replace(column, kind=request.kind or column.kind)
    if request.name in LABEL_COLUMN_NAMES and labels is not None:
        return ContextColumn("label", labels, "label")
    if request.name in LABEL_COLUMN_NAMES and len(columns) == 1:  # the column of `labels`
        return replace(next(iter(columns.values())), kind=request.kind or "label")
    if columns:
        available, suggestions = f"it has {format_list(columns)}", ()
    elif labels is not None:
        available = "it has labels"
        suggestions = (message("Write {label}", label=Argument("condition", "label")),)
    else:
        available, suggestions = "and no labels", ()
    raise DataError(
        f"{origin} has no such column, {available}",
        argument="condition",
        value=request.name,
        suggestions=suggestions,
    )


def factors_from_columns(
    columns: Sequence[ContextColumn], train: np.ndarray, allow_missing: bool
) -> tuple[tuple[ContextVariable, ...] | None, tuple[Note, ...]]:
    """The variables of the columns, and notes that describe them.

    Raises:
        DataError: A cell is empty, and missing classes are not allowed.
    """
    if not columns:
        return None, ()
    for column in columns:
        if column.missing_mask.any() and not (allow_missing and column.is_categorical):
            row = int(np.flatnonzero(column.missing_mask)[0])
            raise DataError(
                f"row {row} has no value",
                argument="condition",
                value=column.name,
                suggestions=(
                    message(
                        "Fill the cell, drop the row, or write {allow} for a model that infers "
                        "classes",
                        allow=Argument("allow_missing_labels", True),
                    ),
                ),
            )
    factors = tuple(column.to_factor(train) for column in columns)
    note = Note(
        CONTEXT_NOTE_CODE,
        f"Conditioned on: {'; '.join(_describe_factor(factor) for factor in factors)}.",
        data={"variables": [factor.name for factor in factors]},
    )
    unseen = [
        note
        for column, factor in zip(columns, factors, strict=True)
        for note in _unseen_class_notes(column, factor, train)
    ]
    return factors, (note, *unseen)


def _describe_factor(factor: ContextVariable) -> str:
    """A variable with its values."""
    if not isinstance(factor, Labels):
        return f"{factor.name}, {factor.description}"
    known = (
        f", known for {factor.labelled_fraction:.1%} of the training rows"
        if factor.labelled_fraction < 1
        else ""
    )
    classes = format_count(factor.width, "class", "classes")
    return f"{factor.name}, one of {classes} ({factor.description}){known}"


def _unseen_class_notes(
    column: ContextColumn, factor: ContextVariable, train: np.ndarray
) -> tuple[Note, ...]:
    """The warning about classes without a training row."""
    if not isinstance(factor, Labels):
        return ()
    seen = set(class_names(column.values[train]))
    unseen = [name for name in factor.categories if name not in seen]
    if not unseen:
        return ()
    return (
        Note(
            "classes_without_training_rows",
            f"No training row has {factor.name} {format_list(unseen, 5)}: results for these "
            "classes have no meaning.",
            "warning",
            {"variable": factor.name, "classes": unseen},
        ),
    )


def context_from_label(condition: Condition, label: Any, n_rows: int) -> ContextTable:
    """The context of rows from a ``label`` as ``Condition.to_context`` takes it."""
    return ContextTable(condition.to_numbers(label, n_rows).float(), condition.variables)
