"""Standardisation of a network's input."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .._registry import register
from ..types import Configurable
from ._input_noise import NumericInput
from ._registration import NetworkRegistration


@register(
    NetworkRegistration(
        kind="wrapper",
        events=("vector", "image"),
        use_when="data have units far from 1",
        cost="none",
        avoid_when="data are binary",
    )
)
class Standardise(Configurable, NumericInput):
    """Standardise the input: ``network((x - shift) / scale)``.

    ``fit(..., input_noise=...)`` adds noise to the standardised values while training.

    Args:
        network: Network that takes standardised values.
        shift: One number, or one per element of the event in row-major order.
        scale: Positive; one number, or one per element of the event.

    Example:
        >>> Standardise(nn.Identity(), [1.0, 2.0], [2.0, 2.0])(torch.tensor([[3.0, 2.0]]))
        tensor([[1., 0.]])
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, network: nn.Module, shift: Sequence[float], scale: Sequence[float]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("shift", torch.tensor(shift), persistent=False)
        self.register_buffer("scale", torch.tensor(scale), persistent=False)

    def forward(self, x: Tensor, *context: Tensor) -> Tensor:
        standardised = (x - broadcast_to_event(self.shift, x)) / broadcast_to_event(self.scale, x)
        return self.network(self.add_noise(standardised), *context)


def broadcast_to_event(value: Tensor, x: Tensor) -> Tensor:
    """``value`` ``[1]`` or ``[event]`` in a shape that broadcasts against ``x`` ``[B, *event]``."""
    return value if value.numel() == 1 else value.reshape(x.shape[1:])
