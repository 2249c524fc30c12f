"""Masked convolutions over images: each cell sees those before it in the order of reading."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import ArgumentError
from ..types import Configurable
from ._conv import image_shape
from ._initialisation import Device, Dtype, weight_initialisation
from ._mlp import check_sizes, glorot

LEVEL_EMBEDDING_WIDTH = 8  # numbers that stand for a category, which has no place on a scale


class PixelCNN(Configurable, nn.Module):
    """Gated masked convolutions: images and conditions ``[N, condition, H, W]`` to ``[N, C, parameters, H, W]``.

    What is put out for a cell depends on the rows above it, on the cells to the left of it, and on the channels of its own before it: one
    pass gives the parameters of every factor of ``p(x|h) = prod_d p(x_d | x_1 ... x_(d-1), h_d)``. Images are ``[N, H, W]`` or
    ``[N, C, H, W]``, as ``event_shape`` says, with ``levels`` values 0 ... ``levels``-1, which are ``embed_levels`` as vectors, or read as
    numbers.

    ``layers`` layers of ``features`` numbers per channel and cell see ``kernel // 2`` cells each in every direction that they may look
    in. Two stacks leave no blind spot: one goes down the rows, and sees no condition, so that it is read once for all conditions of an
    image; one goes along a row, and is told what the first has seen. For ``seed``, ``dtype`` and ``device`` see ``MLP``. Raises
    ``ArgumentError`` for a kernel that is even or below 3, and for sizes below 1.

    van den Oord et al., Conditional image generation with PixelCNN decoders (2016).

    >>> network, x = (
    ...     PixelCNN((3, 3), parameters=1, condition=2),
    ...     torch.zeros(1, 3, 3, requires_grad=True),
    ... )
    >>> out = network(x, torch.zeros(1, 2, 3, 3))
    >>> (torch.autograd.grad(out[0, 0, 0, 1, 1], x)[0] != 0)[0].tolist()
    [[True, True, True], [True, False, False], [False, False, False]]
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        parameters: int,
        condition: int,
        levels: int = 2,
        embed_levels: bool = False,
        features: int = 32,
        layers: int = 3,
        kernel: int = 3,
        seed: int | None = None,
        dtype: Dtype = None,
        device: Device = None,
    ) -> None:
        super().__init__()
        channels = image_shape(event_shape)[0]
        check_sizes(
            "a PixelCNN",
            parameters=parameters,
            condition=condition,
            features=features,
            layers=layers,
        )
        if kernel < 3 or kernel % 2 == 0:
            raise ArgumentError(
                f"`kernel` is {kernel}; give an odd number from 3 on, so that a cell stands in the middle."
            )
        with weight_initialisation(self, seed, dtype, device):
            reader = LevelEmbedding(image_shape(event_shape), levels, embed_levels)
            self.vertical = VerticalStack(reader, features * channels, layers, kernel // 2)
            self.horizontal = HorizontalStack(
                reader, features, layers, kernel // 2, condition, parameters
            )

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        return self.horizontal(x, self.vertical(x), condition)


class LevelEmbedding(nn.Module):
    """Images ``[N, *event]`` of whole numbers to what is convolved, ``[N, C * width, H, W]``."""

    def __init__(self, shape: tuple[int, int, int], levels: int, embed_levels: bool) -> None:
        super().__init__()
        self.channels, self.midpoint = shape[0], (levels - 1) / 2
        self.width = LEVEL_EMBEDDING_WIDTH if embed_levels else 1
        self.table = (
            nn.Parameter(torch.randn(levels, LEVEL_EMBEDDING_WIDTH) / LEVEL_EMBEDDING_WIDTH**0.5)
            if embed_levels
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x.reshape(len(x), self.channels, *x.shape[-2:])
        if self.table is None:
            return x / self.midpoint - 1
        return F.embedding(x.long(), self.table).movedim(-1, 2).flatten(1, 2)


class VerticalStack(nn.Module):
    """The stack that goes down the rows: for each layer ``[N, 2 * width, H, W]``, which depends on the rows above alone."""

    def __init__(self, embedding: LevelEmbedding, width: int, layers: int, radius: int) -> None:
        super().__init__()
        self.embedding, self.padding, self.receptive_radius = embedding, radius, radius * layers
        inputs = embedding.channels * embedding.width
        first = glorot(nn.Conv2d(inputs, 2 * width, (radius, 2 * radius + 1)))  # not the row itself
        later = [
            glorot(nn.Conv2d(width, 2 * width, (radius + 1, 2 * radius + 1)))
            for _ in range(layers - 1)
        ]
        self.layers = nn.ModuleList([first, *later])
        self.to_horizontal = nn.ModuleList(
            glorot(nn.Conv2d(2 * width, 2 * width, 1)) for _ in range(layers)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        seen, told = self.embedding(x), []
        for layer, tell in zip(self.layers, self.to_horizontal, strict=True):
            wide = layer(F.pad(seen, (self.padding, self.padding, self.padding, 0)))[
                ..., : x.shape[-2], :
            ]
            told.append(tell(wide))
            seen = gated_activation(wide)
        return told


class HorizontalStack(nn.Module):
    """The stack that goes along a row, told by ``VerticalStack`` what is above it: ``[N, C, parameters, H, W]``."""

    def __init__(
        self,
        embedding: LevelEmbedding,
        features: int,
        layers: int,
        radius: int,
        condition: int,
        parameters: int,
    ) -> None:
        super().__init__()
        self.embedding, self.padding, self.receptive_radius = embedding, radius, radius * layers
        channels, width = embedding.channels, features * embedding.channels
        widths = [embedding.channels * embedding.width] + [width] * (layers - 1)
        self.layers = nn.ModuleList(
            MaskedConv2d(
                channels, inputs, 2 * width, radius + 1, include_self=number > 0, n_blocks=2
            )
            for number, inputs in enumerate(widths)
        )
        self.output_convs = nn.ModuleList(
            MaskedConv2d(channels, width, width) for _ in range(layers)
        )
        self.condition_convs = nn.ModuleList(
            glorot(nn.Conv2d(condition, 2 * width, 1, bias=False)) for _ in range(layers)
        )
        self.head = MaskedConv2d(channels, width, parameters * channels)
        self.condition_skip = glorot(nn.Conv2d(condition, parameters * channels, 1, bias=False))

    def forward(self, x: Tensor, vertical: list[Tensor], condition: Tensor) -> Tensor:
        seen, state = self.embedding(x), None
        for layer, mix, bias, above in zip(
            self.layers, self.output_convs, self.condition_convs, vertical, strict=True
        ):
            step = mix(
                gated_activation(layer(F.pad(seen, (self.padding, 0))) + above + bias(condition))
            )
            seen = state = step if state is None else state + step
        return (self.head(F.silu(seen)) + self.condition_skip(condition)).unflatten(
            1, (self.embedding.channels, -1)
        )


class MaskedConv2d(nn.Module):
    """A convolution along a row whose last tap, the cell itself, sees channels of an image before its own only, or up to it (``own``).

    Inputs and outputs are ordered by channel; ``halves`` counts the blocks of outputs that are, each by itself.
    """

    mask: Tensor

    def __init__(
        self,
        channels: int,
        inputs: int,
        outputs: int,
        kernel: int = 1,
        include_self: bool = True,
        n_blocks: int = 1,
    ) -> None:
        super().__init__()
        layer = glorot(nn.Conv2d(inputs, outputs, (1, kernel)))
        self.weight, self.bias = layer.weight, layer.bias
        source = torch.arange(channels).repeat_interleave(inputs // channels)
        target = (
            torch.arange(channels)
            .repeat_interleave(outputs // n_blocks // channels)
            .repeat(n_blocks)
        )
        mask = torch.ones(outputs, inputs, 1, kernel)
        mask[..., -1] = (
            (source <= target[:, None]) if include_self else (source < target[:, None])
        )[..., None]
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.mask, self.bias)


def gated_activation(x: Tensor) -> Tensor:
    """``tanh(a) * sigmoid(b)`` of the two halves of the channels."""
    a, b = x.chunk(2, 1)
    return torch.tanh(a) * torch.sigmoid(b)
