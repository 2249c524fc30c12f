"""Masked convolutions over images: each cell sees those before it in the order of reading."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import ArgumentError
from ..types import Recorded
from .conv import image_shape
from .made import Device, Dtype, made
from .mlp import check_sizes, glorot

EMBEDDED = 8  # numbers that stand for a category, which has no place on a scale


class PixelCNN(Recorded, nn.Module):
    """Gated masked convolutions: images and conditions ``[N, condition, H, W]`` to ``[N, C, parameters, H, W]``.

    What is put out for a cell depends on the rows above it, on the cells to the left of it, and on the channels of its own before it: one
    pass gives the parameters of every factor of ``p(x|h) = prod_d p(x_d | x_1 ... x_(d-1), h_d)``. Images are ``[N, H, W]`` or
    ``[N, C, H, W]``, as ``event_shape`` says, with ``levels`` values 0 ... ``levels``-1, which are ``embedded`` as vectors, or read as
    numbers.

    ``layers`` layers of ``features`` numbers per channel and cell see ``kernel // 2`` cells each in every direction that they may look
    in. Two stacks leave no blind spot: one goes down the rows, and sees no condition, so that it is read once for all conditions of an
    image; one goes along a row, and is told what the first has seen. For ``seed``, ``dtype`` and ``device`` see ``MLP``. Raises
    ``ArgumentError`` for a kernel that is even or below 3, and for sizes below 1.

    van den Oord et al., Conditional image generation with PixelCNN decoders (2016).

    >>> network, x = PixelCNN((3, 3), parameters=1, condition=2), torch.zeros(1, 3, 3, requires_grad=True)
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
        embedded: bool = False,
        features: int = 32,
        layers: int = 3,
        kernel: int = 3,
        seed: int | None = None,
        dtype: Dtype = None,
        device: Device = None,
    ) -> None:
        super().__init__()
        channels = image_shape(event_shape)[0]
        check_sizes("a PixelCNN", parameters=parameters, condition=condition, features=features, layers=layers)
        if kernel < 3 or kernel % 2 == 0:
            raise ArgumentError(f"`kernel` is {kernel}; give an odd number from 3 on, so that a cell stands in the middle.")
        with made(self, seed, dtype, device):
            reader = Reader(image_shape(event_shape), levels, embedded)
            self.down = Down(reader, features * channels, layers, kernel // 2)
            self.along = Along(reader, features, layers, kernel // 2, condition, parameters)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        return self.along(x, self.down(x), condition)


class Reader(nn.Module):
    """Images ``[N, *event]`` of whole numbers to what is convolved, ``[N, C * width, H, W]``."""

    def __init__(self, shape: tuple[int, int, int], levels: int, embedded: bool) -> None:
        super().__init__()
        self.channels, self.middle = shape[0], (levels - 1) / 2
        self.width = EMBEDDED if embedded else 1
        self.table = nn.Parameter(torch.randn(levels, EMBEDDED) / EMBEDDED**0.5) if embedded else None

    def forward(self, x: Tensor) -> Tensor:
        x = x.reshape(len(x), self.channels, *x.shape[-2:])
        if self.table is None:
            return x / self.middle - 1
        return F.embedding(x.long(), self.table).movedim(-1, 2).flatten(1, 2)


class Down(nn.Module):
    """The stack that goes down the rows: for each layer ``[N, 2 * width, H, W]``, which depends on the rows above alone."""

    def __init__(self, reader: Reader, width: int, layers: int, half: int) -> None:
        super().__init__()
        self.reader, self.margin, self.reach = reader, half, half * layers
        inputs = reader.channels * reader.width
        first = glorot(nn.Conv2d(inputs, 2 * width, (half, 2 * half + 1)))  # not the row itself
        later = [glorot(nn.Conv2d(width, 2 * width, (half + 1, 2 * half + 1))) for _ in range(layers - 1)]
        self.layers = nn.ModuleList([first, *later])
        self.told = nn.ModuleList(glorot(nn.Conv2d(2 * width, 2 * width, 1)) for _ in range(layers))

    def forward(self, x: Tensor) -> list[Tensor]:
        seen, told = self.reader(x), []
        for layer, tell in zip(self.layers, self.told, strict=True):
            wide = layer(F.pad(seen, (self.margin, self.margin, self.margin, 0)))[..., : x.shape[-2], :]
            told.append(tell(wide))
            seen = gated(wide)
        return told


class Along(nn.Module):
    """The stack that goes along a row, told by ``Down`` what is above it: ``[N, C, parameters, H, W]``."""

    def __init__(self, reader: Reader, features: int, layers: int, half: int, condition: int, parameters: int) -> None:
        super().__init__()
        self.reader, self.margin, self.reach = reader, half, half * layers
        channels, width = reader.channels, features * reader.channels
        widths = [reader.channels * reader.width] + [width] * (layers - 1)
        self.layers = nn.ModuleList(
            Masked(channels, inputs, 2 * width, half + 1, own=number > 0, halves=2) for number, inputs in enumerate(widths)
        )
        self.mixed = nn.ModuleList(Masked(channels, width, width) for _ in range(layers))
        self.conditions = nn.ModuleList(glorot(nn.Conv2d(condition, 2 * width, 1, bias=False)) for _ in range(layers))
        self.head = Masked(channels, width, parameters * channels)
        self.direct = glorot(nn.Conv2d(condition, parameters * channels, 1, bias=False))

    def forward(self, x: Tensor, told: list[Tensor], condition: Tensor) -> Tensor:
        seen, state = self.reader(x), None
        for layer, mix, bias, above in zip(self.layers, self.mixed, self.conditions, told, strict=True):
            step = mix(gated(layer(F.pad(seen, (self.margin, 0))) + above + bias(condition)))
            seen = state = step if state is None else state + step
        return (self.head(F.silu(seen)) + self.direct(condition)).unflatten(1, (self.reader.channels, -1))


class Masked(nn.Module):
    """A convolution along a row whose last tap, the cell itself, sees channels of an image before its own only, or up to it (``own``).

    Inputs and outputs are ordered by channel; ``halves`` counts the blocks of outputs that are, each by itself.
    """

    mask: Tensor

    def __init__(self, channels: int, inputs: int, outputs: int, taps: int = 1, own: bool = True, halves: int = 1) -> None:
        super().__init__()
        layer = glorot(nn.Conv2d(inputs, outputs, (1, taps)))
        self.weight, self.bias = layer.weight, layer.bias
        source = torch.arange(channels).repeat_interleave(inputs // channels)
        target = torch.arange(channels).repeat_interleave(outputs // halves // channels).repeat(halves)
        mask = torch.ones(outputs, inputs, 1, taps)
        mask[..., -1] = ((source <= target[:, None]) if own else (source < target[:, None]))[..., None]
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.mask, self.bias)


def gated(wide: Tensor) -> Tensor:
    """``tanh(a) * sigmoid(b)`` of the two halves of the channels."""
    a, b = wide.chunk(2, 1)
    return torch.tanh(a) * torch.sigmoid(b)
