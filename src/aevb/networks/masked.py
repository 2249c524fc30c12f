"""Masked layers: each output sees the inputs before it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..errors import ArgumentError
from ..types import Recorded
from .activations import ACTIVATIONS
from .activations import activation as named
from .mlp import check_sizes, flatten_event


class MADE(Recorded, nn.Module):
    """Masked layers: ``[N, inputs]`` to ``[N, inputs, parameters]``, where row ``d`` depends on the inputs before ``d`` alone.

    One pass gives the parameters of every factor of ``p(x) = prod_d p(x_d | x_1 ... x_(d-1))``. ``context`` counts the numbers of a
    context that every output sees. Germain et al., MADE (2015); the masked layers are zuko's.

    >>> network, x = MADE(3, [16]), torch.zeros(1, 3, requires_grad=True)
    >>> (torch.autograd.grad(network(x)[0, 1].sum(), x)[0] != 0).tolist()
    [[True, False, False]]
    """

    def __init__(
        self, inputs: int, hidden: Sequence[int] = (64, 64), parameters: int = 1, activation: str = "relu", context: int = 0
    ) -> None:
        super().__init__()
        from zuko.nn import MaskedMLP

        check_sizes("MADE", inputs=inputs, parameters=parameters, **{f"hidden[{i}]": size for i, size in enumerate(hidden)})
        named(activation)  # or an error
        if activation == "glu":
            raise ArgumentError('`activation` is "glu", which mixes outputs that the masks keep apart; use another, as "silu".')
        self.inputs, self.parameters_each = inputs, parameters
        number = torch.arange(inputs)
        earlier = (number[:, None] > number).repeat_interleave(parameters, 0)
        seen = torch.cat([earlier, torch.ones(inputs * parameters, context, dtype=torch.bool)], 1)
        self.layers = MaskedMLP(seen, list(hidden), ACTIVATIONS[activation])  # pyright: ignore[reportArgumentType]

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        x = flatten_event(x, self.inputs)
        if context is not None:
            x = torch.cat([x, context.expand(*x.shape[:-1], -1)], -1)
        return self.layers(x).unflatten(-1, (self.inputs, self.parameters_each))
