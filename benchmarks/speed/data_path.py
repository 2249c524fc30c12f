"""The cost of a batch before the model, and the memory of a large file. Takes about 4 minutes.

Needs 1 GiB of disk.

batches    128 rows of 784 numbers at random: DataLoader, indexed tensors, each form of a data set
binarised  128 rows of new binary values: by the draws of PyTorch, and by 16-bit thresholds
files      20,000 rows of 784 grey values from disk to a data set, per 128 rows: columns of lists
           and of bytes, and .npy
memory     reading, training for an epoch, evaluating and encoding, for a file that stays on disk
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars
import torch
from rounds import PairedTimes, format_interval, machine, time_in_rounds
from script import make_parser, parse_options, write_record
from torch.utils.data import DataLoader, TensorDataset

import aevb
from aevb.data import DynamicBinarisation, Rows, UnpackBits
from aevb.data import _memory_map as mapped
from aevb.data._packing import pack

BATCH, WIDTH, BLOCK = 128, 784, 100  # rows and numbers of a batch, batches of a block
Way = Callable[[], object]


def grey(rows: int) -> np.ndarray:
    """Grey values like digits, four fifths of them 0, uint8 ``[rows, 784]``."""
    values = np.random.default_rng(0).integers(0, 256, (rows, WIDTH), dtype=np.uint8)
    values[np.random.default_rng(1).random(values.shape) < 0.8] = 0
    return values


def orders(rows: int) -> Iterator[torch.Tensor]:
    """The row numbers of batch after batch, in a new random order in each epoch."""
    generator = torch.Generator().manual_seed(0)
    while True:
        yield from torch.randperm(rows, generator=generator).split(BATCH)[: rows // BATCH]


def block(batch: Callable[[torch.Tensor], object], rows: int) -> Way:
    """A block of batches."""
    order = orders(rows)
    return lambda: [batch(next(order)) for _ in range(BLOCK)]


def loader(values: torch.Tensor) -> Way:
    """The same from a DataLoader that continues where it was."""

    def endless() -> Iterator[torch.Tensor]:
        while True:
            yield from (
                x for (x,) in DataLoader(TensorDataset(values), BATCH, shuffle=True, drop_last=True)
            )

    batches = endless()
    return lambda: [next(batches) for _ in range(BLOCK)]


def batches(rows: int, folder: Path) -> dict[str, Way]:
    """Ways to random batches."""
    bits = (grey(rows) > 0).astype(np.uint8)
    held = torch.from_numpy(bits)
    wide = held.float()
    np.save(folder / "batches.npy", bits)
    left = Rows(mapped.MappedRows.from_memmap(np.load(folder / "batches.npy", mmap_mode="r")))
    ways = {
        "DataLoader, float32": loader(wide),
        "x[index], float32": block(lambda index: wide[index], rows),
        "x.index_select, float32": block(lambda index: wide.index_select(0, index), rows),
        "rows in memory, bytes": block(Rows(held).batch, rows),
        "rows in memory, packed bits": block(
            Rows(pack([bits], rows), UnpackBits((WIDTH,))).batch, rows
        ),
        "rows in a file, through the map": block(left.batch, rows),
    }
    alone = Rows(mapped.MappedRows.from_memmap(np.load(folder / "batches.npy", mmap_mode="r")))
    return ways | {"rows in a file, row by row": _row_by_row(block(alone.batch, rows))}


def _row_by_row(way: Way) -> Way:
    """The way of a file that is larger than the memory."""

    def run() -> None:
        room, mapped._gather_limit = mapped._gather_limit, lambda: 0
        try:
            way()
        finally:
            mapped._gather_limit = room

    return run


def binarised(rows: int) -> dict[str, Way]:
    """Ways to random binary values."""
    held = torch.from_numpy(grey(rows))
    chance = held.float() / 255
    return {
        "torch.bernoulli(p)": block(
            lambda index: torch.bernoulli(chance.index_select(0, index)), rows
        ),
        "torch.rand < p": block(
            lambda index: (torch.rand(BATCH, WIDTH) < chance.index_select(0, index)).float(), rows
        ),
        "16-bit thresholds": block(Rows(held, DynamicBinarisation(256)).batch, rows),
    }


def files(rows: int, folder: Path) -> dict[str, Way]:
    """Ways from a file to a data set."""
    values = grey(rows)
    written = {
        f"bytes, {kind}": folder / f"bytes_{kind}.parquet"
        for kind in ("uncompressed", "lz4", "zstd")
    }
    for name, path in written.items():
        cells = polars.Series([row.tobytes() for row in values], dtype=polars.Binary)
        polars.DataFrame({"row": cells}).write_parquet(
            path, compression=name.split()[-1], row_group_size=4096, statistics=False
        )  # type: ignore
    polars.DataFrame({"row": polars.Series(values).arr.to_list()}).write_parquet(
        folder / "lists.parquet", row_group_size=4096
    )
    aevb.data.save(values, folder / "rows.parquet")
    aevb.data.save(values, folder / "rows.npy")
    written = (
        {"lists of numbers, zstd": folder / "lists.parquet"}
        | written
        | {"aevb.data.save, .parquet": folder / "rows.parquet"}
    )
    written |= {"aevb.data.save, .npy": folder / "rows.npy"}
    cells = {
        "lists of numbers, a Python object each": lambda: np.stack(
            polars.read_parquet(folder / "lists.parquet")["row"].to_list()
        )
    }
    return cells | {
        name: lambda path=path: aevb.data.load(path, shape=(28, 28))
        for name, path in written.items()
    }


def measured(ways: dict[str, Way], batches: float, rounds: int) -> dict[str, Any]:
    """The record of a group of ways."""
    times: PairedTimes = time_in_rounds(ways, rounds, at_least=0.05)
    return {
        "reference": times.reference,
        "control": times.control,
        "ms_per_batch": {name: times.median(name) / batches * 1e3 for name in ways},
        "ratio": {name: times.ratio(name) for name in ways},
    }


MEMORY = """
import json, pathlib, sys
import torch
import aevb
from aevb.data import mapped

def peak():
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024

def everything(path):
    data = aevb.data.load(path, mapped=True)
    recipe = aevb.presets.vae(data.spec, latent=4, hidden=[16])
    model = aevb.fit(recipe, data, epochs=1, batch_size=1024, progress=False, compile=False).model
    aevb.metrics.log_likelihood(model, data.test.subset(slice(0, 10_000)), 10)
    aevb.inference.encode(model, aevb.data.load_as(path, data.spec, mapped=True))
    return peak()

torch.set_num_threads(int(sys.argv[1]))
if sys.argv[2] == "row by row":
    mapped._room = lambda: 0
before = everything(sys.argv[3])
print(json.dumps({"before_mib": before, "peak_mib": everything(sys.argv[4])}))
"""


def memory(rows: int, threads: int, folder: Path) -> dict[str, Any]:
    """Peak MiB with a small file, and with a large one in the same process."""
    small, large = folder / "small.npy", folder / "large.npy"
    np.save(small, grey(20_000))
    with large.open("wb") as file:
        np.lib.format.write_array_header_2_0(
            file, {"descr": "|u1", "fortran_order": False, "shape": (rows, WIDTH)}
        )
        for _ in range(rows // 20_000):
            file.write(grey(20_000).data)
    found: dict[str, Any] = {"file_mib": large.stat().st_size / 2**20}
    for way in ("row by row", "through the map"):
        command = [sys.executable, "-c", MEMORY, str(threads), way, str(small), str(large)]
        found[way] = json.loads(
            subprocess.run(command, check=True, capture_output=True, text=True).stdout
        )
    return found


def main() -> None:
    """Run all groups and write the record."""
    options = parse_options(make_parser(__doc__, rounds=15, threads=[1]))
    torch.set_num_threads(options.threads)
    size = 20_000 if options.quick else 60_000
    result: dict[str, Any] = {"threads": options.threads, "rounds": options.rounds, "rows": size}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        groups = {"batches": (batches(size, folder), BLOCK), "binarised": (binarised(size), BLOCK)}
        groups["files"] = (files(20_000, folder), 20_000 / BATCH)
        result["groups"] = {
            title: measured(ways, count, options.rounds) for title, (ways, count) in groups.items()
        }
        result["memory"] = memory(100_000 if options.quick else 640_000, options.threads, folder)
    for title, group in result["groups"].items():
        print(
            f"\n{title}, reference {group['reference']}; "
            f"control {format_interval(group['control'])}"
        )
        for way, milliseconds in group["ms_per_batch"].items():
            print(
                f"  {way:40} {milliseconds:7.3f} ms per {BATCH}  "
                f"x{format_interval(group['ratio'][way])}"
            )
    print(json.dumps(result["memory"], indent=2))
    write_record("data_path", result | {"machine": machine()}, quick=options.quick)


if __name__ == "__main__":
    main()
