"""Binarisation of grey images: once, or at every reading."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch

from ..errors import ArgumentError, DataError
from ..notes import Argument, Note, message
from ._model_defaults import DataProperties
from ._packing import pack, should_pack
from ._rows import Rows, StoredRows, load_stored_values
from ._transforms import DynamicBinarisation, UnpackBits, binarise

BINARISE_CHUNK_ROWS = 4096  # the random numbers take twice the memory of the rows
SPLIT_NAMES = ("train", "validation", "test")
BinarisationMode = Literal["dynamic", "fixed"]


def check_binarise(mode: str | None, likelihood: str | None) -> None:
    """Check the argument ``binarise``, also against ``likelihood``.

    Raises:
        ArgumentError: The mode is unknown, or the likelihood is one of grey values.
    """
    if mode not in (None, "dynamic", "fixed"):
        raise ArgumentError(
            "this is not known",
            argument="binarise",
            value=mode,
            suggestions=(
                message(
                    "Write {dynamic} (at every epoch) or {fixed} (once)",
                    dynamic=Argument("binarise", "dynamic"),
                    fixed=Argument("binarise", "fixed"),
                ),
            ),
        )
    if mode is not None and likelihood not in (None, "bernoulli"):
        raise ArgumentError(
            message(
                "this makes values of 0 and 1, which {likelihood} is not for",
                likelihood=Argument("likelihood", likelihood),
            ),
            argument="binarise",
            value=mode,
            suggestions=("Leave one of the two out",),
        )


def check_grey_values(properties: DataProperties) -> None:
    """Check that the values are grey values 0 to 255.

    Raises:
        DataError: They are not, or are binary already.
    """
    if properties.binary:
        raise DataError(
            "all values are 0 or 1 already",
            argument="binarise",
            suggestions=(message("Leave {binarise} out", binarise=Argument("binarise")),),
        )
    if not properties.byte_valued:
        raise DataError(
            "binarisation needs whole grey values from 0 to 255, and the data hold numbers from "
            f"{properties.low:g} to {properties.high:g}",
            argument="binarise",
            suggestions=(
                "Write np.rint(255 * x).astype(np.uint8)"
                if properties.in_unit_interval
                else message("Leave {binarise} out", binarise=Argument("binarise")),
            ),
        )


def binarise_rows(rows: Rows, mode: BinarisationMode, levels: int, seed: int, part: str) -> Rows:
    """Binary rows: training rows are drawn at every reading for ``"dynamic"``, all others once."""
    if mode == "dynamic" and part == "train":
        return Rows(rows.stored_values, DynamicBinarisation(levels), rows.labels)
    chunks = _iter_fixed_binarisation(rows.stored_values, levels, seed, part)
    if should_pack(math.prod(rows.stored_values.shape)):
        return Rows(pack(chunks, len(rows)), UnpackBits(rows.event_shape), rows.labels)
    return Rows(torch.from_numpy(np.concatenate(list(chunks))), rows.transform, rows.labels)


def binarisation_note(mode: BinarisationMode, seed: int) -> Note:
    """How the data are binarised."""
    if mode == "fixed":
        text = f"Binarised once, with seed {seed}."
    else:
        text = f"Binarised at every epoch; validation and test rows once, with seed {seed}."
    return Note("binarised", text, data={"mode": mode, "seed": seed})


def _iter_fixed_binarisation(
    stored: StoredRows, levels: int, seed: int, part: str
) -> Iterator[np.ndarray]:
    """Zeros and ones, uint8; each part has its own random stream, so that it can be drawn alone."""
    sequence = np.random.SeedSequence([seed, SPLIT_NAMES.index(part)])
    generator = torch.Generator().manual_seed(int(sequence.generate_state(1, np.uint64)[0] >> 1))
    for start in range(0, len(stored), BINARISE_CHUNK_ROWS):
        chunk = load_stored_values(stored[start : start + BINARISE_CHUNK_ROWS])
        yield binarise(chunk, levels, generator).byte().numpy()
