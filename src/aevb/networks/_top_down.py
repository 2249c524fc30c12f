"""Networks of hierarchies of latent images, from coarse to fine."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import torch
from torch import Size, Tensor, nn
from torch.distributions import Independent, constraints

from .._registry import register
from ..distributions import gaussian, to_scale
from ..distributions._chain import LayerSignature, LayerTrace
from ..errors import ArgumentError
from ..notes import Argument, Part, message
from ..types import Configurable
from ._activations import build_activation
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
from ._mlp import check_dropout, check_sizes, glorot
from ._registration import NetworkRegistration

# number of a layer, its prior and its features to its value [N, C, h, w]
TopDownValueFn = Callable[[int, Independent, Tensor], Tensor]


@register(
    NetworkRegistration(
        kind="any",
        events=("image",),
        use_when="a decoder ends in a convolution of given features",
        cost="one convolution",
        avoid_when="features are vectors",
    )
)
class Conv(Configurable, nn.Module):
    """An activation and a convolution: features ``[N, inputs, H, W]`` to ``[N, outputs, H, W]``.

    Args:
        inputs: Number of input channels.
        outputs: Number of output channels.
        size: Kernel size.
        activation: Name of the activation: ``"relu"``, ``"tanh"``, ``"gelu"``, ``"silu"``,
            ``"elu"``, ``"softplus"`` or ``"glu"``.
        seed: Seed of the initial weights, which moves no other random stream; ``None``: the default
            stream.
        dtype: Precision of the weights, ``"float32"`` or ``"float64"``; ``None``: the default
            precision.
        device: Device of the weights; ``None``: the CPU.

    Raises:
        ArgumentError: A size is below 1.

    Example:
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
        check_sizes(self, inputs=inputs, outputs=outputs, size=size)
        self.activation = build_activation(activation)
        with weight_initialisation(self, seed, dtype, device):
            self.conv = glorot(nn.Conv2d(inputs, outputs, size, padding=size // 2))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.activation(x))


@register(
    NetworkRegistration(
        kind="encoder",
        events=("image",),
        use_when="the posterior is a top-down hierarchy",
        cost="that of a ConvEncoder with residual blocks",
        avoid_when="there is one layer of latents",
    )
)
class Pyramid(Configurable, MixedPrecisionModule):
    """Images ``[N, *event_shape]`` to features at every size.

    The features are ``[N, channels[0], H / 2, W / 2]``, ``[N, channels[1], H / 4, W / 4]`` and so
    on.

    Sides are rounded up. A stage is a strided convolution and residual blocks. Every context value
    becomes a constant input channel. The encoder of ``posteriors.TopDown``.

    Args:
        event_shape: ``(H, W)`` or ``(C, H, W)``.
        channels: Number of channels of each stage.
        blocks: Number of residual blocks per stage.
        activation: Name of the activation: ``"relu"``, ``"tanh"``, ``"gelu"``, ``"silu"``,
            ``"elu"``, ``"softplus"`` or ``"glu"``.
        context: Number of context values per row; 0: the network takes no context.
        dropout: Dropout probability after each residual branch.
        seed: Seed of the initial weights, which moves no other random stream; ``None``: the default
            stream.
        dtype: Precision of the weights, ``"float32"`` or ``"float64"``; ``None``: the default
            precision.
        device: Device of the weights; ``None``: the CPU.

    Raises:
        ArgumentError: ``event_shape`` is no image, or a size is below 1.

    Example:
        >>> [
        ...     tuple(features.shape)
        ...     for features in Pyramid((28, 28), [8, 16])(torch.zeros(5, 28, 28))
        ... ]
        [(5, 8, 14, 14), (5, 16, 7, 7)]
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        channels: Sequence[int] = (32, 64),
        blocks: int = 1,
        activation: str = "silu",
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
        widths = [self.event_shape[0] + context, *channels]
        with weight_initialisation(self, seed, dtype, device):
            self.stages = nn.ModuleList(
                nn.Sequential(
                    glorot(nn.Conv2d(before, width, 3, stride=2, padding=1)),
                    *(ResidualBlock(width, activation, dropout=dropout) for _ in range(blocks)),
                )
                for before, width in itertools.pairwise(widths)
            )

    def forward(self, x: Tensor, context: Tensor | None = None) -> list[Tensor]:
        features = [append_context_planes(x.reshape(-1, *self.event_shape), context)]
        with self.autocast(x):
            for stage in self.stages:
                features.append(stage(features[-1]))
        return features[1:]


@register(
    NetworkRegistration(
        kind="decoder",
        events=("image",),
        paper="Vahdat and Kautz (2020); Child (2021)",
        use_when="the model is a hierarchy of latent images",
        cost="a pass through all layers",
        avoid_when="there is one layer of latents",
    )
)
class TopDown(Configurable, MixedPrecisionModule):
    """Top-down network of a hierarchy of latent images, from the coarsest to the full image.

    The features ``h`` of a layer give its prior ``p(z_i | layers before) = N(mu(h), sigma(h)^2)``
    and are updated with its value, ``h + f(h) + W z_i``, followed by a residual block. The first
    features are learned; a context is added to them. Layers are numbered from the data up, so layer
    1 comes last. The pass ends with features ``[N, channels[0], H, W]``. Vahdat and Kautz, NVAE
    (2020); Child, Very deep VAEs (2021).

    Args:
        event_shape: ``(H, W)`` or ``(C, H, W)``.
        channels: Number of channels of each size, as for ``Pyramid``.
        latent: Number of channels of each latent image.
        layers: Number of latent images at each size.
        activation: Name of the activation: ``"relu"``, ``"tanh"``, ``"gelu"``, ``"silu"``,
            ``"elu"``, ``"softplus"`` or ``"glu"``.
        context: Number of context values per row; 0: the network takes no context.
        dropout: Dropout probability after each residual branch.
        seed: Seed of the initial weights, which moves no other random stream; ``None``: the default
            stream.
        dtype: Precision of the weights, ``"float32"`` or ``"float64"``; ``None``: the default
            precision.
        device: Device of the weights; ``None``: the CPU.

    Raises:
        ArgumentError: ``event_shape`` is no image, or a size is below 1; at a call, the context has
            another size.

    Example:
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
        dropout: float = 0.0,
        seed: int | None = None,
        dtype: Dtype = None,
        device: Device = None,
    ) -> None:
        super().__init__()
        check_channels(self, channels)
        check_dropout(dropout)
        check_sizes(self, latent=latent, layers=layers)
        self.activation, self.context = activation, context
        sizes = halved_sizes(image_shape(event_shape)[1:], len(channels))
        # the stage of each layer, from the data up
        self.stages = [stage for stage in range(len(channels)) for _ in range(layers)]
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
                _TopDownBlock(width, shape, activation, dropout)
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
        """Pass through all layers.

        Args:
            n_points: Number of points, N.
            context: Context ``[N, C]``.
            layer_value: Maps the number of a layer, its prior and its features to the value of the
                layer.

        Returns:
            The priors, the values and the final features.
        """
        h = self._initial_features(n_points, context)
        layers: list[Independent] = []
        values: list[Tensor] = []
        for i in reversed(range(len(self.blocks))):
            block = self.blocks[i]
            assert isinstance(block, _TopDownBlock)
            loc, raw, update = block.prior_head(h)
            layers.insert(0, gaussian(loc, to_scale(raw)))
            values.insert(0, layer_value(i, layers[0], h))
            with self.autocast(h):
                h = block(h + update, values[0])
                if i == 0 or self.stages[i - 1] != self.stages[i]:
                    h = self.upsampling[self.stages[i]](h)
        features = h.to(torch.promote_types(h.dtype, torch.float32))
        return LayerTrace(tuple(layers), tuple(values), features=features)

    def _initial_features(self, n_points: int, context: Tensor | None) -> Tensor:
        h = self.start.expand(n_points, *self.start.shape)
        if (context is None) == (self.context_projection is None):
            return (
                h
                if self.context_projection is None
                else h + self.context_projection(context)[..., None, None]
            )
        width = 0 if context is None else context.shape[-1]
        raise ArgumentError(
            message(
                f"{{network}} takes {self.context} context values, and received {width}",
                network=Part("networks.TopDown"),
            ),
            argument="context",
            suggestions=(message("Build it with {context}", context=Argument("context", width)),),
        )


class _TopDownBlock(nn.Module):
    """One layer: its prior head, and the update of the features with its value."""

    def __init__(self, width: int, shape: Size, activation: str, dropout: float) -> None:
        super().__init__()
        features = nn.Sequential(
            build_activation(activation),
            glorot(nn.Conv2d(width, width, 3, padding=1)),
            build_activation(activation),
        )
        self.prior_head = Heads(features, shape, shape, (width, *shape[1:]))
        self.project = glorot(nn.Conv2d(shape[0], width, 1))
        self.residual = ResidualBlock(width, activation, dropout=dropout)

    def forward(self, h: Tensor, z: Tensor) -> Tensor:
        return self.residual(h + self.project(z))
