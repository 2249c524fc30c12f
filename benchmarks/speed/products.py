"""Float32 matrix products by MKL, PyTorch's choice on x86, and by oneDNN, on the shapes of a step of the 784-400-20 net. Takes 5 seconds.

Usage: python benchmarks/speed/products.py [--rounds 15] [--threads 1]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from rounds import interval

from aevb.products import onednn_is_faster

SHAPES = {"forward": (128, 784, 400), "by the input": (128, 400, 784), "by the weights": (784, 128, 400), "evaluation": (1024, 400, 784)}
BLOCK = 20


def seconds(product: Callable[[], object]) -> float:
    began = time.perf_counter()
    for _ in range(BLOCK):
        product()
    return (time.perf_counter() - began) / BLOCK


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for name, (rows, inner, columns) in SHAPES.items():
        a, b = torch.randn(rows, inner), torch.randn(inner, columns)
        ways = {
            "MKL": lambda a=a, b=b: torch.mm(a, b),
            "oneDNN": lambda a=a, b=b: torch.ops.mkldnn._linear_pointwise(a, b.T, None, "none", [], ""),
        }
        rounds = [[seconds(product) for product in ways.values()] for _ in range(options.rounds + 1)][1:]  # in turn; the first warms up
        times = dict(zip(ways, np.array(rounds).T, strict=True))
        speed = {way: 2e-9 * rows * inner * columns / np.median(values) for way, values in times.items()}
        ratio = interval(times["MKL"], times["oneDNN"])
        print(
            f"{name:15} {rows:4} x {inner} x {columns}: MKL {speed['MKL']:4.0f}, oneDNN {speed['oneDNN']:4.0f} GFLOP/s, "
            f"x{ratio['median']:.2f} [{ratio['low']:.2f}, {ratio['high']:.2f}]"
        )
    print(f"aevb takes {'oneDNN' if onednn_is_faster() else 'MKL'} on this processor.")


if __name__ == "__main__":
    main()
