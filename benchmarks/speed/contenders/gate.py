"""The gate of a contender: it waits, runs a block on request, and reports its time.

Each contender is a process in its own environment. It prints ``ready {json}`` after its warm-up.
Then it answers lines of its standard input: ``go`` runs one block, and the answer is the wall time
and the processor time in seconds of one unit of work (an epoch); the answer to ``score PART`` is
its ELBO on held-out rows. One contender runs at a time: the others wait for their line.

``SPEED_GATE`` may have a JSON object: ``warm`` is the number of units before it is ready (0: a
block is one unit, the first of them cold), ``quick`` makes data and blocks small.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

BATCH, HIDDEN, LATENT, PIXELS = 128, 400, 20, 784
DEEP, DEEP_LATENT, DEEP_BATCH, DEEP_SAMPLES = (
    (200, 200),
    50,
    20,
    50,
)  # importance weighting: 784-200-200-50, 50 samples, batches of 20
TABLE_ROWS, TABLE_COLUMNS, TABLE_HIDDEN, TABLE_LATENT, TABLE_BATCH = 64_000, 16, 64, 4, 64
IMAGE_CHANNELS, IMAGE_LATENT, IMAGE_BATCH = (32, 64), 64, 128

SETTINGS = json.loads(os.environ.get("SPEED_GATE", "{}"))
QUICK = SETTINGS.get("quick", False)
AT_LEAST = 0.02 if QUICK else 0.5  # seconds of a block
STEPS = 1 if QUICK else 50  # optimiser steps of a block, at least


def binarized_mnist(part: str = "train") -> np.ndarray:
    """A part (train, validation, test) of the fixed binarized MNIST, float32 ``[N, 784]``."""
    packed = np.load(Path(os.environ["AEVB_DATA"]) / "binarized_mnist" / "binarized_mnist.npz")[
        {"validation": "valid"}.get(part, part)
    ]
    return np.unpackbits(packed[:2560] if QUICK else packed, axis=1).astype(np.float32)


def table(rows: int = TABLE_ROWS) -> np.ndarray:
    """Sixteen columns made of four factors, float32 ``[rows, 16]``."""
    generator = np.random.default_rng(0)
    rows = min(rows, 3200) if QUICK else rows
    factors, loadings = generator.normal(size=(rows, 4)), generator.normal(size=(4, TABLE_COLUMNS))
    return (factors @ loadings + 0.3 * generator.normal(size=(rows, TABLE_COLUMNS))).astype(
        np.float32
    )


def photographs() -> np.ndarray:
    """The 4,000 images of the CIFAR-10 sample, uint8 ``[N, 3, 32, 32]``, from ``$AEVB_DATA``."""
    images = np.load(Path(os.environ["AEVB_DATA"]) / "cifar10" / "cifar10_train_first4000.npz")[
        "images"
    ]
    return np.ascontiguousarray(images[:256] if QUICK else images).transpose(0, 3, 1, 2).copy()


class Gate:
    """Call it after each unit of work; it returns when the next unit may begin.

    A unit has ``samples`` data and ``steps`` optimiser steps. A block has as many units as take
    half a second and 50 steps; the reported time is that of one unit. ``ready`` is called once,
    after the warm-up (or the first unit without one); ``score`` returns the ELBO of a part of the
    data.
    """

    def __init__(
        self,
        samples: int,
        steps: int,
        *,
        score: Callable[[str], float] | None = None,
        ready: Callable[[], object] = lambda: None,
        **about: object,
    ) -> None:
        self.steps, self.score, self.ready = steps, score, ready
        self.about = about | {"samples": samples, "steps": steps}
        self.warm = SETTINGS.get("warm", 2)
        self.announced = self.settled = False
        self.units = 1
        if self.warm == 0:
            self._announce()
        self._begin()

    def __call__(self) -> None:
        """End a unit: report the block after its last unit, and wait."""
        self.left -= 1
        if self.left > 0:
            return
        wall, processor = (
            time.perf_counter() - self.start_time,
            time.process_time() - self.processor,
        )
        self.warm -= 1
        if self.warm <= 0 and not self.settled:
            self.settled = True
            self.ready()
        if self.announced:
            print("answer", wall / self.units, processor / self.units, flush=True)
            self._wait()
        elif self.settled:
            self.units = math.ceil(max(AT_LEAST / wall, STEPS / self.steps))
            self._announce(warmup_seconds=wall)
        self._begin()

    def _announce(self, **found: object) -> None:
        """Print that the contender is ready."""
        self.announced = True
        print("ready " + json.dumps(self.about | {"units": self.units} | found), flush=True)
        self._wait()

    def _begin(self) -> None:
        """Start the clocks of a block."""
        self.left = self.units
        self.start_time, self.processor = time.perf_counter(), time.process_time()

    def _wait(self) -> None:
        """Answer questions until the next block."""
        while (line := sys.stdin.readline()).startswith("score "):
            assert self.score is not None
            print("answer", self.score(line.split()[1]), flush=True)
        if not line:
            sys.exit(0)
