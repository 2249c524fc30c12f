"""Columns that number or name the rows: an index that was written to a file, and identifiers."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from ._columns import TableColumn

MIN_DISTINCT_SHARE = 0.5  # of the rows, for a column with the name of an identifier
_INDEX_NAME = re.compile(r"(unnamed: ?\d+(_level_\d+)?)?|__index_level_\d+__", re.IGNORECASE)
_IDENTIFIER_NAME = re.compile(
    r"(?i:id|index|idx|uuid|guid|row|row[_ .]?(id|names?|numbers?|nums?|no)|(.*[_ .-])?id)"
    r"|.*[a-z](Id|ID)"
)


def set_aside_identifier(column: TableColumn) -> TableColumn:
    """The column, or one that is not read where its numbers are only names of the rows.

    An index has no name, or one that pandas made; it is set aside where it holds whole numbers
    without repetition. An identifier has a name such as ``id`` or ``customer_id`` and mostly
    distinct whole numbers.
    """
    if not column.numeric:
        return column
    if is_index_name(column.name) and _distinct_share(column.cells) == 1:
        return replace(column, kind="index")
    if is_identifier_name(column.name) and _distinct_share(column.cells) >= MIN_DISTINCT_SHARE:
        return replace(column, kind="identifier")
    return column


def is_index_name(name: str) -> bool:
    """Whether a column has no name, or one that pandas made for an index."""
    return _INDEX_NAME.fullmatch(name) is not None


def is_identifier_name(name: str) -> bool:
    """Whether a name is one of identifiers, such as ``id`` or ``customer_id``."""
    return _IDENTIFIER_NAME.fullmatch(name) is not None


def _distinct_share(cells: np.ndarray) -> float:
    """The share of distinct values; 0 where values are missing or not whole."""
    if not np.array_equal(cells, np.rint(cells)):
        return 0.0
    return len(np.unique(cells)) / len(cells)
