"""From which seed, in which precision and where the weights of a network are made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Literal

import torch
from torch import nn

from .._hardware import resolve_device
from .._random import seed_scope
from ..errors import ArgumentError

Dtype = Literal["float32", "float64"] | torch.dtype | None
Device = str | torch.device | None


@contextmanager
def weight_initialisation(
    network: nn.Module, seed: int | None, dtype: Dtype, device: Device
) -> Iterator[None]:
    """Layers that are built inside the block are drawn from ``seed``, then brought to ``dtype`` and to ``device``.

    They are drawn on the CPU in the default precision, so that a seed means the same weights (to rounding) everywhere; the default random
    stream does not notice. ``None``: the next numbers of the default stream, the default precision, the CPU.

    Raises ``ArgumentError`` for a precision below float32, a device that is not there, and a seed that no generator takes.
    """
    precision, place = resolve_dtype(dtype), None if device is None else resolve_device(device)
    if seed is not None and not 0 <= seed < 2**63:
        raise ArgumentError(
            f"`seed` is {seed}; give a whole number from 0 to 2**63 - 1, or None for the default random stream."
        )
    with nullcontext() if seed is None else seed_scope(seed):
        yield
    if precision is not None or place is not None:
        network.to(device=place, dtype=precision)


def resolve_dtype(dtype: Dtype) -> torch.dtype | None:
    """A precision by its name or as torch has it.

    >>> resolve_dtype("float64"), resolve_dtype(torch.float32), resolve_dtype(None)
    (torch.float64, torch.float32, None)
    """
    known = {"float32": torch.float32, "float64": torch.float64}
    found = known.get(dtype) if isinstance(dtype, str) else dtype
    if dtype is not None and found not in known.values():
        raise ArgumentError(
            f'`dtype` is {dtype!r}; weights are "float32" or "float64", which densities need. '
            'Multiply in less with fit(..., precision="bfloat16").'
        )
    return found
