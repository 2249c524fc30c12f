"""Model units: float32 numbers near 0, which keep the digits of float64 columns far from 0."""

from __future__ import annotations

import torch
from torch import Tensor

Offset = tuple[float, ...]  # one number, or one per column of a table


def subtract_offset(x: Tensor, offset: Offset | None) -> Tensor:
    """Convert data ``[N, *event]`` to model units: ``x - offset`` in float64, then in float32."""
    return x if offset is None else (_double(x) - _values(offset, x)).float()


def add_offset(x: Tensor, offset: Offset | None) -> Tensor:
    """Convert numbers ``[*, *event]`` in model units to data units, float64 with an offset.

    >>> add_offset(torch.tensor([[0.5, 2.0]]), (1.7e9, 0.0)).tolist()
    [[1700000000.5, 2.0]]
    """
    return x if offset is None else _double(x) + _values(offset, x)


def _double(x: Tensor) -> Tensor:
    """The numbers in float64, which Apple's accelerators do not have."""
    return (x.cpu() if x.device.type == "mps" else x).double()


def _values(offset: Offset, x: Tensor) -> Tensor:
    """The offset in float64, where ``_double(x)`` is."""
    return torch.tensor(
        offset, dtype=torch.float64, device="cpu" if x.device.type == "mps" else x.device
    )
