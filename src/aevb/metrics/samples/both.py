"""Two sets of data as tables of features, and their rows in groups."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...data import Rows
from ...data.words import count
from ...errors import ArgumentError, DataError
from ..features import Features
from ..ranged import grouped


def both(real: Any, generated: Any, features: Features, least: int) -> tuple[Tensor, Tensor]:
    """Features ``[N, D]`` and ``[M, D]`` of two sets, of at least so many rows each. Raises ``DataError`` where there is no comparing."""
    sets = {"real": Rows.of(real), "generated": Rows.of(generated)}
    for name, rows in sets.items():
        if len(rows) < least:
            raise DataError(f"`{name}` has {count(len(rows), 'row')}, and this distance and its interval need at least {least}.")
    shapes = [tuple(rows.event_shape) for rows in sets.values()]
    if shapes[0] != shapes[1]:
        raise DataError(f"`real` has events of shape {shapes[0]} and `generated` of shape {shapes[1]}: give data of one shape.")
    a, b = (_table(name, rows, features) for name, rows in sets.items())
    return a, b


def _table(name: str, rows: Rows, features: Features) -> Tensor:
    try:
        return features(rows)
    except DataError as error:
        raise DataError(f"`{name}`: {error}") from error


def some(table: Tensor, rows: int, seed: int) -> Tensor:
    """At most so many rows, at random without repetition."""
    if len(table) <= rows:
        return table
    return table[torch.randperm(len(table), generator=torch.Generator().manual_seed(seed))[:rows]]


def groups_of(a: Tensor, b: Tensor, groups: int, seed: int) -> tuple[Tensor, Tensor]:
    """The group of each row, as many groups in either set, of at least two rows; the same where the sets have one size."""
    if groups < 2:
        raise ArgumentError(f"`groups` is {groups}; leave out at least 2 in turn.")
    most = min(groups, len(a) // 2, len(b) // 2)
    return grouped(len(a), most, seed), grouped(len(b), most, seed)
