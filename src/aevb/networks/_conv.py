"""Convolutional networks for images of any size and any number of channels."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .._registry import register
from ..errors import ArgumentError
from ..notes import Argument, message
from ..types import Configurable
from ._activations import build_activation
from ._initialisation import Device, Dtype, weight_initialisation
from ._mlp import append_context, check_dropout, check_sizes, flatten_event, glorot
from ._registration import NetworkRegistration


@register(
    NetworkRegistration(
        kind="encoder",
        events=("image",),
        use_when="data are images of any size",
        cost="several times an MLP on a CPU",
        avoid_when="columns have no spatial order",
    )
)
class ConvEncoder(Configurable, nn.Module):
    """Strided convolutions: images ``[N, *event_shape]`` to features ``[N, channels[-1], h, w]``.

    Each stage halves the sides (rounded up). Every context value becomes a constant input channel.

    Args:
        event_shape: ``(H, W)`` or ``(C, H, W)``.
        channels: Number of channels of each stage.
        residual: Number of residual blocks after each stage (He et al., 2016, pre-activation).
        activation: Name of the activation: ``"relu"``, ``"tanh"``, ``"gelu"``, ``"silu"``,
            ``"elu"``, ``"softplus"`` or ``"glu"``.
        context: Number of context values per row; 0: the network takes no context.
        dropout: Dropout probability after each stage.
        seed: Seed of the initial weights, which moves no other random stream; ``None``: the default
            stream.
        dtype: Precision of the weights, ``"float32"`` or ``"float64"``; ``None``: the default
            precision.
        device: Device of the weights; ``None``: the CPU.

    Raises:
        ArgumentError: ``event_shape`` is no image, or a size is below 1.

    Example:
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
        dropout: float = 0.0,
        seed: int | None = None,
        dtype: Dtype = None,
        device: Device = None,
    ) -> None:
        super().__init__()
        self.event_shape = image_shape(event_shape)
        check_channels(self, channels)
        check_dropout(dropout)
        self.stages = nn.Sequential()
        width = self.event_shape[0] + context
        with weight_initialisation(self, seed, dtype, device):
            for size in channels:
                self.stages.append(glorot(nn.Conv2d(width, size, 3, stride=2, padding=1)))
                self.stages.extend(ResidualBlock(size, activation) for _ in range(residual))
                self.stages.append(build_activation(activation))
                if dropout:
                    self.stages.append(nn.Dropout(dropout))
                width = size

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return self.stages(append_context_planes(x.reshape(-1, *self.event_shape), context))


@register(
    NetworkRegistration(
        kind="decoder",
        events=("image",),
        use_when="data are images of any size",
        cost="several times an MLP on a CPU",
        avoid_when="columns have no spatial order",
    )
)
class ConvDecoder(Configurable, nn.Module):
    """Transposed convolutions: latents ``[N, latent]`` to features ``[N, channels[-1], H, W]``.

    Each stage doubles the sides and crops them to size; the stages mirror those of a
    ``ConvEncoder``. The context is concatenated to the latent.

    Args:
        latent: Number of latent values.
        event_shape: ``(H, W)`` or ``(C, H, W)``.
        channels: Number of channels of each stage.
        residual: Number of residual blocks after each stage (He et al., 2016, pre-activation).
        activation: Name of the activation: ``"relu"``, ``"tanh"``, ``"gelu"``, ``"silu"``,
            ``"elu"``, ``"softplus"`` or ``"glu"``.
        context: Number of context values per row; 0: the network takes no context.
        dropout: Dropout probability after each stage.
        seed: Seed of the initial weights, which moves no other random stream; ``None``: the default
            stream.
        dtype: Precision of the weights, ``"float32"`` or ``"float64"``; ``None``: the default
            precision.
        device: Device of the weights; ``None``: the CPU.

    Raises:
        ArgumentError: ``event_shape`` is no image, or a size is below 1.

    Example:
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
        dropout: float = 0.0,
        seed: int | None = None,
        dtype: Dtype = None,
        device: Device = None,
    ) -> None:
        super().__init__()
        check_channels(self, channels)
        check_dropout(dropout)
        self.latent = latent
        sizes = halved_sizes(image_shape(event_shape)[1:], len(channels))
        self.start_shape = (channels[0], *sizes[-1])
        with weight_initialisation(self, seed, dtype, device):
            self.project = glorot(nn.Linear(latent + context, math.prod(self.start_shape)))
            self.activation = build_activation(activation)
            self.stages = nn.Sequential()
            width = channels[0]
            for size, target in zip(channels, reversed(sizes[:-1]), strict=True):
                self.stages.append(Upsample(width, size, target))
                self.stages.extend(ResidualBlock(size, activation) for _ in range(residual))
                self.stages.append(build_activation(activation))
                if dropout:
                    self.stages.append(nn.Dropout(dropout))
                width = size

    def forward(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        start = self.project(append_context(flatten_event(z, self.latent), context))
        return self.stages(self.activation(start.reshape(-1, *self.start_shape)))


@register(
    NetworkRegistration(
        kind="encoder",
        events=("image",),
        paper="He et al. (2016)",
        use_when="images are large or detailed, and a GPU is available",
        cost="several times a ConvEncoder",
        avoid_when="training runs on a CPU",
    )
)
class ResNet(Configurable, nn.Module):
    """Residual network: images ``[N, *event_shape]`` to features ``[N, channels[-1], h, w]``.

    A convolution at full size, then ``blocks`` pre-activation blocks per stage; every stage after
    the first halves the sides (rounded up). Blocks start as the identity, so that deep networks
    train as readily as shallow ones. There is no batch normalisation: the features of a row depend
    on this row only. He et al., Identity mappings in deep residual networks (2016); Zhang et al.,
    Fixup initialization (2019).

    Args:
        event_shape: ``(H, W)`` or ``(C, H, W)``.
        channels: Number of channels of each stage.
        blocks: Number of blocks per stage.
        activation: Name of the activation: ``"relu"``, ``"tanh"``, ``"gelu"``, ``"silu"``,
            ``"elu"``, ``"softplus"`` or ``"glu"``.
        context: Number of context values per row; 0: the network takes no context.
        seed: Seed of the initial weights, which moves no other random stream; ``None``: the default
            stream.
        dtype: Precision of the weights, ``"float32"`` or ``"float64"``; ``None``: the default
            precision.
        device: Device of the weights; ``None``: the CPU.

    Raises:
        ArgumentError: ``event_shape`` is no image, or a size is below 1.

    Example:
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
        check_channels(self, channels)
        check_sizes(self, blocks=blocks)
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
            self.stages.append(build_activation(activation))

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return self.stages(append_context_planes(x.reshape(-1, *self.event_shape), context))


@register(
    NetworkRegistration(
        kind="decoder",
        events=("image",),
        paper="He et al. (2016)",
        use_when="images are large or detailed, and a GPU is available",
        cost="several times a ConvDecoder",
        avoid_when="training runs on a CPU",
    )
)
class ResNetDecoder(Configurable, nn.Module):
    """Residual network: latents ``[N, latent]`` to features ``[N, channels[-1], H, W]``.

    The stages mirror those of a ``ResNet``. Sides are doubled by nearest-neighbour upsampling,
    which avoids checkerboard artifacts (Odena et al., Deconvolution and checkerboard artifacts,
    2016), and cropped to size.

    Args:
        latent: Number of latent values.
        event_shape: ``(H, W)`` or ``(C, H, W)``.
        channels: Number of channels of each stage.
        blocks: Number of blocks per stage.
        activation: Name of the activation: ``"relu"``, ``"tanh"``, ``"gelu"``, ``"silu"``,
            ``"elu"``, ``"softplus"`` or ``"glu"``.
        context: Number of context values per row; 0: the network takes no context.
        seed: Seed of the initial weights, which moves no other random stream; ``None``: the default
            stream.
        dtype: Precision of the weights, ``"float32"`` or ``"float64"``; ``None``: the default
            precision.
        device: Device of the weights; ``None``: the CPU.

    Raises:
        ArgumentError: ``event_shape`` is no image, or a size is below 1.

    Example:
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
        check_channels(self, channels)
        check_sizes(self, blocks=blocks)
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
            self.stages.append(build_activation(activation))

    def forward(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        start = self.project(append_context(flatten_event(z, self.latent), context))
        return self.stages(start.reshape(-1, *self.start_shape))


class Upsample(nn.Module):
    """A transposed convolution that doubles each side, cropped to ``size``."""

    def __init__(self, inputs: int, outputs: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size
        self.conv = glorot(nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)[..., : self.size[0], : self.size[1]]


class NearestUpsample(nn.Module):
    """Nearest-neighbour upsampling by 2, cropped to ``size``."""

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        return x.repeat_interleave(2, -2).repeat_interleave(2, -1)[
            ..., : self.size[0], : self.size[1]
        ]


class ResidualBlock(nn.Module):
    """``x + conv(act(conv(act(x))))``.

    The last convolution starts at 0, so the block is the identity.

    Where the number of channels or the size changes, a 1x1 convolution replaces the identity.
    """

    def __init__(
        self,
        channels: int,
        activation: str,
        outputs: int | None = None,
        stride: int = 1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        outputs = channels if outputs is None else outputs
        last = nn.Conv2d(outputs, outputs, 3, padding=1)
        nn.init.zeros_(last.weight)
        if last.bias is not None:
            nn.init.zeros_(last.bias)
        first = glorot(nn.Conv2d(channels, outputs, 3, stride=stride, padding=1))
        self.branch = nn.Sequential(
            build_activation(activation), first, build_activation(activation), last
        )
        self.dropout = nn.Dropout(dropout)
        same = outputs == channels and stride == 1
        self.shortcut = (
            nn.Identity() if same else glorot(nn.Conv2d(channels, outputs, 1, stride=stride))
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x) + self.dropout(self.branch(x))


def append_context_planes(x: Tensor, context: Tensor | None) -> Tensor:
    """Append every context value ``[N, c]`` to images ``[N, C, H, W]`` as a constant channel."""
    if context is None:
        return x
    return torch.cat([x, context[..., None, None].expand(len(x), -1, *x.shape[-2:])], 1)


def check_channels(network: nn.Module, channels: Sequence[int]) -> None:
    """Check that there is a stage, and that every stage has channels."""
    if not channels:
        raise ArgumentError(
            "give the number of channels of at least one stage",
            argument="channels",
            value=channels,
            suggestions=(message("Write {channels}", channels=Argument("channels", (32, 64))),),
        )
    check_sizes(network, channels=channels)


def image_shape(event_shape: Sequence[int]) -> tuple[int, int, int]:
    """``(C, H, W)``; ``(H, W)`` means one channel."""
    shape = tuple(event_shape)
    if len(shape) not in (2, 3) or min(shape) < 1:
        raise ArgumentError(
            "a convolution takes images, (height, width) or (channels, height, width)",
            argument="event_shape",
            value=shape,
        )
    height, width = shape[-2:]
    return (shape[0] if len(shape) == 3 else 1, height, width)


def has_convolutions(model: nn.Module) -> bool:
    """Whether a model contains convolutions.

    They take most of its time, and compilation does not make them faster on a CPU.

    Args:
        model: The model.

    Returns:
        Whether a layer of the model is a convolution.
    """
    return any(
        isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d))
        for module in model.modules()
    )


def use_channels_last(model: nn.Module) -> None:
    """Store convolution weights with the channels last: steps take 10 to 25 % less time.

    Values and shapes do not change.

    Args:
        model: The model, changed in place.
    """
    if has_convolutions(model):
        model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def halved_sizes(size: Sequence[int], times: int) -> list[tuple[int, int]]:
    """Sizes of an image that is halved ``times`` times, rounded up.

    Example:
        >>> halved_sizes((28, 17), 2)
        [(28, 17), (14, 9), (7, 5)]
    """
    sizes = [(size[0], size[1])]
    for _ in range(times):
        height, width = sizes[-1]
        sizes.append(((height + 1) // 2, (width + 1) // 2))
    return sizes
