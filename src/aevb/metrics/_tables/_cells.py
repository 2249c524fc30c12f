"""Encoded cells of tables, and the columns that are compared as numbers or as categories."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from ...data import Rows, Schema
from ...data._formatting import format_count
from ...errors import DataError

CATEGORIES = frozenset({"bernoulli", "categorical"})
"""Likelihoods of columns whose codes have no order."""


def encoded_cells(argument: str, rows: Any, schema: Schema, min_rows: int = 2) -> np.ndarray:
    """Encoded cells as float32 ``[N, D]``; a frame is encoded first.

    Raises:
        DataError: There are too few rows, or not the columns of the schema.
    """
    if isinstance(rows, Tensor | np.ndarray | Rows | list):
        cells = Rows.from_array(rows).tensor().float().cpu().numpy()
    else:
        cells = schema.encode(rows).tensor().cpu().numpy()
    width = len(schema.modelled)
    if cells.shape[1:] != (width,):
        raise DataError(
            f"`{argument}` has rows of shape {cells.shape[1:]}, and the schema has "
            f"{format_count(width, 'modelled column')}",
            argument=argument,
            suggestions=("Give a data frame, or cells that the schema has encoded",),
        )
    if len(cells) < min_rows:
        raise DataError(
            f"`{argument}` has {format_count(len(cells), 'row')}, and at least {min_rows} are "
            "needed",
            argument=argument,
        )
    return cells


def random_cells(cells: np.ndarray, max_rows: int, seed: int) -> np.ndarray:
    """At most ``max_rows`` rows at random, without repetition."""
    if len(cells) <= max_rows:
        return cells
    return cells[np.random.default_rng(seed).permutation(len(cells))[:max_rows]]


def level_indicators(codes: np.ndarray, counts: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """One column per level, float32 ``[N, L]``, and the first of each of the K columns, ``[K]``.

    Args:
        codes: Codes ``[N, K]``; NaN has no level.
        counts: Number of levels of each column.
    """
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int64)
    found = np.zeros((len(codes), int(np.sum(counts))), dtype=np.float32)
    rows, columns = np.nonzero(~np.isnan(codes))
    found[rows, starts[columns] + codes[rows, columns].astype(np.int64)] = 1.0
    return found, starts
