"""How a contender is run: it waits at a gate, runs a block when told to, and says how long that took.

Each contender is a process of its own, in the environment it needs. It prints ``ready {json}`` once it has warmed up; then, for every line
on its standard input, it runs one block and prints the seconds of wall time that it took. Only one contender runs at a time: the others
wait for their line.
"""

import json
import os
import sys
import time
from pathlib import Path

import numpy as np

BATCH, HIDDEN, LATENT, PIXELS = 128, 400, 20, 784
TABLE_ROWS, TABLE_BATCH = 64_000, 64


def binarized_mnist() -> np.ndarray:
    """The training part of the fixed binarized MNIST, float32 ``[50000, 784]``, from ``$AEVB_DATA``."""
    packed = np.load(Path(os.environ["AEVB_DATA"]) / "binarized_mnist" / "binarized_mnist.npz")["train"]
    return np.unpackbits(packed, axis=1).astype(np.float32)


def table() -> np.ndarray:
    """Sixteen columns driven by four factors, float32 ``[64000, 16]``: the size of a table, not its content, decides the speed."""
    generator = np.random.default_rng(0)
    factors, loadings = generator.normal(size=(TABLE_ROWS, 4)), generator.normal(size=(4, 16))
    return (factors @ loadings + 0.3 * generator.normal(size=(TABLE_ROWS, 16))).astype(np.float32)


class Gate:
    """Call it at the end of each block; it returns when the next one may begin."""

    def __init__(self, warmup: int, **about: object) -> None:
        self.left, self.about = warmup, about
        self.began = time.perf_counter()
        self.announced = False

    def __call__(self) -> None:
        """Report the block that has just ended, and wait."""
        seconds = time.perf_counter() - self.began
        self.left -= 1
        if self.left > 0:
            self.began = time.perf_counter()
            return
        if self.announced:
            print(seconds, flush=True)
        else:
            print("ready " + json.dumps(self.about | {"warmup_seconds": seconds}), flush=True)
            self.announced = True
        if not sys.stdin.readline():
            os._exit(0)
        self.began = time.perf_counter()
