"""Networks that are shown some of the codes."""

from __future__ import annotations

from torch import Tensor, nn

from ..errors import ArgumentError
from ..types import Configurable


class LeadingLatents(Configurable, nn.Module):
    """``network(z[..., :size])``: a decoder that sees the first ``size`` of the codes, as those of the first layer of a hierarchy.

    Raises ``ArgumentError`` for ``size < 1``.

    >>> import torch
    >>> Part(nn.Identity(), 2)(torch.zeros(5, 6)).shape
    torch.Size([5, 2])
    """

    def __init__(self, network: nn.Module, size: int) -> None:
        super().__init__()
        if size < 1:
            raise ArgumentError(f"`size` is {size}; show the network at least 1 of the codes.")
        self.network = network
        self.size = size

    def forward(self, z: Tensor, *context: Tensor) -> Tensor:
        return self.network(z[..., : self.size], *context)
