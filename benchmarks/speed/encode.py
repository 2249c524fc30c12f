"""Encoding, decoding and sampling a million rows of 20 columns, 20-64-4 net. Takes about 3 minutes.

In one process: the whole tensor at once, a DataLoader, and `aevb.inference`. As a command: `aevb
encode` from an .npy file to an .npy file, beside its start-up. The record has the processor time as
well, because other load on the machine affects the wall time.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rounds import bootstrap, format_interval, machine, time_in_rounds
from script import make_parser, parse_options, write_record
from torch.utils.data import DataLoader, TensorDataset

import aevb

COLUMNS, HIDDEN, LATENT = 20, 64, 4


def trained(values: np.ndarray, folder: Path) -> aevb.VAE:
    """A network of the right size after two epochs; its quality does not matter here."""
    data = aevb.data.load(values[:5_000])
    recipe = aevb.presets.vae(data.spec, latent=LATENT, hidden=[HIDDEN])
    return aevb.fit(recipe, data, epochs=2, progress=False, out=folder / "run").model


def through_a_loader(model: aevb.VAE, x: torch.Tensor) -> torch.Tensor:
    """Encode through a DataLoader."""
    return torch.cat([model.encode(rows) for (rows,) in DataLoader(TensorDataset(x), 4096)])


def ways(model: aevb.VAE, x: torch.Tensor, z: torch.Tensor) -> dict[str, Callable[[], object]]:
    """The ways to encode, decode and sample."""
    return {
        "encode: all rows at once": lambda: model.encode(x),
        "encode: a DataLoader": lambda: through_a_loader(model, x),
        "encode: aevb.inference": lambda: aevb.inference.encode(model, x),
        "decode: aevb.inference": lambda: aevb.inference.decode(model, z),
        "sample: aevb.inference": lambda: aevb.inference.sample(model, len(x)),
    }


def process(command: list[str], threads: int) -> tuple[float, float]:
    """Wall time and processor time of a process in seconds."""
    before, start_time = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    subprocess.run([sys.executable, *command], check=True, capture_output=True, env=environment)
    wall, after = time.perf_counter() - start_time, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def commands(folder: Path, rounds: int, threads: int) -> dict[str, Any]:
    """Times of the commands."""
    run, source, out = folder / "run", folder / "x.npy", folder / "out.npy"
    chosen = {
        "import torch": ["-c", "import torch"],
        "aevb info": ["-m", "aevb", "info"],
        "aevb encode": [
            "-m",
            "aevb",
            "encode",
            str(run),
            str(source),
            "--out",
            str(out),
            "--force",
        ],
        "aevb sample": [
            "-m",
            "aevb",
            "sample",
            str(run),
            "-n",
            str(len(np.load(source, mmap_mode="r"))),
            "--out",
            str(out),
            "--force",
        ],
    }
    each = np.array(
        [[process(command, threads) for command in chosen.values()] for _ in range(rounds)]
    )  # [round, command, clock]
    return {
        name: {clock: bootstrap(each[:, i, j]) for j, clock in enumerate(("wall", "processor"))}
        for i, name in enumerate(chosen)
    }


def main() -> None:
    """Run both parts and write the record."""
    options = parse_options(make_parser(__doc__, rounds=5, threads=[2]))
    torch.set_num_threads(options.threads)
    rows = 100_000 if options.quick else 1_000_000
    values = np.random.default_rng(0).normal(size=(rows, COLUMNS)).astype(np.float32)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / "x.npy", values)
        model, x = trained(values, folder), torch.from_numpy(values)
        times = time_in_rounds(ways(model, x, aevb.inference.encode(model, x)), options.rounds)
        told = commands(folder, options.rounds, options.threads)
    result = {
        "rows": rows,
        "threads": options.threads,
        "rounds": options.rounds,
        "reference": times.reference,
        "control": times.control,
        "seconds": {way: bootstrap(values) for way, values in times.seconds.items()},
        "ratio": {way: times.ratio(way) for way in times.seconds},
        "commands": told,
    }
    print(
        f"\n{rows:,} rows, {options.threads} threads, reference {times.reference}; "
        f"control {format_interval(times.control)}"
    )
    for way, found in result["seconds"].items():
        print(f"  {way:26} {format_interval(found)} s  x{format_interval(result['ratio'][way])}")
    for name, found in told.items():
        print(
            f"  {name:26} {format_interval(found['wall'])} s, "
            f"processor {format_interval(found['processor'])} s"
        )
    write_record("encode", result | {"machine": machine()}, quick=options.quick)


if __name__ == "__main__":
    main()
