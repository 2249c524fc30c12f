"""Gradients inside functions that need them, whatever mode the caller is in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def gradients_enabled() -> Iterator[None]:
    """Record gradients inside the block, also under ``torch.no_grad`` and ``inference_mode``.

    Example:
        >>> with torch.inference_mode(), gradients_enabled():
        ...     torch.zeros(2, requires_grad=True).sum().requires_grad
        True
    """
    with torch.inference_mode(False), torch.enable_grad():
        yield


def differentiable(tensor: Tensor) -> Tensor:
    """Copy a tensor that was made under ``torch.inference_mode``: it never enters a gradient."""
    if not tensor.is_inference():
        return tensor
    copy = tensor.detach().clone()
    return nn.Parameter(copy, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else copy


def make_differentiable(module: nn.Module) -> None:
    """Replace the tensors of a module that were made under ``torch.inference_mode`` by copies."""
    copies: dict[Tensor, Tensor] = {}
    for part in module.modules():
        for tensors in (part._parameters, part._buffers):
            for name, tensor in tensors.items():
                if tensor is not None and tensor.is_inference():
                    copy = copies.setdefault(tensor, differentiable(tensor))
                    tensors[name] = copy  # pyright: ignore[reportArgumentType]
