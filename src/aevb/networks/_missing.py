"""Encoder input for data with missing cells."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .._registry import register
from ..types import Configurable
from ._registration import NetworkRegistration


@register(
    NetworkRegistration(
        kind="wrapper",
        events=("vector", "image"),
        paper="Mattei and Frellsen (2019)",
        use_when="data have missing cells",
        cost="twice the input size",
        avoid_when="data are complete",
    )
)
class FillMissing(Configurable, nn.Module):
    """Fill missing cells (NaN) and append the mask: the network takes ``[N, 2, *event]``.

    Images with channels, ``[N, C, H, W]``, become images with ``2 C`` channels. The network is
    ``MLP(2 * D, ...)`` for ``D`` numbers, and ``ConvEncoder((2, H, W))`` or ``ConvEncoder((2 * C,
    H, W))`` for images. Inside ``Standardise`` a fill of 0 is the mean.

    Args:
        network: Network that takes the filled data and the mask.
        fill: Value of missing cells.

    Example:
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
