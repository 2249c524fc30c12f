"""Peak memory of a training step against the batch, with and without what bounds it. Takes about 3 minutes.

Each batch size is a fresh process; told is the most that it held during an epoch, less what it held when model and data were there. A
line through peak against batch gives what one row of a batch costs. --bounded '{"argument": value}' are arguments of `aevb.fit` that bound
the memory of activations, measured beside the plain run; without it the column stays empty.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from rounds import Contender, machine, running
from script import arguments, keep, parsed

NETS: dict[str, tuple[str, tuple[str, ...], tuple[int, ...]]] = {
    "784-400-20": ("mnist", (), (128, 512, 2048, 8192)),
    "784-400-20, 50 samples": ("mnist", ("--samples", "50"), (16, 64, 256, 1024)),
    "convolutions, 3 x 32 x 32": ("photographs", (), (32, 128, 512, 2048)),
}


def peak(
    net: str, more: tuple[str, ...], batch: int, threads: int, quick: bool, fit: str | None
) -> float:
    """MiB that a step of this batch needs on top of model, data and library."""
    rows = (
        "--rows",
        str(4 * batch),
    )  # four steps: the first makes the optimiser's state, which is part of what a run needs
    chosen = ("--net", net, "--batch", str(batch), *rows, *more, *(("--fit", fit) if fit else ()))
    contender = Contender(f"{net}, batch {batch}", "aevb_fit.py", chosen)
    with running([contender], threads, warm=0, quick=quick):
        before = contender.memory()["now"]
        contender.block()
        return contender.memory()["peak"] - before


def grown(batches: tuple[int, ...], mebibytes: list[float]) -> dict[str, Any]:
    slope, offset = np.polyfit(batches, mebibytes, 1)
    return {
        "mebibytes": mebibytes,
        "kibibytes_per_row": float(slope * 1024),
        "mebibytes_at_none": float(offset),
    }


def show(title: str, way: str, batches: tuple[int, ...], found: dict[str, Any]) -> None:
    values = ", ".join(
        f"{batch}: {value:.0f}" for batch, value in zip(batches, found["mebibytes"], strict=True)
    )
    print(f"{title}, {way}: MiB by batch {values}; {found['kibibytes_per_row']:.1f} KiB per row")


def main() -> None:
    parser = arguments(__doc__, threads=[2])
    parser.add_argument(
        "--bounded", metavar="JSON", help="arguments of fit that bound the memory of a step"
    )
    options = parsed(parser)
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
            show(title, way, batches, found[way])
        result["nets"][title] = {"batches": list(batches)} | found
    keep("memory", result | {"machine": machine()}, quick=options.quick)


if __name__ == "__main__":
    main()
