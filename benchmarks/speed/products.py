"""Float32 matrix products by MKL and by oneDNN. Takes 10 seconds.

MKL is PyTorch's choice on x86; the shapes are those of the 784-400-20 net.
"""

from __future__ import annotations

from functools import partial

import torch
from rounds import format_interval, machine, time_in_rounds
from script import make_parser, parse_options, write_record

from aevb._matmul import onednn_is_faster

SHAPES = {
    "forward": (128, 784, 400),
    "by the input": (128, 400, 784),
    "by the weights": (784, 128, 400),
    "evaluation": (1024, 400, 784),
}


def main() -> None:
    """Time the products and write the record."""
    parser = make_parser(__doc__, rounds=15, threads=[1])
    options = parse_options(parser)
    torch.set_num_threads(options.threads)
    found = {}
    for name, (rows, inner, columns) in SHAPES.items():
        a, b = torch.randn(rows, inner), torch.randn(inner, columns)
        ways = {
            "MKL": partial(torch.mm, a, b),
            "oneDNN": partial(torch.ops.mkldnn._linear_pointwise, a, b.T, None, "none", [], ""),
        }
        times = time_in_rounds(ways, options.rounds, at_least=0.0 if options.quick else 0.02)
        speed = {way: 2e-9 * rows * inner * columns / times.median(way) for way in ways}
        ratio = times.ratio("oneDNN")
        found[name] = {
            "shape": [rows, inner, columns],
            "gigaflops": speed,
            "ratio": ratio,
            "control": times.control,
        }
        each = ", ".join(f"{way} {value:4.0f}" for way, value in speed.items())
        print(
            f"{name:15} {rows:4} x {inner} x {columns}: {each} GFLOP/s, x{format_interval(ratio)}"
        )
    taken = "oneDNN" if onednn_is_faster() else "MKL"
    print(f"aevb takes {taken} on this processor.")
    write_record(
        "products",
        {"threads": options.threads, "shapes": found, "taken": taken, "machine": machine()},
        quick=options.quick,
    )


if __name__ == "__main__":
    main()
