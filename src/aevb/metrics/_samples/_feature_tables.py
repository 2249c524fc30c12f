"""Two sets of data as tables of features, and groups of their rows."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...data import Rows
from ...data._formatting import format_count
from ...errors import ArgumentError, DataError
from ...notes import message
from .._features import Features
from .._intervals import random_groups


def feature_tables(
    real: Any, generated: Any, features: Features, min_rows: int
) -> tuple[Tensor, Tensor]:
    """Features ``[N, D]`` and ``[M, D]`` of two sets of at least ``min_rows`` rows each."""
    sets = {"real": Rows.from_array(real), "generated": Rows.from_array(generated)}
    for name, rows in sets.items():
        if len(rows) < min_rows:
            raise DataError(
                f"`{name}` has {format_count(len(rows), 'row')}, and this distance and its "
                f"interval need at least {min_rows}",
                argument=name,
            )
    shapes = [tuple(rows.event_shape) for rows in sets.values()]
    if shapes[0] != shapes[1]:
        raise DataError(
            f"`real` has events of shape {shapes[0]} and `generated` of shape {shapes[1]}",
            suggestions=("Give data of one shape",),
        )
    a, b = (_features_of(name, rows, features) for name, rows in sets.items())
    return a, b


def _features_of(name: str, rows: Rows, features: Features) -> Tensor:
    """Features of one set; its name is added to errors."""
    try:
        return features(rows)
    except DataError as error:
        raise DataError(
            message(f"`{name}`: {{reason}}", reason=error.reason),
            argument=name,
            suggestions=error.suggestions,
        ) from error


def random_rows(table: Tensor, max_rows: int, seed: int) -> Tensor:
    """At most ``max_rows`` rows at random, without repetition."""
    if len(table) <= max_rows:
        return table
    return table[
        torch.randperm(len(table), generator=torch.Generator().manual_seed(seed))[:max_rows]
    ]


def random_group_pairs(
    real: Tensor, generated: Tensor, n_groups: int, seed: int
) -> tuple[Tensor, Tensor]:
    """The group of each row, for both sets; groups have at least two rows."""
    if n_groups < 2:
        raise ArgumentError("leave out at least 2 in turn", argument="groups", value=n_groups)
    most = min(n_groups, len(real) // 2, len(generated) // 2)
    return random_groups(len(real), most, seed), random_groups(len(generated), most, seed)
