"""How stored rows become the tensors that a model receives: one record for each way of storing."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Generator, Tensor


class RowTransform(ABC):
    """Turns stored rows into float32 events, on the device of the rows."""

    @abstractmethod
    def __call__(self, stored_values: Tensor) -> Tensor:
        """Decode rows.

        Args:
            stored_values: Rows as they are stored, ``[B, *row]``.

        Returns:
            The events, float32 ``[B, *event]``.
        """

    @abstractmethod
    def output_shape(self, stored_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Compute the shape of an event.

        Args:
            stored_shape: The shape of one stored row.

        Returns:
            The shape of the event that the row is decoded to.
        """


@dataclass(frozen=True)
class ToFloat(RowTransform):
    """The stored numbers are the values of the event.

    Example:
        >>> ToFloat()(torch.tensor([[0, 255]], dtype=torch.uint8))
        tensor([[  0., 255.]])
    """

    def __call__(self, stored_values: Tensor) -> Tensor:
        return stored_values.float()

    def output_shape(self, stored_shape: tuple[int, ...]) -> tuple[int, ...]:
        return stored_shape


@dataclass(frozen=True)
class UnpackBits(RowTransform):
    """Eight binary values per byte, the first in the highest bit (the order of ``np.packbits``).

    Rows ``[B, ceil(D / 8)]`` become events with D elements; further bits are dropped.

    Args:
        event_shape: The shape of an event.

    Example:
        >>> UnpackBits((3,))(torch.tensor([[0b10100000]], dtype=torch.uint8))
        tensor([[1., 0., 1.]])
    """

    event_shape: tuple[int, ...]

    def __call__(self, stored_values: Tensor) -> Tensor:
        eight = _bit_table(stored_values.device).index_select(0, stored_values.flatten().int())
        bits = eight.view(torch.uint8).view(len(stored_values), -1)[
            :, : math.prod(self.event_shape)
        ]
        return bits.float().reshape(-1, *self.event_shape)

    def output_shape(self, stored_shape: tuple[int, ...]) -> tuple[int, ...]:
        return self.event_shape


@cache
def _bit_table(device: torch.device) -> Tensor:
    """The bits of each byte as eight bytes in an int64, ``[256]``; takes a third of shifts."""
    bits = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1)
    return torch.from_numpy(bits.view(np.int64)[:, 0]).to(device)


@dataclass(frozen=True)
class DynamicBinarisation(RowTransform):
    """Binary values that are drawn from grey values at each reading.

    The grey value ``v`` of ``0 ... levels-1`` becomes 1 with probability ``v / (levels - 1)``.
    The draws come from the default generator of the device; a run that restores the state of this
    generator repeats them.

    Args:
        levels: The number of grey levels.

    Example:
        >>> DynamicBinarisation(256)(torch.tensor([[0, 255]], dtype=torch.uint8))
        tensor([[0., 1.]])
    """

    levels: int

    def __call__(self, stored_values: Tensor) -> Tensor:
        return binarise(stored_values, self.levels).float()

    def output_shape(self, stored_shape: tuple[int, ...]) -> tuple[int, ...]:
        return stored_shape


def binarise(values: Tensor, levels: int, generator: Generator | None = None) -> Tensor:
    """Draw a binary value for each grey value.

    ``x = [u < t(v)]`` with 16 random bits ``u`` and the integer threshold
    ``t(v) = round(65536 v / (levels - 1))``. Unlike a comparison of 8-bit numbers, white is always
    1 and black always 0; the error of the probability is below 2e-5.

    Args:
        values: Grey values ``0 ... levels-1``, any shape and dtype.
        levels: The number of grey levels.
        generator: The source of the draws; the default generator of the device where ``None``.

    Returns:
        Booleans in the shape of ``values``.

    Example:
        >>> binarise(torch.tensor([0, 16]), levels=17)
        tensor([False,  True])
    """
    threshold = (values.float() * (65536 / (levels - 1))).round_()
    return _random_int16(values, generator) < threshold.sub_(32768)


def _random_int16(like: Tensor, generator: Generator | None) -> Tensor:
    """Uniform int16 in the shape of ``like``: four from each 64-bit draw take half the time.

    The range of the draws leaves out one 64-bit word, an error of 2**-64.
    """
    size = ((like.numel() + 3) // 4,)
    words = torch.randint(
        -(2**63), 2**63 - 1, size, dtype=torch.int64, device=like.device, generator=generator
    )
    return words.view(torch.int16)[: like.numel()].view(like.shape)
