"""Binary rows as packed bits, an eighth of their bytes."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

# Number of elements from which binary rows are stored as bits. Packing saves memory only: at every
# size, a batch of bits takes 10 to 25 % longer to read than a batch of bytes, 3 to 6 us for
# 128 x 784 (benchmarks/speed/data_path.py). It therefore begins at 64 MiB of bytes.
PACK_MIN_ELEMENTS = 1 << 26


def should_pack(elements: int) -> bool:
    """Whether binary rows with this number of elements are stored as bits."""
    return elements >= PACK_MIN_ELEMENTS


def pack(chunks: Iterable[np.ndarray], n_rows: int) -> Tensor:
    """Pack zeros and ones into bits, which ``UnpackBits`` reads.

    Args:
        chunks: ``n_rows`` rows in pieces ``[B, *event]`` with D elements in an event.
        n_rows: The number of all rows, N.

    Returns:
        The bits, uint8 ``[N, ceil(D / 8)]``.

    >>> pack([np.array([[1, 0, 1]], dtype=np.uint8)], n_rows=1)
    tensor([[160]], dtype=torch.uint8)
    """
    packed, start = np.empty((n_rows, 0), np.uint8), 0
    for piece in chunks:
        bits = np.packbits(piece.reshape(len(piece), -1), axis=1)
        if start == 0:  # one allocation, so that no row is in memory twice
            packed = np.empty((n_rows, bits.shape[1]), np.uint8)
        packed[start : start + len(bits)] = bits
        start += len(bits)
    return torch.from_numpy(packed)
