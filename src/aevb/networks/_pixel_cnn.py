"""Masked convolutions: each pixel depends on the pixels before it in raster order."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .._registry import register
from ..errors import ArgumentError
from ..types import Configurable
from ._conv import image_shape
from ._initialisation import Device, Dtype, weight_initialisation
from ._mlp import check_sizes, glorot
from ._registration import NetworkRegistration

LEVEL_EMBEDDING_WIDTH = 8  # size of an embedded level


@register(
    NetworkRegistration(
        kind="decoder",
        events=("image",),
        paper="van den Oord et al. (2016)",
        use_when="pixels depend on each other given the latent",
        cost="one pass per pixel to draw",
        avoid_when="the latent should hold all information",
    )
)
class PixelCNN(Configurable, nn.Module):
    """Gated PixelCNN: images and conditions to parameters ``[N, C, parameters, H, W]``.

    The parameters of a pixel depend on the rows above, the pixels to its left and its own preceding
    channels, so that one pass gives every factor of ``p(x|h) = prod_d p(x_d | x_1 ... x_(d-1),
    h_d)``. Two stacks leave no blind spot: the vertical stack reads the rows above without the
    condition, so that one pass serves all conditions of an image; the horizontal stack reads the
    row. van den Oord et al., Conditional image generation with PixelCNN decoders (2016).

    Args:
        event_shape: ``(H, W)`` or ``(C, H, W)``.
        parameters: Number of parameters per pixel and channel.
        condition: Number of channels of the condition ``[N, condition, H, W]``.
        levels: Number of levels; pixels are 0 ... levels-1.
        embed_levels: Whether levels are embedded as vectors; otherwise they are read as numbers.
        features: Number of features per channel and pixel.
        layers: Number of layers.
        kernel: Odd kernel size from 3 on; a layer sees ``kernel // 2`` pixels in every permitted
            direction.
        seed: Seed of the initial weights, which moves no other random stream; ``None``: the default
            stream.
        dtype: Precision of the weights, ``"float32"`` or ``"float64"``; ``None``: the default
            precision.
        device: Device of the weights; ``None``: the CPU.

    Raises:
        ArgumentError: The kernel is even or below 3, or a size is below 1.

    Example:
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
            self, parameters=parameters, condition=condition, features=features, layers=layers
        )
        if kernel < 3 or kernel % 2 == 0:
            raise ArgumentError(
                "give an odd number from 3 on, so that the pixel is in the middle",
                argument="kernel",
                value=kernel,
            )
        with weight_initialisation(self, seed, dtype, device):
            embedding = LevelEmbedding(image_shape(event_shape), levels, embed_levels)
            self.vertical = VerticalStack(embedding, features * channels, layers, kernel // 2)
            self.horizontal = HorizontalStack(
                embedding, features, layers, kernel // 2, condition, parameters
            )

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        return self.horizontal(x, self.vertical(x), condition)


class LevelEmbedding(nn.Module):
    """Images ``[N, *event]`` of levels to convolution input ``[N, C * width, H, W]``."""

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
    """The vertical stack: features ``[N, 2 * width, H, W]`` per layer from the rows above."""

    def __init__(self, embedding: LevelEmbedding, width: int, layers: int, radius: int) -> None:
        super().__init__()
        self.embedding, self.padding, self.receptive_radius = embedding, radius, radius * layers
        inputs = embedding.channels * embedding.width
        # the kernel of the first layer excludes the row itself
        first = glorot(nn.Conv2d(inputs, 2 * width, (radius, 2 * radius + 1)))
        later = [
            glorot(nn.Conv2d(width, 2 * width, (radius + 1, 2 * radius + 1)))
            for _ in range(layers - 1)
        ]
        self.layers = nn.ModuleList([first, *later])
        self.to_horizontal = nn.ModuleList(
            glorot(nn.Conv2d(2 * width, 2 * width, 1)) for _ in range(layers)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        features, outputs = self.embedding(x), []
        for layer, projection in zip(self.layers, self.to_horizontal, strict=True):
            padded = F.pad(features, (self.padding, self.padding, self.padding, 0))
            wide = layer(padded)[..., : x.shape[-2], :]
            outputs.append(projection(wide))
            features = gated_activation(wide)
        return outputs


class HorizontalStack(nn.Module):
    """The horizontal stack, fed by ``VerticalStack``: ``[N, C, parameters, H, W]``."""

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
        features, state = self.embedding(x), None
        for layer, output, bias, above in zip(
            self.layers, self.output_convs, self.condition_convs, vertical, strict=True
        ):
            wide = layer(F.pad(features, (self.padding, 0))) + above + bias(condition)
            step = output(gated_activation(wide))
            features = state = step if state is None else state + step
        raw = self.head(F.silu(features)) + self.condition_skip(condition)
        return raw.unflatten(1, (self.embedding.channels, -1))


class MaskedConv2d(nn.Module):
    """A convolution along a row; its last tap sees preceding channels of the pixel only.

    With ``include_self`` the last tap also sees the output's own channel. Inputs and outputs are
    ordered by channel, the outputs in ``n_blocks`` blocks.
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
