"""Masked layers: each output sees the inputs before it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..errors import ArgumentError
from ..types import Configurable
from ._activations import ACTIVATIONS
from ._activations import build_activation as named
from ._initialisation import Device, Dtype, weight_initialisation
from ._mlp import append_context, check_sizes, flatten_event


class MADE(Configurable, nn.Module):
    """Masked layers: ``[N, inputs]`` to ``[N, inputs, parameters]``, where row ``d`` depends on the inputs before ``d`` alone.

    One pass gives the parameters of every factor of ``p(x) = prod_d p(x_d | x_1 ... x_(d-1))``. ``context`` counts the numbers of a
    context that every output sees, ``size`` those that say one input: its categories, for a code; ``seed``, ``dtype`` and ``device`` are
    as for ``MLP``. Germain et al., MADE (2015); the masked layers are zuko's. Raises ``ArgumentError`` for a single input without a
    context, whose output would depend on nothing.

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
            "MADE",
            inputs=inputs,
            parameters=parameters,
            size=input_width,
            **{f"hidden[{i}]": width for i, width in enumerate(hidden)},
        )
        if activation == "glu":
            raise ArgumentError(
                '`activation` is "glu", which mixes outputs that the masks keep apart; use another, as "silu".'
            )
        if inputs < 2 and not context:
            raise ArgumentError(
                f"`inputs` of MADE is {inputs}: each output sees the inputs before it, so give at least 2, or a context."
            )
        self.inputs, self.parameters_per_output, self.input_width = inputs, parameters, input_width
        self.activation = named(activation)
        number = torch.arange(inputs)
        earlier = (
            (number[:, None] > number)
            .repeat_interleave(parameters, 0)
            .repeat_interleave(input_width, 1)
        )
        seen = torch.cat([earlier, torch.ones(inputs * parameters, context, dtype=torch.bool)], 1)
        with weight_initialisation(self, seed, dtype, device):
            self.layers = MaskedMLP(seen, list(hidden), ACTIVATIONS[activation])  # pyright: ignore[reportArgumentType]

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        told = append_context(flatten_event(x, self.inputs * self.input_width), context)
        return self.layers(told).unflatten(-1, (self.inputs, self.parameters_per_output))

    def weights(self) -> list[tuple[Tensor, Tensor]]:
        """Masked weights ``[outputs, inputs]`` and biases of the layers, the first one in front; between two lies ``activation``."""
        return [
            (layer.get_buffer("mask") * layer.weight, layer.bias)
            for layer in self.layers
            if isinstance(layer, nn.Linear)
        ]
