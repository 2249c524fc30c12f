"""Two sets of data as tables of features, and their rows in groups."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...data import Rows
from ...data._formatting import format_count
from ...errors import ArgumentError, DataError
from .._features import Features
from .._intervals import random_groups


def feature_tables(
    real: Any, generated: Any, features: Features, min_rows: int
) -> tuple[Tensor, Tensor]:
    """Features ``[N, D]`` and ``[M, D]`` of two sets, of at least so many rows each. Raises ``DataError`` where there is no comparing."""
    sets = {"real": Rows.from_array(real), "generated": Rows.from_array(generated)}
    for name, rows in sets.items():
        if len(rows) < min_rows:
            raise DataError(
                f"`{name}` has {format_count(len(rows), 'row')}, and this distance and its interval need at least {min_rows}."
            )
    shapes = [tuple(rows.event_shape) for rows in sets.values()]
    if shapes[0] != shapes[1]:
        raise DataError(
            f"`real` has events of shape {shapes[0]} and `generated` of shape {shapes[1]}: give data of one shape."
        )
    a, b = (_features_of(name, rows, features) for name, rows in sets.items())
    return a, b


def _features_of(name: str, rows: Rows, features: Features) -> Tensor:
    try:
        return features(rows)
    except DataError as error:
        raise DataError(f"`{name}`: {error}") from error


def random_rows(table: Tensor, max_rows: int, seed: int) -> Tensor:
    """At most so many rows, at random without repetition."""
    if len(table) <= max_rows:
        return table
    return table[
        torch.randperm(len(table), generator=torch.Generator().manual_seed(seed))[:max_rows]
    ]


def random_group_pairs(
    real: Tensor, generated: Tensor, n_groups: int, seed: int
) -> tuple[Tensor, Tensor]:
    """The group of each row, as many groups in either set, of at least two rows; the same where the sets have one size."""
    if n_groups < 2:
        raise ArgumentError(f"`groups` is {n_groups}; leave out at least 2 in turn.")
    most = min(n_groups, len(real) // 2, len(generated) // 2)
    return random_groups(len(real), most, seed), random_groups(len(generated), most, seed)
