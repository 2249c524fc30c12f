"""Seed, precision and device of the initial weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Literal

import torch
from torch import nn

from .._hardware import resolve_device
from .._random import seed_scope
from ..errors import ArgumentError, one_of
from ..notes import Argument, message

Dtype = Literal["float32", "float64"] | torch.dtype | None
Device = str | torch.device | None


@contextmanager
def weight_initialisation(
    network: nn.Module, seed: int | None, dtype: Dtype, device: Device
) -> Iterator[None]:
    """Draw the weights of layers that are created inside the block from ``seed``.

    Weights are drawn on the CPU in the default precision and then converted, so that a seed gives
    the same weights (to rounding) everywhere; the default random stream is unchanged. ``None``
    means the default stream, the default precision, the CPU.

    Raises:
        ArgumentError: The precision is below float32, the device does not exist, or no generator
            takes the seed.
    """
    resolved_dtype = resolve_dtype(dtype)
    resolved_device = None if device is None else resolve_device(device)
    if seed is not None and not 0 <= seed < 2**63:
        raise ArgumentError(
            "give a whole number from 0 to 2**63 - 1, or None for the default random stream",
            argument="seed",
            value=seed,
        )
    with nullcontext() if seed is None else seed_scope(seed):
        yield
    if resolved_dtype is not None or resolved_device is not None:
        network.to(device=resolved_device, dtype=resolved_dtype)


def resolve_dtype(dtype: Dtype) -> torch.dtype | None:
    """The dtype, from its name or from torch's constant.

    Example:
        >>> resolve_dtype("float64"), resolve_dtype(torch.float32), resolve_dtype(None)
        (torch.float64, torch.float32, None)
    """
    dtypes = {"float32": torch.float32, "float64": torch.float64}
    resolved = dtypes.get(dtype) if isinstance(dtype, str) else dtype
    if dtype is not None and resolved not in dtypes.values():
        raise ArgumentError(
            "densities need weights in float32 or float64",
            argument="dtype",
            value=dtype,
            suggestions=(
                one_of("dtype", list(dtypes)),
                message(
                    "For faster matrix products pass {precision} to `fit`",
                    precision=Argument("precision", "bfloat16"),
                ),
            ),
        )
    return resolved
