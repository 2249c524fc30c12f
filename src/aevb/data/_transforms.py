"""How stored rows become the tensors that a model sees: one small record for each way of storing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import numpy as np
import torch
from torch import Generator, Tensor


class RowTransform(Protocol):
    """Turns stored rows ``[B, *row]`` into float32 ``[B, *event]``, on the device of the rows."""

    def __call__(self, stored_values: Tensor) -> Tensor:
        """The rows, float32 ``[B, *event]``."""
        ...

    def output_shape(self, stored_shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of an event whose stored row has the shape ``row``."""
        ...


@dataclass(frozen=True)
class ToFloat:
    """Stored numbers are the values.

    >>> Cast()(torch.tensor([[0, 255]], dtype=torch.uint8))
    tensor([[  0., 255.]])
    """

    def __call__(self, stored_values: Tensor) -> Tensor:
        """The rows as float32, ``[B, *row]``."""
        return stored_values.float()

    def output_shape(self, stored_shape: tuple[int, ...]) -> tuple[int, ...]:
        """The stored shape itself."""
        return stored_shape


@dataclass(frozen=True)
class UnpackBits:
    """Eight binary values to a byte, the first in the highest bit (the order of ``np.packbits``); spare bits of the last byte are dropped.

    >>> UnpackBits((3,))(torch.tensor([[0b10100000]], dtype=torch.uint8))
    tensor([[1., 0., 1.]])
    """

    event_shape: tuple[int, ...]

    def __call__(self, stored_values: Tensor) -> Tensor:
        """The bits of uint8 rows ``[B, ceil(D / 8)]`` as float32 ``[B, *event]`` with ``D`` elements in the event."""
        eight = _bit_table(stored_values.device).index_select(0, stored_values.flatten().int())
        bits = eight.view(torch.uint8).view(len(stored_values), -1)[
            :, : math.prod(self.event_shape)
        ]
        return bits.float().reshape(-1, *self.event_shape)

    def output_shape(self, stored_shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape that was packed."""
        return self.event_shape


@cache
def _bit_table(device: torch.device) -> Tensor:
    """The eight bits of each byte as eight bytes, held in one int64 ``[256]``: a look-up takes a third of the time of shifts."""
    bits = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1)
    return torch.from_numpy(bits.view(np.int64)[:, 0]).to(device)


@dataclass(frozen=True)
class DynamicBinarisation:
    """Grey value ``v`` of ``0 ... levels-1`` is 1 with probability ``v / (levels - 1)``, drawn anew at each reading.

    The draws come from the default generator of the device, so a run that owns that generator's state repeats them.

    >>> DynamicBinarisation(256)(torch.tensor([[0, 255]], dtype=torch.uint8))
    tensor([[0., 1.]])
    """

    levels: int

    def __call__(self, stored_values: Tensor) -> Tensor:
        """Zeros and ones, float32 ``[B, *row]``."""
        return binarise(stored_values, self.levels).float()

    def output_shape(self, stored_shape: tuple[int, ...]) -> tuple[int, ...]:
        """The stored shape itself."""
        return stored_shape


def binarise(values: Tensor, levels: int, generator: Generator | None = None) -> Tensor:
    """Draw ``x = [u < t(v)]`` with 16 random bits ``u`` and the integer threshold ``t(v) = round(65536 v / (levels - 1))``.

    Unlike a comparison of 8-bit numbers, white is always 1 and black always 0; the probability is off by less than 2e-5.

    ``stored`` holds grey values ``0 ... levels-1``, any shape and dtype. Returns booleans of that shape.

    >>> binarise(torch.tensor([0, 16]), levels=17)
    tensor([False,  True])
    """
    threshold = (values.float() * (65536 / (levels - 1))).round_()
    return _random_int16(values, generator) < threshold.sub_(32768)


def _random_int16(like: Tensor, generator: Generator | None) -> Tensor:
    """Uniform int16 in the shape of ``like``: four from each 64-bit draw, which takes half the time of drawing them one by one.

    (The one word that this range leaves out is missed once in 2**64 draws.)
    """
    size = ((like.numel() + 3) // 4,)
    words = torch.randint(
        -(2**63), 2**63 - 1, size, dtype=torch.int64, device=like.device, generator=generator
    )
    return words.view(torch.int16)[: like.numel()].view(like.shape)
