"""Peak memory of a training step against the batch size. Takes about 3 minutes.

Each batch size is a new process; the number is the peak during an epoch minus the memory with model
and data loaded. A line through peak against batch gives the cost of one row. --bounded
'{"argument": value}' has arguments of `aevb.fit` that bound the memory of activations, measured
beside the plain run; without it the column stays empty.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from rounds import Contender, machine, run_processes
from script import make_parser, parse_options, write_record

NETS: dict[str, tuple[str, tuple[str, ...], tuple[int, ...]]] = {
    "784-400-20": ("mnist", (), (128, 512, 2048, 8192)),
    "784-400-20, 50 samples": ("mnist", ("--samples", "50"), (16, 64, 256, 1024)),
    "convolutions, 3 x 32 x 32": ("photographs", (), (32, 128, 512, 2048)),
}


def peak(
    net: str, more: tuple[str, ...], batch: int, threads: int, quick: bool, fit: str | None
) -> float:
    """MiB of a step of this batch on top of model, data and library."""
    rows = (
        "--rows",
        str(4 * batch),
    )  # four steps: the first creates the state of the optimiser, which belongs to a run
    chosen = ("--net", net, "--batch", str(batch), *rows, *more, *(("--fit", fit) if fit else ()))
    contender = Contender(f"{net}, batch {batch}", "aevb_fit.py", chosen)
    with run_processes([contender], threads, warm=0, quick=quick):
        before = contender.memory()["now"]
        contender.block()
        return contender.memory()["peak"] - before


def grown(batches: tuple[int, ...], mebibytes: list[float]) -> dict[str, Any]:
    """The record of a net with its cost per row."""
    slope, offset = np.polyfit(batches, mebibytes, 1)
    return {
        "mebibytes": mebibytes,
        "kibibytes_per_row": float(slope * 1024),
        "mebibytes_at_none": float(offset),
    }


def print_result(title: str, way: str, batches: tuple[int, ...], found: dict[str, Any]) -> None:
    """Print the memory by batch."""
    values = ", ".join(
        f"{batch}: {value:.0f}" for batch, value in zip(batches, found["mebibytes"], strict=True)
    )
    print(f"{title}, {way}: MiB by batch {values}; {found['kibibytes_per_row']:.1f} KiB per row")


def main() -> None:
    """Run all batches and write the record."""
    parser = make_parser(__doc__, threads=[2])
    parser.add_argument(
        "--bounded", metavar="JSON", help="arguments of fit that bound the memory of a step"
    )
    options = parse_options(parser)
    ways = {"plain": None} | ({"bounded": options.bounded} if options.bounded else {})
    result: dict[str, Any] = {
        "threads": options.threads,
        "bounded": options.bounded and json.loads(options.bounded),
        "nets": {},
    }
    for title, (net, more, sizes) in NETS.items():
        batches = sizes[:2] if options.quick else sizes
        found = {}
        for way, fit in ways.items():
            found[way] = grown(
                batches,
                [peak(net, more, batch, options.threads, options.quick, fit) for batch in batches],
            )
            print_result(title, way, batches, found[way])
        result["nets"][title] = {"batches": list(batches)} | found
    write_record("memory", result | {"machine": machine()}, quick=options.quick)


if __name__ == "__main__":
    main()
