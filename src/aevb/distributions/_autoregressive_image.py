"""Images whose cells depend on those before them, in the order of reading."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, constraints

from .._random import seed_scope

IMAGE_MOMENT_SAMPLES = 16  # that mean and variance are made from

VerticalFn = Callable[[Tensor], list[Tensor]]
HorizontalFn = Callable[[Tensor, list[Tensor], Tensor], Tensor]
CellDistributionFn = Callable[[Tensor], Distribution]


class AutoregressiveImage(Distribution):
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
        self,
        condition: Tensor,
        event_shape: tuple[int, ...],
        vertical: VerticalFn,
        horizontal: HorizontalFn,
        cell_distribution: CellDistributionFn,
        rows_above: int,
        columns_left: int,
    ) -> None:
        self.condition, self.vertical, self.horizontal, self.cell_distribution = (
            condition,
            vertical,
            horizontal,
            cell_distribution,
        )
        self.rows_above, self.columns_left = rows_above, columns_left
        super().__init__(condition.shape[:-3], Size(event_shape), validate_args=False)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        height, width = self.event_shape[-2:]
        return (self.event_shape[0] if len(self.event_shape) == 3 else 1, height, width)

    @constraints.dependent_property
    def support(self) -> constraints.Constraint:
        one = self.horizontal(*self._zero_inputs(1))
        return constraints.independent(self.cell_distribution(one).support, len(self.event_shape))

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
        told = [
            part.unflatten(0, own or (1,))
            .expand(*batch, *part.shape[1:])
            .reshape(-1, *part.shape[1:])
            for part in self._vertical_features(value)
        ]
        x = value.expand(*batch, *self.event_shape).reshape(-1, *self.image_shape)
        each = self.cell_distribution(
            self.horizontal(x, told, self._flat_condition(batch))
        ).log_prob(x)
        return each.flatten(1).sum(1).reshape(batch)

    @torch.no_grad()
    def sample(self, sample_shape: tuple[int, ...] | Size = Size()) -> Tensor:
        shape = self._extended_shape(Size(sample_shape))
        return self._sample_images(
            self._flat_condition(Size(sample_shape) + self.batch_shape)
        ).reshape(shape)

    def _sample_images(self, condition: Tensor) -> Tensor:
        channels, height, width = self.image_shape
        x = condition.new_zeros(len(condition), channels, height, width)
        for row in range(height):
            told = [
                part[:, :, -1:]
                for part in self.vertical(x[:, :, max(0, row - self.rows_above) : row + 1])
            ]
            for column in range(width):
                seen = slice(max(0, column - self.columns_left), column + 1)
                here = [part[..., seen] for part in told], condition[:, :, row : row + 1, seen]
                for channel in range(channels):
                    cells = self.cell_distribution(
                        self.horizontal(x[:, :, row : row + 1, seen], *here)[..., -1:]
                    )
                    x[:, channel, row, column] = cells.sample()[:, channel, 0, 0]
        return x

    @torch.no_grad()
    def _moments(self) -> tuple[Tensor, Tensor]:
        condition = self._flat_condition(Size((IMAGE_MOMENT_SAMPLES,)) + self.batch_shape)
        with seed_scope(0, condition.device):
            x = self._sample_images(condition)
        given = self.cell_distribution(self.horizontal(x, self.vertical(x), condition))
        means, variances = (
            part.reshape(IMAGE_MOMENT_SAMPLES, *self.batch_shape, *self.event_shape)
            for part in (given.mean, given.variance)
        )
        return means.mean(0), variances.mean(0) + means.var(0)

    def _vertical_features(self, value: Tensor) -> list[Tensor]:
        return self.vertical(value.reshape(-1, *self.image_shape))

    def _flat_condition(self, batch: Size) -> Tensor:
        return self.condition.expand(*batch, *self.condition.shape[-3:]).reshape(
            math.prod(batch), *self.condition.shape[-3:]
        )

    def _zero_inputs(self, n: int) -> tuple[Tensor, list[Tensor], Tensor]:
        x = self.condition.new_zeros(n, *self.image_shape)
        return x, self.vertical(x), self.condition.new_zeros(n, *self.condition.shape[-3:])
