"""Features of the encoded cells of a table, and the units of their errors."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .._random import seed_scope
from ..data import Rows
from ..networks import Column, Columns
from ._features import Features, content_digest, module_digest


def table_features(columns: Sequence[Column]) -> Features:
    """Make features of encoded cells, as an encoder sees them; missing cells are allowed.

    Args:
        columns: The columns of the cells.

    Returns:
        The features: standardised numbers, a number for each category, and flags of missing cells.

    Example:
        >>> column = Column("sex", "binary", "bernoulli", levels=("f", "m"))
        >>> table_features([column])(torch.tensor([[0.0], [torch.nan]]))
        tensor([[1., 0., 0.],
                [0., 0., 1.]], dtype=torch.float64)
    """
    with seed_scope(0):  # columns of many categories have random features
        network = Columns(nn.Identity(), columns)
    digest = content_digest(f"{list(columns)!r} {module_digest(network)}".encode())
    return Features("cells of a table", lambda x: network.features(x.cpu().float()), digest)


def cell_units(columns: Sequence[Column], train: Rows) -> tuple[Tensor, Tensor]:
    """What counts as an error of 1 in each cell, and which cells hold names of categories.

    The squared error of the mean of a number, or of the commonest category, is then 1.

    Args:
        columns: The columns of the cells.
        train: Rows that the units are computed from.

    Returns:
        The units ``[D]``, positive, and a mask ``[D]``.
    """
    names = torch.tensor([column.n_levels > 0 for column in columns])
    units = []
    for name, cells in zip(names.tolist(), train.tensor().double().cpu().T, strict=True):
        cells = cells[~cells.isnan()]
        unit = 1.0
        if len(cells):
            shares = cells.unique(return_counts=True)[1] / len(cells)
            unit = math.sqrt(1 - shares.max().item()) if name else cells.std(correction=0).item()
        units.append(unit if unit > 0 else 1.0)
    return torch.tensor(units, dtype=torch.float64), names
