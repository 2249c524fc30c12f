"""A table with parameters for each row, in place of a network."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

# unit of the entries: a row takes part in one step per epoch, a network in every step, so that with
# the same learning rate a row needs longer steps
TABLE_ENTRY_UNIT = 50.0
TABLE_INIT_STD = 0.1  # of the initial parameters: rows differ


class ParameterTable(nn.Module):
    """Table of parameters: row numbers ``[B]`` (int64) to ``[B, *shape]``, in place of ``Heads``.

    Entries are stored in units of 50, which multiplies the learning rate by 50. Their gradient is
    dense: an optimiser with momentum moves every row at every step, and a row outside the batch
    follows its past gradients until they decay.

    Args:
        n_rows: Number of rows.
        shapes: Shapes of the parameters of one row.

    Example:
        >>> loc, raw = ParameterTable(1000, (2,), (2, 2))(torch.tensor([7, 7, 999]))
        >>> loc.shape, raw.shape
        (torch.Size([3, 2]), torch.Size([3, 2, 2]))
    """

    def __init__(self, n_rows: int, *shapes: Sequence[int]) -> None:
        super().__init__()
        self.shapes = [tuple(shape) for shape in shapes]
        self.widths = [math.prod(shape) for shape in self.shapes]
        self.entries = nn.Parameter(torch.empty(n_rows, sum(self.widths)))
        nn.init.normal_(self.entries, std=TABLE_INIT_STD / TABLE_ENTRY_UNIT)

    def forward(self, index: Tensor, context: Tensor | None = None) -> list[Tensor]:
        parts = (TABLE_ENTRY_UNIT * self.entries.index_select(0, index)).split(self.widths, dim=1)
        return [
            part.reshape(len(index), *shape) for part, shape in zip(parts, self.shapes, strict=True)
        ]

    @torch.no_grad()
    def set_all_rows(self, parameters: Sequence[Tensor]) -> None:
        """Set the parameters of every row.

        Args:
            parameters: Parameters ``[rows, *shape]``.
        """
        self.entries.copy_(
            torch.cat([part.flatten(1) for part in parameters], 1) / TABLE_ENTRY_UNIT
        )
