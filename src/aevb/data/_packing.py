"""Binary rows as packed bits, an eighth of their bytes."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

# Elements of binary rows from which they are held as bits. It pays in memory alone: a batch of bits takes a tenth to a quarter longer to
# read than one of bytes, 3 to 6 us for 128 x 784 (benchmarks/speed/data_path.py), at any size of the set; so it begins at 64 MiB of bytes.
PACK_MIN_ELEMENTS = 1 << 26


def should_pack(elements: int) -> bool:
    """Whether binary rows of so many elements in all are held as bits."""
    return elements >= PACK_MIN_ELEMENTS


def pack(chunks: Iterable[np.ndarray], n_rows: int) -> Tensor:
    """So many rows of zeros and ones, in pieces ``[B, *event]``, as bits, uint8 ``[N, ceil(D / 8)]``; ``UnpackBits`` reads them.

    >>> pack([np.array([[1, 0, 1]], dtype=np.uint8)], rows=1)
    tensor([[160]], dtype=torch.uint8)
    """
    packed, start = np.empty((n_rows, 0), np.uint8), 0
    for piece in chunks:
        bits = np.packbits(piece.reshape(len(piece), -1), axis=1)
        if start == 0:
            packed = np.empty((n_rows, bits.shape[1]), np.uint8)  # made once: nothing is held twice
        packed[start : start + len(bits)] = bits
        start += len(bits)
    return torch.from_numpy(packed)
