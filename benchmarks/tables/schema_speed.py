"""Time to learn the schema of a table, in units of the time to read it.

Usage: python benchmarks/tables/schema_speed.py [--rounds 21] [--folder FOLDER]

The folder holds `tabular/adult.data.gz` of the UCI repository; by default that of AEVB_DATA.
Reading and learning alternate, and the ratio is the median over rounds of paired ratios.
"""

from __future__ import annotations

import argparse
import gzip
import io
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars

from aevb.data import Schema, SchemaBuilder


def seconds(function: Callable[[], object]) -> float:
    """The duration of a call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def print_pairs(name: str, read: Callable[[], object], learn: Callable[[], object], rounds: int):
    """Print the medians of both and of their ratio."""
    learn()
    pairs = [(seconds(read), seconds(learn)) for _ in range(rounds)]
    first, second = (1e3 * statistics.median(each) for each in zip(*pairs, strict=True))
    ratio = statistics.median(b / a for a, b in pairs)
    print(f"{name:34} read {first:7.1f} ms   schema {second:7.1f} ms   ratio {ratio:.2f}")


def main() -> None:
    """Time Adult, long and wide tables."""
    parser = argparse.ArgumentParser(description="Time to learn a schema.")
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--folder", type=Path, default=Path(os.environ.get("AEVB_DATA", "data")))
    options = parser.parse_args()
    path = options.folder / "tabular" / "adult.data.gz"
    content = gzip.decompress(path.read_bytes()).replace(b", ", b",")

    def read() -> polars.DataFrame:
        return polars.read_csv(io.BytesIO(content), has_header=False)

    adult = read()
    print_pairs("Adult, 32,561 rows, 15 columns", read, lambda: Schema.of(adult), options.rounds)
    blocks = list(adult.iter_slices(4096))

    def build() -> Schema:
        builder = SchemaBuilder()
        for block in blocks:
            builder.update(block)
        return builder.schema()

    print_pairs("the same in blocks of 4,096 rows", read, build, options.rounds)
    rng = np.random.default_rng(0)
    for rows, columns in ((1_000_000, 5), (1000, 5000)):
        frame = polars.DataFrame(rng.normal(size=(rows, columns)))
        text = frame.write_csv().encode()
        print_pairs(
            f"{rows:,} rows, {columns:,} real columns",
            lambda text=text: polars.read_csv(io.BytesIO(text)),
            lambda frame=frame: Schema.of(frame),
            max(options.rounds // 7, 1),
        )


if __name__ == "__main__":
    main()
