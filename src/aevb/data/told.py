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
from ..networks.condition import Condition, Covariate, Factor, Labels, coded
from .labels import class_names, number_labels, unknown
from .words import count, listing

Kind = Literal["label", "number"]
FEW = 12  # different whole numbers that are taken for names of classes; more are measured
TOLD = "Told of each datum"  # how the sentence about it begins
LABEL = ("label", "labels")  # what names the labels of a set, of a folder of images, of an argument


@dataclass(frozen=True)
class Wanted:
    """A column that a model is to be told, and its kind where somebody said it."""

    name: str
    kind: Kind | None = None

    @classmethod
    def of(cls, text: str) -> Wanted:
        """``name``, ``name:label`` or ``name:number``.

        >>> Wanted.of("age:label"), Wanted.of("a:b")
        (Wanted(name='age', kind='label'), Wanted(name='a:b', kind=None))
        """
        name, _, kind = text.rpartition(":")
        return cls(name, kind) if name and kind in ("label", "number") else cls(text)


@dataclass(frozen=True, eq=False)
class Given:
    """A column of what a model is told, as read: ``values`` ``[N]`` are numbers (NaN where empty) or names (None where empty)."""

    name: str
    values: np.ndarray
    kind: Kind | None = None

    @property
    def empty(self) -> np.ndarray:
        """Which rows have none."""
        return unknown(self.values)

    def rows(self, index: np.ndarray) -> Given:
        """Only the rows ``index``."""
        return replace(self, values=self.values[index])

    @property
    def classes(self) -> bool:
        """Whether its values are names of classes: text, or a few whole numbers, unless somebody said otherwise."""
        if self.kind is not None or self.values.dtype.kind not in "iuf":
            return self.kind != "number"
        there = self.values[~self.empty]
        return bool((there == np.rint(there)).all()) and len(np.unique(there)) <= FEW

    def factor(self, train: np.ndarray) -> Factor:
        """What it is to a model, by the rows ``train``. Raises ``DataError`` for text that is to be a number, and empty numbers."""
        if self.classes:
            return Labels(self.name, class_names(self.values), known=float(1 - self.empty[train].mean()))
        try:
            values = self.values.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise DataError(f'condition="{self.name}:number": the column holds text ({error}): write condition="{self.name}".') from error
        if not np.isfinite(values).all():
            row = int(np.flatnonzero(~np.isfinite(values))[0])
            raise DataError(f'condition="{self.name}": row {row} has no number there, and only classes may be unknown: fill it or drop it.')
        deviation = float(values[train].std())
        return Covariate(self.name, float(values[train].mean()), deviation if deviation > 0 else 1.0)

    def numbers(self, factor: Factor) -> np.ndarray:
        """How a model holds it, float32 ``[N]``. Raises ``DataError`` for a class that was never seen."""
        if isinstance(factor, Labels):
            places = number_labels(self.values, tuple(factor.categories), self.name).numpy().astype(np.float32)
            return np.where(places < 0, np.float32(math.nan), places)
        return np.array([factor.number(value) for value in self.values], dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Told:
    """What a model is told of rows: one number per factor, ``values`` float32 ``[N, factors]``, and the factors."""

    values: Tensor
    factors: tuple[Factor, ...]

    @classmethod
    def of(cls, given: Sequence[Given], factors: Sequence[Factor]) -> Told:
        """The columns ``given`` in the order of ``factors``."""
        columns = {column.name: column for column in given}
        numbers = [columns[factor.name].numbers(factor) for factor in factors]
        return cls(torch.from_numpy(np.stack(numbers, 1)), tuple(factors))

    @classmethod
    def unknown(cls, rows: int, factors: Sequence[Factor]) -> Told:
        """Rows of which nothing is known."""
        return cls(torch.full((rows, len(factors)), math.nan), tuple(factors))

    def __len__(self) -> int:
        return len(self.values)

    @property
    def context(self) -> Tensor:
        """Of all rows, ``[N, C]``."""
        return coded(self.factors, self.values)

    def rows(self, index: Any) -> Told:
        """Only the rows ``index``."""
        return replace(self, values=self.values[index])

    def to(self, device: torch.device | str) -> Told:
        """The same on another device."""
        return replace(self, values=self.values.to(device))

    def given(self) -> tuple[Given, ...]:
        """The columns again, in the words of the data."""
        return tuple(Given(factor.name, _values(factor, self.values[:, i].cpu())) for i, factor in enumerate(self.factors))


def _values(factor: Factor, numbers: Tensor) -> np.ndarray:
    if isinstance(factor, Labels):
        return np.array([None if math.isnan(place) else factor.categories[int(place)] for place in numbers.tolist()], dtype=object)
    assert isinstance(factor, Covariate)
    return numbers.double().numpy() * factor.scale + factor.shift


def wanted_of(condition: Any) -> tuple[Wanted, ...]:
    """The columns that were asked for by name; none where nothing was, or where the values themselves were given."""
    if condition is None or isinstance(condition, np.ndarray | Tensor):
        return ()
    texts = [condition] if isinstance(condition, str) else list(condition)
    if not texts or not all(isinstance(text, str) and text for text in texts):
        raise ArgumentError(
            f'condition={condition!r}: give names of columns, condition="label" or condition=["sex", "age"], or an array [N] of values.'
        )
    return tuple(map(Wanted.of, texts))


def columns_of(condition: Any) -> tuple[Given, ...]:
    """The values that were given themselves, as an array ``[N]`` or ``[N, columns]``."""
    if not isinstance(condition, np.ndarray | Tensor):
        return ()
    values = condition.detach().cpu().numpy() if isinstance(condition, Tensor) else condition
    if values.ndim not in (1, 2) or values.dtype.kind not in "biufUSO":
        raise ArgumentError(f"condition has the shape {values.shape} and dtype {values.dtype}; give an array [N] or [N, columns].")
    table = values.reshape(len(values), -1)
    table = table.astype(np.float64) if table.dtype.kind == "f" else table
    names = ["condition"] if table.shape[1] == 1 else [f"condition_{i + 1}" for i in range(table.shape[1])]
    return tuple(Given(name, table[:, i]) for i, name in enumerate(names))


def found(given: Sequence[Given], wanted: Sequence[Wanted], labels: np.ndarray | None, origin: str, rows: int) -> tuple[Given, ...]:
    """The columns that are wanted, among those that a reader gave and the labels. Raises ``DataError`` for what is not there."""
    columns = {column.name: column for column in given}
    result = [_found(each, columns, labels, origin) for each in wanted] if wanted else list(given)
    for column in result:
        if len(column.values) != rows:
            raise DataError(f"condition has {count(len(column.values), 'value')}, but {origin} has {count(rows, 'row')}: give one per row.")
    return tuple(result)


def _found(wanted: Wanted, columns: dict[str, Given], labels: np.ndarray | None, origin: str) -> Given:
    if wanted.name in columns:
        return replace(columns[wanted.name], kind=wanted.kind)
    if wanted.name in LABEL and labels is not None:
        return Given("label", labels, "label")
    if wanted.name in LABEL and len(columns) == 1:
        return replace(next(iter(columns.values())), kind=wanted.kind or "label")  # the column that labels named
    has = f"it has {listing(columns)}" if columns else 'it has labels: write condition="label"' if labels is not None else "nor any labels"
    raise DataError(f'condition="{wanted.name}": {origin} has no such column, {has}.')


def factors_of(given: Sequence[Given], train: np.ndarray, partial: bool) -> tuple[tuple[Factor, ...] | None, tuple[str, ...]]:
    """The factors of the columns, and the sentences that say what they are. Raises ``DataError`` for a cell that must not be empty."""
    if not given:
        return None, ()
    for column in given:
        if column.empty.any() and not (partial and column.classes):
            row = int(np.flatnonzero(column.empty)[0])
            raise DataError(
                f'condition="{column.name}": row {row} has none: fill it or drop it, or write partial=True for a model that infers classes.'
            )
    factors = tuple(column.factor(train) for column in given)
    told = f"{TOLD}: {'; '.join(_said(factor) for factor in factors)}."
    never = [sentence for column, factor in zip(given, factors, strict=True) for sentence in _unseen(column, factor, train)]
    return factors, (told, *never)


def _said(factor: Factor) -> str:
    if not isinstance(factor, Labels):
        return f"{factor.name}, {factor.said}"
    share = f", known of {factor.known:.1%} of the training rows" if factor.known < 1 else ""
    return f"{factor.name}, one of {count(factor.width, 'class', 'classes')} ({factor.said}){share}"


def _unseen(column: Given, factor: Factor, train: np.ndarray) -> tuple[str, ...]:
    """A sentence about classes without a training row."""
    if not isinstance(factor, Labels):
        return ()
    seen = set(class_names(column.values[train]))
    never = [name for name in factor.categories if name not in seen]
    return (f"No training row is of {factor.name} {listing(never, 5)}: what a model makes of it means nothing.",) if never else ()


def told_as(condition: Condition, label: Any, rows: int) -> Told:
    """What a caller says of rows, as ``Condition.of`` takes it."""
    given = condition.numbers(label, rows)
    return Told(given.float(), condition.factors)
