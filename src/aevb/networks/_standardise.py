"""The door of an encoder: data in their own units come in, numbers of about unit size go on."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..types import Configurable


class Standardise(Configurable, nn.Module):
    """``network((x - shift) / scale)``; ``shift`` and ``scale`` hold one number, or one per element of the event in row-major order.

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
        return self.network(
            (x - broadcast_to_event(self.shift, x)) / broadcast_to_event(self.scale, x), *context
        )


def broadcast_to_event(value: Tensor, x: Tensor) -> Tensor:
    """``value`` ``[1]`` or ``[event]`` shaped so that it broadcasts against ``x`` ``[B, *event]``."""
    return value if value.numel() == 1 else value.reshape(x.shape[1:])
