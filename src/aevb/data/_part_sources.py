"""Validation and test rows from sources of their own."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from ..errors import ArgumentError
from ..notes import Argument, Note, message
from ._formatting import format_count
from ._rows import Rows
from ._splits import DEFAULT_SPLIT, PartName, SplitFractions

_DEFAULT_VALIDATION = 0.1
"""Share of the training source that validates where test rows have a source of their own."""


@dataclass(frozen=True)
class PartSource:
    """Where the rows of a part are read, where not from the source of the training rows.

    Args:
        part: ``"validation"`` or ``"test"``.
        source: A source as of ``load``.
        key: As for ``load``.
        labels: As for ``load``.
    """

    part: PartName
    source: Any
    key: str | None = None
    labels: Any = None

    @property
    def description(self) -> str:
        """The source as the object of a sentence."""
        if not isinstance(self.source, str | os.PathLike):
            return "data of their own"
        array = "" if self.key is None else f" ({self.key})"
        return f"{os.fspath(self.source)}{array}"


def part_sources(
    source: Any, key: str | None, labels: Any, condition: Any, own: Mapping[PartName, PartSource]
) -> dict[PartName, PartSource]:
    """The sources of parts that have one, with the key and the labels that each is read with.

    A part with a key alone is another array of the training source. Another file has the key and
    the column of labels of the training source, unless it has its own.

    Args:
        source: The source of the training rows.
        key: Its key.
        labels: Its labels.
        condition: What a model is conditioned on.
        own: What was given for each part; its fields may be None.

    Raises:
        ArgumentError: There is a label or a key without a source, or a condition has values for the
            rows of one source only.
    """
    found: dict[PartName, PartSource] = {}
    for part, given in own.items():
        if given.source is None and given.key is None:
            if given.labels is not None:
                raise _no_source(f"{part}_labels", given.labels, part)
            continue
        same = given.source is None or given.source is source
        names = labels if isinstance(labels, str) and not same else None
        found[part] = PartSource(
            part,
            source if given.source is None else given.source,
            given.key if given.key is not None or same else key,
            names if given.labels is None else given.labels,
        )
    if found and isinstance(condition, np.ndarray | Tensor | Mapping):
        part = next(iter(found))
        raise ArgumentError(
            message(
                "its values belong to the rows of one source, and {part} is another one",
                part=Argument(part),
            ),
            argument="condition",
            suggestions=("Give tables with the columns of the condition, and name these",),
        )
    return found


def remaining_fractions(
    split: Sequence[float], own: Mapping[PartName, PartSource]
) -> SplitFractions:
    """The fractions of the training source, which parts with a source of their own leave.

    Raises:
        ArgumentError: ``split`` takes rows for a part that has a source of its own.
    """
    train, validation, test = split
    if not own:
        return train, validation, test
    if tuple(split) == DEFAULT_SPLIT:
        validation = 0.0 if "validation" in own else _DEFAULT_VALIDATION
        return 1 - validation, validation, 0.0
    for part, fraction in (("validation", validation), ("test", test)):
        if fraction and part in own:
            raise ArgumentError(
                message("{part} has a source of its own", part=Argument(part)),
                argument="split",
                value=tuple(split),
                suggestions=("Write 0 for its fraction, or leave one of the two out",),
            )
    return train, validation, test


def split_note(
    parts: Mapping[PartName, Rows], own: Mapping[PartName, PartSource], how: str
) -> Note:
    """The sizes of the parts, and where each comes from.

    Args:
        parts: The rows of each part.
        own: The sources of parts that have one.
        how: How the training source was split.
    """
    origins = {part: f" (of {each.description})" for part, each in own.items()}
    listed = ", ".join(
        f"{format_count(len(rows))} {part}{origins.get(part, '')}" for part, rows in parts.items()
    )
    split = "" if len(own) == 2 else f"; the source of the training rows was split {how}"
    sizes = {part: len(rows) for part, rows in parts.items()}
    sources = {part: each.description for part, each in own.items()}
    return Note(
        "split",
        f"Split: {listed} rows{split}.",
        data=sizes | {"description": how, "sources": sources},
    )


def _no_source(argument: str, value: Any, part: PartName) -> ArgumentError:
    return ArgumentError(
        message("there is no {part}", part=Argument(part)),
        argument=argument,
        value=value if isinstance(value, str) else type(value).__name__,
        suggestions=("Leave it out",),
    )
