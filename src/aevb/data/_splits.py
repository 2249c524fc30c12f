"""Train, validation and test rows: at random with a seed, in row order, or as published."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from ..errors import ArgumentError, DataError
from ._formatting import format_count

SplitFractions = tuple[float, float, float]
RowOrder = Literal["random", "time"]
DEFAULT_SPLIT: SplitFractions = (0.8, 0.1, 0.1)


@dataclass(frozen=True)
class Split:
    """Row numbers of the three parts, int64 each, and how they were chosen."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    description: str

    @property
    def note(self) -> str:
        """The sentence for ``Spec.said``."""
        sizes = [format_count(len(part)) for part in (self.train, self.validation, self.test)]
        return f"Split: {sizes[0]} train, {sizes[1]} validation, {sizes[2]} test rows, {self.description}."


def split_rows(total: int, fractions: SplitFractions, order: RowOrder, seed: int) -> Split:
    """Split ``total`` rows; every part gets at least one.

    >>> split_rows(1797, (0.8, 0.1, 0.1), "random", seed=0).said
    'Split: 1,437 train, 180 validation, 180 test rows, at random with seed 0.'

    Raises ``DataError`` for fewer than 3 rows.
    """
    if total < 3:
        raise DataError(
            f"{format_count(total, 'row')} cannot be split into train, validation and test: give at least 3 rows."
        )
    validation, test = _part_sizes(total, fractions)
    rows = np.arange(total) if order == "time" else random_permutation(total, seed)
    how = "in row order" if order == "time" else f"at random with seed {seed}"
    return Split(
        rows[: total - validation - test],
        rows[total - validation - test : total - test],
        rows[total - test :],
        how,
    )


def random_permutation(total: int, seed: int) -> np.ndarray:
    """The numbers ``0 ... total-1`` in a random order that depends on the seed alone."""
    return torch.randperm(total, generator=torch.Generator().manual_seed(seed)).numpy()


def check_split(fractions: SplitFractions, order: RowOrder, seed: int) -> None:
    """Raise ``ArgumentError`` for fractions, an order or a seed that no split could use."""
    if (
        len(fractions) != 3
        or not all(0 < part < 1 for part in fractions)
        or not math.isclose(sum(fractions), 1, abs_tol=1e-6)
    ):
        raise ArgumentError(
            f"split={fractions!r} must be three positive fractions that sum to 1: write split=(0.8, 0.1, 0.1)."
        )
    if order not in ("random", "time"):
        raise ArgumentError(
            f'order={order!r} is not known: write order="random" or order="time" (first rows train, last rows test).'
        )
    if not isinstance(seed, int | np.integer) or not 0 <= seed < 2**63:
        raise ArgumentError(
            f"seed={seed!r} must be a whole number from 0 to 2**63 - 1: write seed=0."
        )


def _part_sizes(total: int, fractions: SplitFractions) -> tuple[int, int]:
    validation = min(max(1, round(fractions[1] * total)), total - 2)
    return validation, min(max(1, round(fractions[2] * total)), total - 1 - validation)
