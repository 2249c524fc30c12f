"""Throughput and memory of ``transform``, and the time until the first epoch of a table.

Usage: python benchmarks/tables/estimator_speed.py [--rows 1000000] [--folder FOLDER]

``VAE.transform`` of numbers is compared with ``sklearn.decomposition.PCA.transform`` of the same
rows, in the same process and with the same threads; times are processor times, the least of all
rounds, so that other work of the machine counts little. The folder holds
``tabular/adult.data.gz`` of the UCI repository; by default that of AEVB_DATA.
"""

from __future__ import annotations

import argparse
import gzip
import io
import os
import resource
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from unittest.mock import patch

import numpy as np
import polars
import torch
from sklearn.decomposition import PCA

from aevb.sklearn import VAE
from aevb.training._trainer import Trainer

COLUMNS, COMPONENTS = 20, 10


class Started(Exception):
    """The first epoch is about to start."""


def seconds(function: Callable[[], object], rounds: int) -> float:
    """The least processor time of a call."""
    found = []
    for _ in range(rounds):
        start = time.process_time()
        function()
        found.append(time.process_time() - start)
    return min(found)


def peak_memory() -> float:
    """The largest memory of the process in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def compare_with_pca(rows: int, rounds: int) -> None:
    """Print the throughput of ``transform`` with the default widths and with narrow ones."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(rows, COLUMNS)) @ rng.normal(size=(COLUMNS, COLUMNS))
    pca = PCA(COMPONENTS).fit(X[:5000])
    print(f"{rows:,} rows, {COLUMNS} columns, {torch.get_num_threads()} threads")
    print(f"memory with the data          {peak_memory():6.2f} GiB")
    for hidden in (None, (64, 64), (32,)):
        vae = VAE(COMPONENTS, hidden=hidden, epochs=1, random_state=0).fit(X[:5000])
        first, second = (seconds(partial(x.transform, X), rounds) for x in (pca, vae))
        floor = seconds(products_alone(vae.run_.model, rows), rounds)
        print(
            f"hidden {hidden or 'default'!s:10} PCA {first:6.3f} s   VAE {second:6.3f} s, of which "
            f"products {floor:6.3f} s   throughput of PCA times {first / second:.2f}   "
            f"peak {peak_memory():.2f} GiB"
        )


def products_alone(model: torch.nn.Module, rows: int) -> Callable[[], object]:
    """The matrix products of the encoder, and nothing else, in blocks that fit into the cache."""
    layers = [each for each in model.posterior.modules() if isinstance(each, torch.nn.Linear)]
    blocks = [torch.randn(4096, each.in_features) for each in layers]

    def multiply() -> None:
        with torch.inference_mode():
            for _ in range(rows // 4096):
                for each, block in zip(layers, blocks, strict=True):
                    torch.nn.functional.linear(block, each.weight)

    return multiply


def time_to_first_epoch(folder: Path) -> None:
    """Print the time from the call of ``fit`` to the first epoch on Adult."""
    content = gzip.decompress((folder / "tabular" / "adult.data.gz").read_bytes())
    table = polars.read_csv(io.BytesIO(content.replace(b", ", b",")), has_header=False)

    def start() -> None:
        with suppress(Started), patch.object(Trainer, "_run_epochs", side_effect=Started):
            VAE(random_state=0).fit(table)

    print(f"Adult, {len(table):,} rows: the first epoch starts after {seconds(start, 3):.2f} s")


def main() -> None:
    """Time both."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=Path(os.environ.get("AEVB_DATA", "data")))
    options = parser.parse_args()
    compare_with_pca(options.rows, options.rounds)
    time_to_first_epoch(options.folder)


if __name__ == "__main__":
    main()
