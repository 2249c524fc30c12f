"""Train, validation and test rows: at random with a seed, in row order, or as published."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from ..errors import ArgumentError
from ..notes import Argument, Note, message
from ._formatting import format_count, source_error

SplitFractions = tuple[float, float, float]
RowOrder = Literal["random", "time"]
PartName = Literal["train", "validation", "test"]
PART_NAMES: tuple[PartName, ...] = ("train", "validation", "test")
DEFAULT_SPLIT: SplitFractions = (0.8, 0.1, 0.1)


@dataclass(frozen=True)
class Split:
    """Row numbers of the three parts, int64 each, and how they were chosen."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    description: str

    @property
    def note(self) -> Note:
        """The sizes of the parts and the rule that made them."""
        sizes = {"train": len(self.train), "validation": len(self.validation)}
        sizes["test"] = len(self.test)
        listed = ", ".join(f"{format_count(size)} {part}" for part, size in sizes.items())
        return Note(
            "split",
            f"Split: {listed} rows, {self.description}.",
            data=sizes | {"description": self.description},
        )


def split_rows(total: int, fractions: SplitFractions, order: RowOrder, seed: int) -> Split:
    """Split ``total`` rows into three parts, each of at least one row unless its fraction is 0.

    Raises:
        DataError: There are fewer rows than parts.

    >>> str(split_rows(1797, (0.8, 0.1, 0.1), "random", seed=0).note)
    'Split: 1,437 train, 180 validation, 180 test rows, at random with seed 0.'
    """
    parts = [name for name, part in zip(PART_NAMES, fractions, strict=True) if part]
    if total < len(parts):
        raise source_error(
            f"{format_count(total, 'row')} cannot be split into {' and '.join(parts)} rows",
            f"Give at least {format_count(len(parts), 'row')}",
        )
    validation, test = _part_sizes(total, fractions)
    rows = np.arange(total) if order == "time" else random_permutation(total, seed)
    return Split(
        rows[: total - validation - test],
        rows[total - validation - test : total - test],
        rows[total - test :],
        "in row order" if order == "time" else f"at random with seed {seed}",
    )


def random_permutation(total: int, seed: int) -> np.ndarray:
    """The numbers ``0 ... total-1`` in a random order that depends on the seed alone."""
    return torch.randperm(total, generator=torch.Generator().manual_seed(seed)).numpy()


def check_split(fractions: SplitFractions, order: RowOrder, seed: int) -> None:
    """Check the arguments of a split.

    Raises:
        ArgumentError: The fractions, the order or the seed cannot make a split.
    """
    if (
        len(fractions) != 3
        or not all(0 <= part <= 1 for part in fractions)
        or not fractions[0]
        or not math.isclose(sum(fractions), 1, abs_tol=1e-6)
    ):
        raise ArgumentError(
            "give three fractions that sum to 1, the first of them above 0",
            argument="split",
            value=fractions,
            suggestions=(message("Write {split}", split=Argument("split", DEFAULT_SPLIT)),),
        )
    if order not in ("random", "time"):
        raise ArgumentError(
            "this is not known",
            argument="order",
            value=order,
            suggestions=(
                message(
                    "Write {random} or {time} (first rows train, last rows test)",
                    random=Argument("order", "random"),
                    time=Argument("order", "time"),
                ),
            ),
        )
    if not isinstance(seed, int | np.integer) or not 0 <= seed < 2**63:
        raise ArgumentError("give a whole number from 0 to 2**63 - 1", argument="seed", value=seed)


def _part_sizes(total: int, fractions: SplitFractions) -> tuple[int, int]:
    """Numbers of validation and test rows."""
    least = [int(part > 0) for part in fractions]
    validation = min(max(least[1], round(fractions[1] * total)), total - 1 - least[2])
    validation = validation if least[1] else 0
    test = min(max(1, round(fractions[2] * total)), total - 1 - validation)
    return validation, test if least[2] else 0
