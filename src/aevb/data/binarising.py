"""Grey images made black and white: once, or afresh at every reading."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch

from ..errors import ArgumentError, DataError
from .choose import Facts
from .mapped import Mapped
from .packing import pack, worth_packing
from .rows import Rows, read_stored
from .transforms import BinariseAfresh, Unpack, binarise

CHUNK = 4096  # rows at a time: the random numbers take twice the room of the rows
PARTS = ("train", "validation", "test")


def check_binarise(how: str | None, likelihood: str | None) -> None:
    """Raise ``ArgumentError`` for an unknown way, and for a likelihood of grey values beside it."""
    if how not in (None, "dynamic", "fixed"):
        raise ArgumentError(f'binarise={how!r} is not known: write binarise="dynamic" (afresh at every epoch) or binarise="fixed" (once).')
    if how is not None and likelihood not in (None, "bernoulli"):
        raise ArgumentError(f'binarise="{how}" makes values of 0 and 1, and likelihood="{likelihood}" was asked for: leave one out.')


def check_grey(facts: Facts) -> None:
    """Raise ``DataError`` for data that are not grey values 0 to 255."""
    if facts.binary:
        raise DataError("binarise: all values are 0 or 1 already. Leave binarise out.")
    if not facts.whole:
        hint = "write np.rint(255 * x).astype(np.uint8)" if facts.unit else "leave binarise out"
        raise DataError(f"binarise needs whole grey values from 0 to 255, got numbers from {facts.low:g} to {facts.high:g}: {hint}.")


def binarised(rows: Rows, how: str, levels: int, seed: int, part: str) -> Rows:
    """Rows that give zeros and ones: training rows afresh at every reading where ``how`` is ``dynamic``, all others once."""
    if how == "dynamic" and part == "train":
        return Rows(rows.stored, BinariseAfresh(levels), rows.labels)
    drawn = _drawn_once(rows.stored, levels, seed, part)
    if worth_packing(math.prod(rows.stored.shape)):
        return Rows(pack(drawn, len(rows)), Unpack(rows.event_shape), rows.labels)
    return Rows(torch.from_numpy(np.concatenate(list(drawn))), rows.decode, rows.labels)


def said(how: str, seed: int) -> str:
    """The sentence for ``Spec.said``."""
    if how == "fixed":
        return f"Binarised once, with seed {seed}."
    return f"Binarised afresh at every epoch; validation and test once, with seed {seed}."


def _drawn_once(stored: torch.Tensor | Mapped, levels: int, seed: int, part: str) -> Iterator[np.ndarray]:
    """Zeros and ones, uint8, drawn with the seed; each part has a stream of its own, so that the test part can be made alone."""
    generator = torch.Generator().manual_seed(int(np.random.SeedSequence([seed, PARTS.index(part)]).generate_state(1, np.uint64)[0] >> 1))
    for start in range(0, len(stored), CHUNK):
        yield binarise(read_stored(stored[start : start + CHUNK]), levels, generator).byte().numpy()
