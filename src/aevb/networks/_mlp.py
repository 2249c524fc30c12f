"""Fully connected networks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from .._registry import register
from ..errors import MAX_COUNT, ArgumentError
from ..notes import Argument, Part, message
from ..types import Configurable
from ._activations import build_activation
from ._condition import check_context_size
from ._initialisation import Device, Dtype, weight_initialisation
from ._registration import NetworkRegistration

Layer = TypeVar("Layer", nn.Linear, nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d)


@register(
    NetworkRegistration(
        use_when="data are tables or small images",
        cost="the fastest network",
        avoid_when="images are large or sequences differ in length",
        events=("vector", "image"),
    )
)
class MLP(Configurable, nn.Module):
    """Fully connected layers with activations: ``[*batch, *event]`` to ``[*batch, hidden[-1]]``.

    Trailing axes are flattened until they hold ``inputs`` numbers, so that images need no
    reshaping. The context is appended to the input. Without hidden layers the features are the
    input.

    Args:
        inputs: Number of values of one event.
        hidden: Widths of the layers.
        activation: Name of the activation: ``"relu"``, ``"tanh"``, ``"gelu"``, ``"silu"``,
            ``"elu"``, ``"softplus"``, or ``"glu"`` for gated layers ``a * sigmoid(b)`` with two
            linear maps (Dauphin et al., 2017).
        context: Number of context values per row; 0: the network takes no context.
        dropout: Dropout probability after each layer.
        residual: Whether a layer adds its input to its output where both have the same width (He et
            al., 2016); deep networks then train more readily.
        skip: Whether the input, with the context, is appended to the features, so that what is
            linear in the features contains a linear map of the input.
        seed: Seed of the initial weights, which moves no other random stream; ``None``: the default
            stream.
        dtype: Precision of the weights, ``"float32"`` or ``"float64"``; ``None``: the default
            precision.
        device: Device of the weights; ``None``: the CPU.

    Raises:
        ArgumentError: A size is below 1, ``dropout`` is no probability below 1, an argument is
            unknown, or, at a call, the input has
            another size.

    Attributes:
        linear_inputs: Number of the last features that are the input itself; 0 without ``skip``.

    Example:
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
        skip: bool = False,
        seed: int | None = None,
        dtype: Dtype = None,
        device: Device = None,
    ) -> None:
        super().__init__()
        check_sizes(self, inputs=inputs, hidden=hidden)
        check_dropout(dropout)
        self.inputs, self.context = inputs, context
        self.layers = nn.Sequential()
        width = inputs + context
        self.skip = skip and len(hidden) > 0  # without hidden layers the features are the input
        self.linear_inputs = width if skip else 0
        with weight_initialisation(self, seed, dtype, device):
            for size in hidden:
                layer = [
                    glorot(nn.Linear(width, 2 * size if activation == "glu" else size)),
                    build_activation(activation),
                ]
                if dropout:
                    layer.append(nn.Dropout(dropout))
                self.layers.extend(
                    [SkipConnection(*layer)] if residual and size == width else layer
                )
                width = size

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        check_context_size(context, self.context)
        flat = append_context(flatten_event(x, self.inputs), context)
        features = self.layers(flat)
        return torch.cat([features, flat], -1) if self.skip else features


class SkipConnection(nn.Sequential):
    """``x + layers(x)``."""

    def forward(self, input: Tensor) -> Tensor:
        return input + super().forward(input)


def check_sizes(network: nn.Module, **sizes: int | Sequence[int]) -> None:
    """Check that every size is at least 1, and not absurdly large."""
    for argument, size in sizes.items():
        listed = size if isinstance(size, Sequence) else (size,)
        if not all(1 <= each <= MAX_COUNT for each in listed):
            name = Part(f"networks.{type(network).__name__}")
            reason = message("the sizes of {network} must be from 1 to a billion", network=name)
            raise ArgumentError(reason, argument=argument, value=size)


def check_dropout(dropout: float) -> None:
    """Check that a part of the units is left."""
    if not 0 <= dropout < 1:
        raise ArgumentError("give a probability below 1", argument="dropout", value=dropout)


def flatten_event(x: Tensor, size: int) -> Tensor:
    """Flatten trailing axes to ``size`` values: ``[*batch, *event]`` to ``[*batch, size]``."""
    if x.shape[-1] == size:
        return x
    for axes in range(2, x.dim() + 1):
        if math.prod(x.shape[-axes:]) == size:
            return x.flatten(-axes)
    raise ArgumentError(
        f"the network takes {size} values per row, and received a tensor of shape {tuple(x.shape)}",
        argument="x",
        suggestions=(
            message("Build the network with the right {inputs}", inputs=Argument("inputs")),
        ),
    )


def append_context(x: Tensor, context: Tensor | None) -> Tensor:
    """Append the context ``[*batch, C]`` to ``[*batch, D]``."""
    return x if context is None else torch.cat([x, context.expand(*x.shape[:-1], -1)], -1)


def glorot(layer: Layer) -> Layer:
    """Initialise weights uniformly (Glorot and Bengio, 2010), and biases with 0."""
    nn.init.xavier_uniform_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
