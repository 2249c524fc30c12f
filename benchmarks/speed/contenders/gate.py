"""How a contender is run: it waits at a gate, runs a block when told to, and says how long that took.

Each contender is a process of its own, in the environment it needs. It prints ``ready {json}`` once it has warmed up. Then it answers
lines of its standard input: ``go`` runs one block, and the answer is seconds of wall time and of processor time for one unit of work (an
epoch); ``score PART`` is answered by its ELBO on held-out rows. Only one contender runs at a time: the others wait for their line.

``SPEED_GATE`` may hold a JSON object: ``warm`` is the number of units before it is ready (0: a block is one unit, the first of them cold),
``quick_evaluation`` makes data and blocks small.
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
    """A part (train, validation, test) of the fixed binarized MNIST, float32 ``[N, 784]``, from ``$AEVB_DATA``."""
    packed = np.load(Path(os.environ["AEVB_DATA"]) / "binarized_mnist" / "binarized_mnist.npz")[
        {"validation": "valid"}.get(part, part)
    ]
    return np.unpackbits(packed[:2560] if QUICK else packed, axis=1).astype(np.float32)


def table(rows: int = TABLE_ROWS) -> np.ndarray:
    """Sixteen columns driven by four factors, float32 ``[rows, 16]``: the size of a table, not its content, decides the speed."""
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
    """Call it at the end of each unit of work (``samples`` data, ``steps`` optimiser steps); it returns when the next may begin.

    A block is as many units as take half a second and 50 steps; what is told is the time of one. ``ready`` is called once, when the
    warm-up (or the first unit, if there is none) is over; ``score`` answers for a part of the data.
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
        """One unit is done: report the block if it was its last, and wait."""
        self.left -= 1
        if self.left > 0:
            return
        wall, processor = time.perf_counter() - self.began, time.process_time() - self.processor
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
        self.announced = True
        print("ready " + json.dumps(self.about | {"units": self.units} | found), flush=True)
        self._wait()

    def _begin(self) -> None:
        self.left = self.units
        self.began, self.processor = time.perf_counter(), time.process_time()

    def _wait(self) -> None:
        while (line := sys.stdin.readline()).startswith("score "):
            assert self.score is not None
            print("answer", self.score(line.split()[1]), flush=True)
        if not line:
            sys.exit(0)
