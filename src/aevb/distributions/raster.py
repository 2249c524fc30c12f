"""Images whose cells depend on those before them, in the order of reading."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, constraints

from ..random import seeded

DRAWS = 16  # that mean and variance are made from

Above = Callable[[Tensor], list[Tensor]]
Along = Callable[[Tensor, list[Tensor], Tensor], Tensor]
Cells = Callable[[Tensor], Distribution]


class Raster(Distribution):
    """``p(x) = prod_d p(x_d | x_1 ... x_(d-1))`` over the cells of an image, row by row, the channels of a cell in turn.

    ``above`` reads images ``[N, C, H, W]`` and says what each row is to know of the ``rows`` rows before it, ``[N, *, H, W]`` each;
    ``along`` turns images, that, and the condition ``[N, *, H, W]`` into ``[N, C, parameters, H, W]``, of which those of a cell depend on
    the ``columns`` cells to its left and on channels before its own; ``cells`` makes distributions ``[*, C, H, W]`` of them. The
    condition is ``[*batch, *, H, W]``.

    A density takes one pass, a draw one per cell, each over a part of a row. Mean and variance are those of 16 draws, always the same
    ones, by what each cell was to be given those before it: no single draw is as near to them.
    """

    arg_constraints = {}  # pyright: ignore[reportAssignmentType]

    def __init__(
        self, condition: Tensor, event_shape: tuple[int, ...], above: Above, along: Along, cells: Cells, rows: int, columns: int
    ) -> None:
        self.condition, self.above, self.along, self.cells = condition, above, along, cells
        self.rows, self.columns = rows, columns
        super().__init__(condition.shape[:-3], Size(event_shape), validate_args=False)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        height, width = self.event_shape[-2:]
        return (self.event_shape[0] if len(self.event_shape) == 3 else 1, height, width)

    @constraints.dependent_property
    def support(self) -> constraints.Constraint:
        one = self.along(*self._blank(1))
        return constraints.independent(self.cells(one).support, len(self.event_shape))

    @property
    def mean(self) -> Tensor:
        return self._moments()[0]

    @property
    def variance(self) -> Tensor:
        return self._moments()[1]

    def log_prob(self, value: Tensor) -> Tensor:
        own = value.shape[: value.dim() - len(self.event_shape)]
        batch = torch.broadcast_shapes(own, self.batch_shape)
        # what the rows above say does not depend on the condition: it is read once for all of them
        told = [part.unflatten(0, own or (1,)).expand(*batch, *part.shape[1:]).reshape(-1, *part.shape[1:]) for part in self._told(value)]
        x = value.expand(*batch, *self.event_shape).reshape(-1, *self.shape)
        each = self.cells(self.along(x, told, self._conditions(batch))).log_prob(x)
        return each.flatten(1).sum(1).reshape(batch)

    @torch.no_grad()
    def sample(self, sample_shape: tuple[int, ...] | Size = Size()) -> Tensor:
        shape = self._extended_shape(Size(sample_shape))
        return self._drawn(self._conditions(Size(sample_shape) + self.batch_shape)).reshape(shape)

    def _drawn(self, condition: Tensor) -> Tensor:
        channels, height, width = self.shape
        x = condition.new_zeros(len(condition), channels, height, width)
        for row in range(height):
            told = [part[:, :, -1:] for part in self.above(x[:, :, max(0, row - self.rows) : row + 1])]
            for column in range(width):
                seen = slice(max(0, column - self.columns), column + 1)
                here = [part[..., seen] for part in told], condition[:, :, row : row + 1, seen]
                for channel in range(channels):
                    cells = self.cells(self.along(x[:, :, row : row + 1, seen], *here)[..., -1:])
                    x[:, channel, row, column] = cells.sample()[:, channel, 0, 0]
        return x

    @torch.no_grad()
    def _moments(self) -> tuple[Tensor, Tensor]:
        condition = self._conditions(Size((DRAWS,)) + self.batch_shape)
        with seeded(0, condition.device):
            x = self._drawn(condition)
        given = self.cells(self.along(x, self.above(x), condition))
        means, variances = (part.reshape(DRAWS, *self.batch_shape, *self.event_shape) for part in (given.mean, given.variance))
        return means.mean(0), variances.mean(0) + means.var(0)

    def _told(self, value: Tensor) -> list[Tensor]:
        return self.above(value.reshape(-1, *self.shape))

    def _conditions(self, batch: Size) -> Tensor:
        return self.condition.expand(*batch, *self.condition.shape[-3:]).reshape(math.prod(batch), *self.condition.shape[-3:])

    def _blank(self, n: int) -> tuple[Tensor, list[Tensor], Tensor]:
        x = self.condition.new_zeros(n, *self.shape)
        return x, self.above(x), self.condition.new_zeros(n, *self.condition.shape[-3:])
