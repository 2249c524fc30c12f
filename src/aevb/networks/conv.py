"""Convolutions for images of any size and any number of channels."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..errors import ArgumentError
from ..types import Recorded
from .activations import activation as named
from .mlp import flatten_event, glorot


class ConvEncoder(Recorded, nn.Module):
    """Strided convolutions: images ``[N, *event_shape]`` to features ``[N, channels[-1], h, w]``, each side halved (rounded up) per stage.

    ``event_shape`` is ``(H, W)`` or ``(C, H, W)``, of any size from 1 x 1 up. ``residual`` adds that many residual blocks per stage
    (He et al. 2016, pre-activation).

    >>> import torch
    >>> ConvEncoder((28, 28))(torch.zeros(5, 28, 28)).shape
    torch.Size([5, 64, 7, 7])
    """

    def __init__(self, event_shape: Sequence[int], channels: Sequence[int] = (32, 64), residual: int = 0, activation: str = "relu") -> None:
        super().__init__()
        self.event_shape = image_shape(event_shape)
        self.stages = nn.Sequential()
        width = self.event_shape[0]
        for size in channels:
            self.stages.append(glorot(nn.Conv2d(width, size, 3, stride=2, padding=1)))
            self.stages.extend(Residual(size, activation) for _ in range(residual))
            self.stages.append(named(activation))
            width = size

    def forward(self, x: Tensor) -> Tensor:
        return self.stages(x.reshape(-1, *self.event_shape))


class ConvDecoder(Recorded, nn.Module):
    """Transposed convolutions: codes ``[N, latent]`` to features ``[N, channels[-1], H, W]``, each side doubled per stage and cut to size.

    The stages mirror those of a ``ConvEncoder`` with as many channels.

    >>> import torch
    >>> ConvDecoder(16, (28, 28))(torch.zeros(5, 16)).shape
    torch.Size([5, 32, 28, 28])
    """

    def __init__(
        self, latent: int, event_shape: Sequence[int], channels: Sequence[int] = (64, 32), residual: int = 0, activation: str = "relu"
    ) -> None:
        super().__init__()
        self.latent = latent
        sizes = halved(image_shape(event_shape)[1:], len(channels))
        self.start = (channels[0], *sizes[-1])
        self.project = glorot(nn.Linear(latent, math.prod(self.start)))
        self.activation = named(activation)
        self.stages = nn.Sequential()
        width = channels[0]
        for size, target in zip(channels, reversed(sizes[:-1]), strict=True):
            self.stages.append(Upsample(width, size, target))
            self.stages.extend(Residual(size, activation) for _ in range(residual))
            self.stages.append(named(activation))
            width = size

    def forward(self, z: Tensor) -> Tensor:
        start = self.project(flatten_event(z, self.latent))
        return self.stages(self.activation(start.reshape(-1, *self.start)))


class Upsample(nn.Module):
    """A transposed convolution that doubles each side and cuts the last row or column where the size wanted is odd."""

    def __init__(self, inputs: int, outputs: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size
        self.conv = glorot(nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)[..., : self.size[0], : self.size[1]]


class Residual(nn.Module):
    """``x + conv(act(conv(act(x))))`` at one resolution; the last convolution starts at 0, so the block starts as the identity."""

    def __init__(self, channels: int, activation: str) -> None:
        super().__init__()
        last = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(last.weight)
        if last.bias is not None:
            nn.init.zeros_(last.bias)
        first = glorot(nn.Conv2d(channels, channels, 3, padding=1))
        self.branch = nn.Sequential(named(activation), first, named(activation), last)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.branch(x)


def image_shape(event_shape: Sequence[int]) -> tuple[int, int, int]:
    """``(C, H, W)``, with one channel where only ``(H, W)`` is given."""
    shape = tuple(event_shape)
    if len(shape) not in (2, 3) or min(shape) < 1:
        raise ArgumentError(f"`event_shape` is {shape}; a convolution takes images, (height, width) or (channels, height, width).")
    height, width = shape[-2:]
    return (shape[0] if len(shape) == 3 else 1, height, width)


def convolves(model: nn.Module) -> bool:
    """Whether convolutions are part of the model: they take most of its time then, and compiling has not made them faster on a CPU."""
    return any(isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d)) for module in model.modules())


def fast_layout(model: nn.Module) -> None:
    """Lay convolutions out with the channels last, which makes steps a tenth to a quarter faster; values and shapes stay what they are."""
    if convolves(model):
        model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def halved(size: Sequence[int], times: int) -> list[tuple[int, int]]:
    """The sizes on the way down, each side halved and rounded up.

    >>> halved((28, 17), 2)
    [(28, 17), (14, 9), (7, 5)]
    """
    sizes = [(size[0], size[1])]
    for _ in range(times):
        height, width = sizes[-1]
        sizes.append(((height + 1) // 2, (width + 1) // 2))
    return sizes
