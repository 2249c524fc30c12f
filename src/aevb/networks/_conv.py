"""Convolutions for images of any size and any number of channels."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..errors import ArgumentError
from ..types import Configurable
from ._activations import build_activation as named
from ._initialisation import Device, Dtype, weight_initialisation
from ._mlp import append_context, check_sizes, flatten_event, glorot


class ConvEncoder(Configurable, nn.Module):
    """Strided convolutions: images ``[N, *event_shape]`` to features ``[N, channels[-1], h, w]``, each side halved (rounded up) per stage.

    ``event_shape`` is ``(H, W)`` or ``(C, H, W)``, of any size from 1 x 1 up. ``residual`` adds that many residual blocks per stage
    (He et al. 2016, pre-activation). ``context`` counts the numbers of a context, each of which becomes a channel of one value. For
    ``seed``, ``dtype`` and ``device`` see ``MLP``.

    >>> import torch
    >>> ConvEncoder((28, 28))(torch.zeros(5, 28, 28)).shape
    torch.Size([5, 64, 7, 7])
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        channels: Sequence[int] = (32, 64),
        residual: int = 0,
        activation: str = "relu",
        context: int = 0,
        seed: int | None = None,
        dtype: Dtype = None,
        device: Device = None,
    ) -> None:
        super().__init__()
        self.event_shape = image_shape(event_shape)
        check_channels(channels)
        self.stages = nn.Sequential()
        width = self.event_shape[0] + context
        with weight_initialisation(self, seed, dtype, device):
            for size in channels:
                self.stages.append(glorot(nn.Conv2d(width, size, 3, stride=2, padding=1)))
                self.stages.extend(ResidualBlock(size, activation) for _ in range(residual))
                self.stages.append(named(activation))
                width = size

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return self.stages(append_context_planes(x.reshape(-1, *self.event_shape), context))


class ConvDecoder(Configurable, nn.Module):
    """Transposed convolutions: codes ``[N, latent]`` to features ``[N, channels[-1], H, W]``, each side doubled per stage and cut to size.

    The stages mirror those of a ``ConvEncoder`` with as many channels. ``context`` counts the numbers of a context, which stand beside the
    code. For ``seed``, ``dtype`` and ``device`` see ``MLP``.

    >>> import torch
    >>> ConvDecoder(16, (28, 28))(torch.zeros(5, 16)).shape
    torch.Size([5, 32, 28, 28])
    """

    def __init__(
        self,
        latent: int,
        event_shape: Sequence[int],
        channels: Sequence[int] = (64, 32),
        residual: int = 0,
        activation: str = "relu",
        context: int = 0,
        seed: int | None = None,
        dtype: Dtype = None,
        device: Device = None,
    ) -> None:
        super().__init__()
        check_channels(channels)
        self.latent = latent
        sizes = halved_sizes(image_shape(event_shape)[1:], len(channels))
        self.start_shape = (channels[0], *sizes[-1])
        with weight_initialisation(self, seed, dtype, device):
            self.project = glorot(nn.Linear(latent + context, math.prod(self.start_shape)))
            self.activation = named(activation)
            self.stages = nn.Sequential()
            width = channels[0]
            for size, target in zip(channels, reversed(sizes[:-1]), strict=True):
                self.stages.append(Upsample(width, size, target))
                self.stages.extend(ResidualBlock(size, activation) for _ in range(residual))
                self.stages.append(named(activation))
                width = size

    def forward(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        start = self.project(append_context(flatten_event(z, self.latent), context))
        return self.stages(self.activation(start.reshape(-1, *self.start_shape)))


class ResNet(Configurable, nn.Module):
    """Residual blocks: images ``[N, *event_shape]`` to features ``[N, channels[-1], h, w]``, each side halved (rounded up) per stage.

    A first convolution at full size, then ``blocks`` blocks of two convolutions per stage, activation first; the first block of every
    stage but the first strides. Blocks add nothing at first, so a deep one trains as soon as a shallow one, and nothing is normalised over
    a batch: what is said of a datum depends on that datum alone. ``event_shape``, ``context`` as for ``ConvEncoder``, ``seed``, ``dtype``
    and ``device`` as for ``MLP``.

    He et al., Identity mappings in deep residual networks (2016); Zhang et al., Fixup initialization (2019).

    >>> import torch
    >>> ResNet((3, 32, 32), channels=[16, 32, 64])(torch.zeros(5, 3, 32, 32)).shape
    torch.Size([5, 64, 8, 8])
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        channels: Sequence[int] = (32, 64),
        blocks: int = 2,
        activation: str = "silu",
        context: int = 0,
        seed: int | None = None,
        dtype: Dtype = None,
        device: Device = None,
    ) -> None:
        super().__init__()
        self.event_shape = image_shape(event_shape)
        check_channels(channels)
        check_sizes("a ResNet", blocks=blocks)
        with weight_initialisation(self, seed, dtype, device):
            self.stages = nn.Sequential(
                glorot(nn.Conv2d(self.event_shape[0] + context, channels[0], 3, padding=1))
            )
            width = channels[0]
            for number, size in enumerate(channels):
                self.stages.append(
                    ResidualBlock(width, activation, size, stride=2 if number else 1)
                )
                self.stages.extend(ResidualBlock(size, activation) for _ in range(blocks - 1))
                width = size
            self.stages.append(named(activation))

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return self.stages(append_context_planes(x.reshape(-1, *self.event_shape), context))


class ResNetDecoder(Configurable, nn.Module):
    """The way back: codes ``[N, latent]`` to features ``[N, channels[-1], H, W]``, each side doubled from stage to stage and cut to size.

    The stages mirror those of a ``ResNet`` with as many channels; a side is doubled by repeating every pixel, so that all of them are made
    in the same way (Odena et al., Deconvolution and checkerboard artifacts, 2016). Arguments as for ``ConvDecoder`` and ``ResNet``.

    >>> import torch
    >>> ResNetDecoder(16, (3, 32, 32))(torch.zeros(5, 16)).shape
    torch.Size([5, 32, 32, 32])
    """

    def __init__(
        self,
        latent: int,
        event_shape: Sequence[int],
        channels: Sequence[int] = (64, 32),
        blocks: int = 2,
        activation: str = "silu",
        context: int = 0,
        seed: int | None = None,
        dtype: Dtype = None,
        device: Device = None,
    ) -> None:
        super().__init__()
        check_channels(channels)
        check_sizes("a ResNet", blocks=blocks)
        self.latent = latent
        sizes = halved_sizes(image_shape(event_shape)[1:], len(channels) - 1)
        self.start_shape = (channels[0], *sizes[-1])
        with weight_initialisation(self, seed, dtype, device):
            self.project = glorot(nn.Linear(latent + context, math.prod(self.start_shape)))
            self.stages = nn.Sequential()
            width = channels[0]
            for number, (size, target) in enumerate(zip(channels, reversed(sizes), strict=True)):
                if number:
                    self.stages.append(NearestUpsample(target))
                self.stages.append(ResidualBlock(width, activation, size))
                self.stages.extend(ResidualBlock(size, activation) for _ in range(blocks - 1))
                width = size
            self.stages.append(named(activation))

    def forward(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        start = self.project(append_context(flatten_event(z, self.latent), context))
        return self.stages(start.reshape(-1, *self.start_shape))


class Upsample(nn.Module):
    """A transposed convolution that doubles each side and cuts the last row or column where the size wanted is odd."""

    def __init__(self, inputs: int, outputs: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size
        self.conv = glorot(nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)[..., : self.size[0], : self.size[1]]


class NearestUpsample(nn.Module):
    """Every pixel four times, cut to the size wanted."""

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        return x.repeat_interleave(2, -2).repeat_interleave(2, -1)[
            ..., : self.size[0], : self.size[1]
        ]


class ResidualBlock(nn.Module):
    """``x + conv(act(conv(act(x))))``; the last convolution starts at 0, so the block starts as the identity.

    Where the number of channels changes or the block strides, a 1x1 convolution stands in for the identity.
    """

    def __init__(
        self, channels: int, activation: str, outputs: int | None = None, stride: int = 1
    ) -> None:
        super().__init__()
        outputs = channels if outputs is None else outputs
        last = nn.Conv2d(outputs, outputs, 3, padding=1)
        nn.init.zeros_(last.weight)
        if last.bias is not None:
            nn.init.zeros_(last.bias)
        first = glorot(nn.Conv2d(channels, outputs, 3, stride=stride, padding=1))
        self.branch = nn.Sequential(named(activation), first, named(activation), last)
        same = outputs == channels and stride == 1
        self.shortcut = (
            nn.Identity() if same else glorot(nn.Conv2d(channels, outputs, 1, stride=stride))
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x) + self.branch(x)


def append_context_planes(x: Tensor, context: Tensor | None) -> Tensor:
    """Images ``[N, C, H, W]`` with every number of the context ``[N, c]`` as a channel of one value behind them."""
    if context is None:
        return x
    return torch.cat([x, context[..., None, None].expand(len(x), -1, *x.shape[-2:])], 1)


def check_channels(channels: Sequence[int]) -> None:
    """Refuse a convolution without a stage, or with one of no width."""
    if not channels:
        raise ArgumentError(
            "`channels` is empty; give the width of at least one stage, as in channels=(32, 64)."
        )
    check_sizes("a convolution", **{f"channels[{i}]": size for i, size in enumerate(channels)})


def image_shape(event_shape: Sequence[int]) -> tuple[int, int, int]:
    """``(C, H, W)``, with one channel where only ``(H, W)`` is given."""
    shape = tuple(event_shape)
    if len(shape) not in (2, 3) or min(shape) < 1:
        raise ArgumentError(
            f"`event_shape` is {shape}; a convolution takes images, (height, width) or (channels, height, width)."
        )
    height, width = shape[-2:]
    return (shape[0] if len(shape) == 3 else 1, height, width)


def has_convolutions(model: nn.Module) -> bool:
    """Whether convolutions are part of the model: they take most of its time then, and compiling has not made them faster on a CPU."""
    return any(
        isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d))
        for module in model.modules()
    )


def use_channels_last(model: nn.Module) -> None:
    """Lay convolutions out with the channels last, which makes steps a tenth to a quarter faster; values and shapes stay what they are."""
    if has_convolutions(model):
        model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def halved_sizes(size: Sequence[int], times: int) -> list[tuple[int, int]]:
    """The sizes on the way down, each side halved and rounded up.

    >>> halved((28, 17), 2)
    [(28, 17), (14, 9), (7, 5)]
    """
    sizes = [(size[0], size[1])]
    for _ in range(times):
        height, width = sizes[-1]
        sizes.append(((height + 1) // 2, (width + 1) // 2))
    return sizes
