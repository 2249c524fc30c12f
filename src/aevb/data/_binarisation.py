"""Grey images made black and white: once, or afresh at every reading."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch

from ..errors import ArgumentError, DataError
from ._memory_map import MappedRows
from ._model_defaults import DataProperties
from ._packing import pack, should_pack
from ._rows import Rows, load_stored_values
from ._transforms import DynamicBinarisation, UnpackBits, binarise

BINARISE_CHUNK_ROWS = 4096  # rows at a time: the random numbers take twice the room of the rows
SPLIT_NAMES = ("train", "validation", "test")


def check_binarise(mode: str | None, likelihood: str | None) -> None:
    """Raise ``ArgumentError`` for an unknown way, and for a likelihood of grey values beside it."""
    if mode not in (None, "dynamic", "fixed"):
        raise ArgumentError(
            f'binarise={mode!r} is not known: write binarise="dynamic" (afresh at every epoch) or binarise="fixed" (once).'
        )
    if mode is not None and likelihood not in (None, "bernoulli"):
        raise ArgumentError(
            f'binarise="{mode}" makes values of 0 and 1, and likelihood="{likelihood}" was asked for: leave one out.'
        )


def check_grey_values(facts: DataProperties) -> None:
    """Raise ``DataError`` for data that are not grey values 0 to 255."""
    if facts.binary:
        raise DataError("binarise: all values are 0 or 1 already. Leave binarise out.")
    if not facts.byte_valued:
        hint = (
            "write np.rint(255 * x).astype(np.uint8)"
            if facts.in_unit_interval
            else "leave binarise out"
        )
        raise DataError(
            f"binarise needs whole grey values from 0 to 255, got numbers from {facts.low:g} to {facts.high:g}: {hint}."
        )


def binarise_rows(rows: Rows, mode: str, levels: int, seed: int, part: str) -> Rows:
    """Rows that give zeros and ones: training rows afresh at every reading where ``how`` is ``dynamic``, all others once."""
    if mode == "dynamic" and part == "train":
        return Rows(rows.stored_values, DynamicBinarisation(levels), rows.labels)
    drawn = _iter_fixed_binarisation(rows.stored_values, levels, seed, part)
    if should_pack(math.prod(rows.stored_values.shape)):
        return Rows(pack(drawn, len(rows)), UnpackBits(rows.event_shape), rows.labels)
    return Rows(torch.from_numpy(np.concatenate(list(drawn))), rows.transform, rows.labels)


def binarisation_note(mode: str, seed: int) -> str:
    """The sentence for ``Spec.said``."""
    if mode == "fixed":
        return f"Binarised once, with seed {seed}."
    return f"Binarised afresh at every epoch; validation and test once, with seed {seed}."


def _iter_fixed_binarisation(
    stored: torch.Tensor | MappedRows, levels: int, seed: int, part: str
) -> Iterator[np.ndarray]:
    """Zeros and ones, uint8, drawn with the seed; each part has a stream of its own, so that the test part can be made alone."""
    generator = torch.Generator().manual_seed(
        int(
            np.random.SeedSequence([seed, SPLIT_NAMES.index(part)]).generate_state(1, np.uint64)[0]
            >> 1
        )
    )
    for start in range(0, len(stored), BINARISE_CHUNK_ROWS):
        yield (
            binarise(
                load_stored_values(stored[start : start + BINARISE_CHUNK_ROWS]), levels, generator
            )
            .byte()
            .numpy()
        )
