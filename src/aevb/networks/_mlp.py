"""Fully connected layers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from ..errors import ArgumentError
from ..types import Configurable
from ._activations import build_activation as named
from ._condition import check_context_size
from ._initialisation import Device, Dtype, weight_initialisation

Layer = TypeVar("Layer", nn.Linear, nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d)


class MLP(Configurable, nn.Module):
    """Fully connected layers with an activation after each: ``[*batch, *event]`` to ``[*batch, hidden[-1]]``.

    ``inputs`` counts the numbers of one event; trailing axes are flattened until they make up that many, so an image needs no reshaping.
    ``context`` counts the numbers of the context, which is appended to the input. Without hidden layers the features are the input.
    With ``activation="glu"`` every layer is gated, ``a * sigmoid(b)`` with two linear maps (Dauphin et al. 2017). ``residual`` adds to a
    layer's output its input, where both have the same width (He et al. 2016): many layers then train as easily as few.

    ``seed``, ``dtype`` and ``device`` are those of the initial weights, here and in every network: the same seed gives the same weights
    wherever they are and moves no other random stream; without one they are the next draws of the default stream.

    >>> MLP(784, [400])(torch.zeros(5, 28, 28)).shape
    torch.Size([5, 400])
    """

    def __init__(
        self,
        inputs: int,
        hidden: Sequence[int] = (),
        activation: str = "relu",
        context: int = 0,
        dropout: float = 0.0,
        residual: bool = False,
        seed: int | None = None,
        dtype: Dtype = None,
        device: Device = None,
    ) -> None:
        super().__init__()
        check_sizes(
            "an MLP", inputs=inputs, **{f"hidden[{i}]": width for i, width in enumerate(hidden)}
        )
        self.inputs, self.context = inputs, context
        self.layers = nn.Sequential()
        width = inputs + context
        with weight_initialisation(self, seed, dtype, device):
            for size in hidden:
                layer = [
                    glorot(nn.Linear(width, 2 * size if activation == "glu" else size)),
                    named(activation),
                ]
                if dropout:
                    layer.append(nn.Dropout(dropout))
                self.layers.extend(
                    [SkipConnection(*layer)] if residual and size == width else layer
                )
                width = size

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        check_context_size(context, self.context)
        return self.layers(append_context(flatten_event(x, self.inputs), context))


class SkipConnection(nn.Sequential):
    """``x + layers(x)``."""

    def forward(self, input: Tensor) -> Tensor:
        return input + super().forward(input)


def check_sizes(layer_name: str, **sizes: int) -> None:
    """Refuse sizes that no layer has."""
    for argument, value in sizes.items():
        if value < 1:
            raise ArgumentError(f"`{argument}` of {layer_name} is {value}; give at least 1.")


def flatten_event(x: Tensor, size: int) -> Tensor:
    """Merge trailing axes until they hold ``size`` numbers: ``[*batch, *event]`` to ``[*batch, size]``."""
    if x.shape[-1] == size:
        return x
    for axes in range(2, x.dim() + 1):
        if math.prod(x.shape[-axes:]) == size:
            return x.flatten(-axes)
    raise ArgumentError(
        f"the network takes {size} numbers per datum, got a tensor of shape {tuple(x.shape)}; build it with inputs=N."
    )


def append_context(x: Tensor, context: Tensor | None) -> Tensor:
    """``[*batch, D]`` with the context ``[*batch, C]`` behind it."""
    return x if context is None else torch.cat([x, context.expand(*x.shape[:-1], -1)], -1)


def glorot(layer: Layer) -> Layer:
    """Uniform weights of Glorot and Bengio (2010), and biases of 0."""
    nn.init.xavier_uniform_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
