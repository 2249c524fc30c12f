"""Masked autoencoder (MADE): each output depends on the inputs before it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .._registry import register
from ..errors import ArgumentError, one_of
from ..types import Configurable
from ._activations import ACTIVATIONS, build_activation
from ._initialisation import Device, Dtype, weight_initialisation
from ._mlp import append_context, check_sizes, flatten_event
from ._registration import NetworkRegistration


@register(
    NetworkRegistration(
        paper="Germain et al. (2015)",
        use_when="a flow or an autoregressive family needs its parameters",
        cost="that of an MLP",
        avoid_when="outputs may depend on all inputs",
    )
)
class MADE(Configurable, nn.Module):
    """Masked layers: ``[N, inputs]`` to ``[N, inputs, parameters]``.

    Output ``d`` sees the inputs before ``d``.

    One pass gives the parameters of every factor of ``p(x) = prod_d p(x_d | x_1 ... x_(d-1))``.
    Germain et al., MADE: masked autoencoder for distribution estimation (2015); the masked layers
    are zuko's.

    Args:
        inputs: Number of inputs.
        hidden: Widths of the hidden layers.
        parameters: Number of parameters of each output.
        activation: Name of the activation, as for ``MLP``, except ``"glu"``.
        context: Number of context values, which every output sees.
        input_width: Number of values that encode one input, as the categories of a one-hot code.
        seed: Seed of the initial weights, which moves no other random stream; ``None``: the default
            stream.
        dtype: Precision of the weights, ``"float32"`` or ``"float64"``; ``None``: the default
            precision.
        device: Device of the weights; ``None``: the CPU.

    Raises:
        ArgumentError: A size is below 1, the activation mixes outputs, or there is a single input
            without a context.

    Example:
        >>> network, x = MADE(3, [16]), torch.zeros(1, 3, requires_grad=True)
        >>> (torch.autograd.grad(network(x)[0, 1].sum(), x)[0] != 0).tolist()
        [[True, False, False]]
    """

    def __init__(
        self,
        inputs: int,
        hidden: Sequence[int] = (64, 64),
        parameters: int = 1,
        activation: str = "relu",
        context: int = 0,
        input_width: int = 1,
        seed: int | None = None,
        dtype: Dtype = None,
        device: Device = None,
    ) -> None:
        super().__init__()
        from zuko.nn import MaskedMLP

        check_sizes(
            self, inputs=inputs, parameters=parameters, input_width=input_width, hidden=hidden
        )
        if activation == "glu":
            raise ArgumentError(
                "it mixes outputs that the masks keep apart",
                argument="activation",
                value=activation,
                suggestions=(one_of("activation", ["silu"]),),
            )
        if inputs < 2 and not context:
            raise ArgumentError(
                "each output sees the inputs before it; give at least 2 inputs, or a context",
                argument="inputs",
                value=inputs,
            )
        self.inputs, self.parameters_per_output, self.input_width = inputs, parameters, input_width
        self.activation = build_activation(activation)
        number = torch.arange(inputs)
        earlier = (
            (number[:, None] > number)
            .repeat_interleave(parameters, 0)
            .repeat_interleave(input_width, 1)
        )
        mask = torch.cat([earlier, torch.ones(inputs * parameters, context, dtype=torch.bool)], 1)
        with weight_initialisation(self, seed, dtype, device):
            # zuko declares an instance of BoolTensor, a class that torch's tensors are not
            self.layers = MaskedMLP(mask, list(hidden), ACTIVATIONS[activation])  # pyright: ignore[reportArgumentType]

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        flat = append_context(flatten_event(x, self.inputs * self.input_width), context)
        return self.layers(flat).unflatten(-1, (self.inputs, self.parameters_per_output))

    def weights(self) -> list[tuple[Tensor, Tensor]]:
        """Masked weights and biases of the layers.

        Returns:
            Pairs of a weight ``[outputs, inputs]`` and a bias, from the first layer on;
            ``activation`` comes between them.
        """
        return [
            (layer.get_buffer("mask") * layer.weight, layer.bias)
            for layer in self.layers
            if isinstance(layer, nn.Linear)
        ]
