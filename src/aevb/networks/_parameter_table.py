"""Parameters of their own for each datum: a table in the place of a network."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

TABLE_ENTRY_UNIT = 50.0  # of an entry: a row is seen once per epoch, a network at every step; at one learning rate a row must move in longer steps
TABLE_INIT_STD = 0.1  # of the initial parameters: enough to tell the rows apart


class ParameterTable(nn.Module):
    """Row numbers ``[B]``, int64, to parameter tensors ``[B, *shape]``: what ``Heads`` are to a network, without the network.

    Entries are held in units of 50, which is fifty times the learning rate. Their gradient is dense: an optimiser with moments moves
    every row at every step, and one that is not in the batch follows its last gradients until they have faded.

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
        """Let every row have these parameters, ``[rows, *shape]`` each."""
        self.entries.copy_(
            torch.cat([part.flatten(1) for part in parameters], 1) / TABLE_ENTRY_UNIT
        )
