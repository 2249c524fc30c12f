"""Images from coarse to fine: what the prior, the posterior and the decoder of a hierarchy of latent images have in common."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import torch
from torch import Size, Tensor, nn
from torch.distributions import Independent, constraints

from ..distributions import gaussian, to_scale
from ..distributions._chain import LayerSignature, LayerTrace
from ..errors import ArgumentError
from ..types import Configurable
from ._activations import build_activation as named
from ._conv import (
    NearestUpsample,
    ResidualBlock,
    append_context_planes,
    check_channels,
    halved_sizes,
    image_shape,
)
from ._heads import Heads, MixedPrecisionModule
from ._initialisation import Device, Dtype, weight_initialisation
from ._mlp import check_sizes, glorot

TopDownValueFn = Callable[
    [int, Independent, Tensor], Tensor
]  # a layer's number, its prior and the features there to its value [N, C, h, w]


class Conv(Configurable, nn.Module):
    """An activation and a convolution: features ``[N, inputs, H, W]`` to ``[N, outputs, H, W]``.

    >>> Conv(8, 4)(torch.zeros(5, 8, 3, 3)).shape
    torch.Size([5, 4, 3, 3])
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        size: int = 3,
        activation: str = "silu",
        seed: int | None = None,
        dtype: Dtype = None,
        device: Device = None,
    ) -> None:
        super().__init__()
        check_sizes("a convolution", inputs=inputs, outputs=outputs, size=size)
        self.activation = named(activation)
        with weight_initialisation(self, seed, dtype, device):
            self.conv = glorot(nn.Conv2d(inputs, outputs, size, padding=size // 2))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.activation(x))


class Pyramid(Configurable, MixedPrecisionModule):
    """Images ``[N, *event_shape]`` to features at every size: ``[N, channels[0], H/2, W/2]``, ``[N, channels[1], H/4, W/4]`` and so on.

    Sides are rounded up. Each stage is a strided convolution and ``blocks`` residual blocks. ``context`` counts the numbers of a context,
    each of which becomes a channel of one value. The encoder of ``posteriors.TopDown``.

    >>> [tuple(features.shape) for features in Pyramid((28, 28), [8, 16])(torch.zeros(5, 28, 28))]
    [(5, 8, 14, 14), (5, 16, 7, 7)]
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        channels: Sequence[int] = (32, 64),
        blocks: int = 1,
        activation: str = "silu",
        context: int = 0,
        seed: int | None = None,
        dtype: Dtype = None,
        device: Device = None,
    ) -> None:
        super().__init__()
        self.event_shape = image_shape(event_shape)
        check_channels(channels)
        widths = [self.event_shape[0] + context, *channels]
        with weight_initialisation(self, seed, dtype, device):
            self.stages = nn.ModuleList(
                nn.Sequential(
                    glorot(nn.Conv2d(before, width, 3, stride=2, padding=1)),
                    *(ResidualBlock(width, activation) for _ in range(blocks)),
                )
                for before, width in itertools.pairwise(widths)
            )

    def forward(self, x: Tensor, context: Tensor | None = None) -> list[Tensor]:
        found = [append_context_planes(x.reshape(-1, *self.event_shape), context)]
        with self.autocast(x):
            for stage in self.stages:
                found.append(stage(found[-1]))
        return found[1:]


class TopDown(Configurable, MixedPrecisionModule):
    """``layers`` latent images of ``latent`` channels at every size of a ``Pyramid``, from the smallest to features of the whole image.

    At each layer the features ``h`` say what is expected, ``p(z_i | layers elbo_before) = N(mu(h), sigma(h)^2)``, and take up the value:
    ``h + f(h) + W z_i``, then a residual block. It begins with learned features, to which a ``context`` of so many numbers adds. Layers are
    numbered from the data up: layer 1 is the last one on the way. ``features`` ``[N, channels[0], H, W]`` are where it leads.

    Vahdat and Kautz, NVAE (2020); Child, Very deep VAEs (2021). Raises ``ArgumentError`` for sizes below 1.

    >>> trunk = TopDown((28, 28), [8, 16], latent=2, layers=1)
    >>> trunk(5, None, lambda i, p, h: p.sample()).features.shape
    torch.Size([5, 8, 28, 28])
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        channels: Sequence[int] = (32, 64),
        latent: int = 4,
        layers: int = 2,
        activation: str = "silu",
        context: int = 0,
        seed: int | None = None,
        dtype: Dtype = None,
        device: Device = None,
    ) -> None:
        super().__init__()
        check_channels(channels)
        check_sizes("a hierarchy", latent=latent, layers=layers)
        self.activation, self.context = activation, context
        sizes = halved_sizes(image_shape(event_shape)[1:], len(channels))
        self.stages = [
            stage for stage in range(len(channels)) for _ in range(layers)
        ]  # of each layer, from the data up
        self.widths = [channels[stage] for stage in self.stages]
        shapes = tuple(Size((latent, *sizes[stage + 1])) for stage in self.stages)
        numbers = tuple(shape.numel() for shape in shapes)
        self.signature = LayerSignature(
            shapes, numbers, tuple(constraints.real for _ in shapes), has_rsample=True
        )
        with weight_initialisation(self, seed, dtype, device):
            self.start = nn.Parameter(0.1 * torch.randn(channels[-1], *sizes[-1]))
            self.context_projection = glorot(nn.Linear(context, channels[-1])) if context else None
            self.blocks = nn.ModuleList(
                _TopDownBlock(width, shape, activation)
                for width, shape in zip(self.widths, shapes, strict=True)
            )
            below = [channels[0], *channels]
            self.upsampling = nn.ModuleList(
                nn.Sequential(
                    glorot(nn.Conv2d(width, below[stage], 1)), NearestUpsample(sizes[stage])
                )
                for stage, width in enumerate(channels)
            )

    def forward(
        self, n_points: int, context: Tensor | None, layer_value: TopDownValueFn
    ) -> LayerTrace:
        """The passage of so many points, ``context`` ``[N, C]``; ``meet`` decides on the value of each layer."""
        h = self._initial_features(n_points, context)
        found: list[Independent] = []
        values: list[Tensor] = []
        for i in reversed(range(len(self.blocks))):
            block = self.blocks[i]
            loc, raw, further = block.prior_head(h)  # pyright: ignore[reportCallIssue]
            found.insert(0, gaussian(loc, to_scale(raw)))
            values.insert(0, layer_value(i, found[0], h))
            with self.autocast(h):
                h = block(h + further, values[0])
                if i == 0 or self.stages[i - 1] != self.stages[i]:
                    h = self.upsampling[self.stages[i]](h)
        return LayerTrace(
            tuple(found), tuple(values), features=h.to(torch.promote_types(h.dtype, torch.float32))
        )

    def _initial_features(self, n_points: int, context: Tensor | None) -> Tensor:
        h = self.start.expand(n_points, *self.start.shape)
        if (context is None) == (self.context_projection is None):
            return (
                h
                if self.context_projection is None
                else h + self.context_projection(context)[..., None, None]
            )
        given = 0 if context is None else context.shape[-1]
        raise ArgumentError(
            f"`networks.TopDown` takes {self.context} numbers of context, and was given {given}: build it with context={given}."
        )


class _TopDownBlock(nn.Module):
    """One layer: what is expected of it, and how features take up its value."""

    def __init__(self, width: int, shape: Size, activation: str) -> None:
        super().__init__()
        seen = nn.Sequential(
            named(activation), glorot(nn.Conv2d(width, width, 3, padding=1)), named(activation)
        )
        self.prior_head = Heads(seen, shape, shape, (width, *shape[1:]))
        self.project = glorot(nn.Conv2d(shape[0], width, 1))
        self.residual = ResidualBlock(width, activation)

    def forward(self, h: Tensor, z: Tensor) -> Tensor:
        return self.residual(h + self.project(z))
