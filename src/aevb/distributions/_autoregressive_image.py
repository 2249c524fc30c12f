"""Autoregressive distributions of images, in raster order."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, constraints
from torch.types import _size

from .._random import seed_scope
from .._row_noise import moment_noise
from ._base import BaseDistribution

IMAGE_MOMENT_SAMPLES = 16  # draws for mean and variance

VerticalFn = Callable[[Tensor], list[Tensor]]
HorizontalFn = Callable[[Tensor, list[Tensor], Tensor], Tensor]
CellDistributionFn = Callable[[Tensor], Distribution]


class AutoregressiveImage(BaseDistribution):
    """Autoregressive image distribution ``p(x) = prod_d p(x_d | x_1 ... x_(d-1))`` in raster order.

    The order is row by row, then column by column, then channel by channel. A density takes one
    pass; a draw takes one pass per pixel and channel, each over a part of a row. Mean and variance
    average the conditional moments over 16 fixed draws.

    Args:
        condition: Conditioning features ``[*batch, *, H, W]``.
        event_shape: ``(H, W)`` or ``(C, H, W)``.
        vertical: Maps images ``[N, C, H, W]`` to features ``[N, *, H, W]`` per layer, which depend
            on the rows above.
        horizontal: Maps images, the vertical features and the condition to parameters ``[N, C,
            parameters, H, W]``, which depend on pixels to the left and on preceding channels.
        cell_distribution: Maps parameters to a distribution with batch shape ``[*, C, H, W]``.
        rows_above: Number of rows above that a pixel depends on.
        columns_left: Number of columns to the left that a pixel depends on.
    """

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
        super().__init__(condition.shape[:-3], Size(event_shape))

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """``(C, H, W)``."""
        height, width = self.event_shape[-2:]
        return (self.event_shape[0] if len(self.event_shape) == 3 else 1, height, width)

    @property
    def support(self) -> constraints.Constraint:
        raw = self.horizontal(*self._zero_inputs(1))
        return constraints.independent(self.cell_distribution(raw).support, len(self.event_shape))

    @property
    def mean(self) -> Tensor:
        return self._moments()[0]

    @property
    def variance(self) -> Tensor:
        return self._moments()[1]

    def log_prob(self, value: Tensor) -> Tensor:
        own = value.shape[: value.dim() - len(self.event_shape)]
        batch = torch.broadcast_shapes(own, self.batch_shape)
        # vertical features do not depend on the condition: one pass serves all conditions
        features = [
            part.unflatten(0, own or (1,))
            .expand(*batch, *part.shape[1:])
            .reshape(-1, *part.shape[1:])
            for part in self._vertical_features(value)
        ]
        x = value.expand(*batch, *self.event_shape).reshape(-1, *self.image_shape)
        each = self.cell_distribution(
            self.horizontal(x, features, self._flat_condition(batch))
        ).log_prob(x)
        return each.flatten(1).sum(1).reshape(batch)

    @torch.no_grad()
    def sample(self, sample_shape: _size = Size()) -> Tensor:
        shape = self._extended_shape(Size(sample_shape))
        return self._sample_images(
            self._flat_condition(Size(sample_shape) + self.batch_shape)
        ).reshape(shape)

    def _sample_images(self, condition: Tensor) -> Tensor:
        channels, height, width = self.image_shape
        x = condition.new_zeros(len(condition), channels, height, width)
        for row in range(height):
            features = [
                part[:, :, -1:]
                for part in self.vertical(x[:, :, max(0, row - self.rows_above) : row + 1])
            ]
            for column in range(width):
                columns = slice(max(0, column - self.columns_left), column + 1)
                window = [part[..., columns] for part in features]
                local_condition = condition[:, :, row : row + 1, columns]
                for channel in range(channels):
                    pixels = x[:, :, row : row + 1, columns]
                    raw = self.horizontal(pixels, window, local_condition)[..., -1:]
                    cells = self.cell_distribution(raw)
                    x[:, channel, row, column] = cells.sample()[:, channel, 0, 0]
        return x

    @torch.no_grad()
    def _moments(self) -> tuple[Tensor, Tensor]:
        condition = self._flat_condition(Size((IMAGE_MOMENT_SAMPLES,)) + self.batch_shape)
        noise = moment_noise(self.batch_shape.numel(), condition, IMAGE_MOMENT_SAMPLES)
        with seed_scope(0, condition.device), noise:
            x = self._sample_images(condition)
        conditional = self.cell_distribution(self.horizontal(x, self.vertical(x), condition))
        means, variances = (
            part.reshape(IMAGE_MOMENT_SAMPLES, *self.batch_shape, *self.event_shape)
            for part in (conditional.mean, conditional.variance)
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
