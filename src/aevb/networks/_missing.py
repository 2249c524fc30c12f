"""The door of an encoder for data with empty cells."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..types import Configurable


class FillMissing(Configurable, nn.Module):
    """Empty cells (NaN) become ``fill``, and a second copy of the event says which they were: ``network`` gets ``[N, 2, *event]``.

    Images with channels, ``[N, C, H, W]``, become images of ``2 C`` channels. So ``MLP(2 * D, ...)`` follows for ``D`` numbers, and
    ``ConvEncoder((2, H, W))`` or ``((2 * C, H, W))`` for images. Inside ``Standardise`` a fill of 0 is the mean.

    >>> FillMissing(nn.Identity())(torch.tensor([[3.0, torch.nan]]))
    tensor([[[3., 0.],
             [0., 1.]]])
    """

    def __init__(self, network: nn.Module, fill: float = 0.0) -> None:
        super().__init__()
        self.network = network
        self.fill = fill

    def forward(self, x: Tensor, *context: Tensor) -> Tensor:
        missing = x.isnan()
        both = torch.stack([x.masked_fill(missing, self.fill), missing.to(x.dtype)], 1)
        return self.network(both.flatten(1, 2) if x.dim() == 4 else both, *context)
