"""Training speed against other programs, on one thread and on two. Takes about 20 minutes.

mnist     the 784-400-20 Bernoulli VAE, batch 128, Adam, on binarized MNIST
table     a 16-64-4 net with a Normal likelihood and one scale, batch 64
weighted  a 784-200-200-50 importance-weighted autoencoder, 50 samples, batch 20, on binarized MNIST

AEVB_DATA is the folder of the data; `make bench` creates the environment of the references and runs
this script.
"""

from __future__ import annotations

import numpy as np
from rounds import (
    REFERENCE_PYTHON,
    Contender,
    format_interval,
    interval,
    measure,
    per_sample,
    print_result,
)
from script import make_parser, parse_options, write_record


def mnist() -> list[Contender]:
    """The contenders of mnist."""
    return [
        Contender("Pythae's trainer", "pythae_trainer.py", python=REFERENCE_PYTHON),
        Contender("PyTorch loop, eager", "torch_loop.py"),
        Contender("NumPyro SVI", "numpyro_svi.py", python=REFERENCE_PYTHON),
        Contender("JAX lax.scan", "jax_scan.py", python=REFERENCE_PYTHON),
        Contender("aevb eager float32", "aevb_fit.py"),
        Contender("aevb compiled float32", "aevb_fit.py", ("--compiled",)),
        Contender(
            "aevb compiled bfloat16", "aevb_fit.py", ("--compiled", "--precision", "bfloat16")
        ),
        *yardsticks("mnist"),
    ]


def table() -> list[Contender]:
    """The contenders of table."""
    return [
        Contender("PyTorch loop, eager", "torch_loop.py", ("--net", "table")),
        Contender("PyOD's VAE", "pyod_vae.py", python=REFERENCE_PYTHON),
        Contender("aevb eager", "aevb_fit.py", ("--net", "table")),
        Contender("aevb compiled", "aevb_fit.py", ("--net", "table", "--compiled")),
    ]


def weighted() -> list[Contender]:
    """The contenders of weighted."""
    net = ("--net", "weighted", "--rows", "2000")  # a block is 100 steps
    return [
        Contender("PyTorch loop, eager", "torch_loop.py", net),
        Contender("aevb eager float32", "aevb_fit.py", net),
        Contender("aevb compiled float32", "aevb_fit.py", (*net, "--compiled")),
        Contender(
            "aevb compiled bfloat16", "aevb_fit.py", (*net, "--compiled", "--precision", "bfloat16")
        ),
        *yardsticks("weighted"),
    ]


def yardsticks(net: str) -> list[Contender]:
    """The matrix products of a step alone, to compare machines."""
    return [
        Contender(f"matrix products {precision}", "gemm.py", (precision, net))
        for precision in ("float32", "bfloat16")
    ]


def against(contenders: list[Contender]) -> dict[str, dict[str, dict[str, float]]]:
    """`aevb` over the fastest other program, if that is not the reference."""
    seconds = {c.name: per_sample(c) for c in contenders}
    fastest = min(
        (name for name in seconds if not name.startswith(("aevb", "matrix"))),
        key=lambda name: float(np.median(seconds[name])),
    )
    if fastest == contenders[0].name:
        return {}
    return {
        fastest: {
            name: interval(seconds[fastest], seconds[name])
            for name in seconds
            if name.startswith("aevb")
        }
    }


def lines(found: dict[str, dict[str, dict[str, float]]]) -> list[str]:
    """The ratios as text."""
    return [
        f"  {ours} is x{format_interval(ratio)} as fast as {name}"
        for name, ratios in found.items()
        for ours, ratio in ratios.items()
    ]


WORKLOADS = {"mnist": mnist, "table": table, "weighted": weighted}
BATCHES = {"mnist": 128, "table": 64, "weighted": 20}


def main() -> None:
    """Run the workloads and write the records."""
    parser = make_parser(__doc__, rounds=15, threads=[1, 2])
    parser.add_argument("--workloads", nargs="+", default=list(WORKLOADS), choices=WORKLOADS)
    options = parse_options(parser)
    for workload in options.workloads:
        for threads in options.threads:
            contenders = WORKLOADS[workload]()
            found = measure(
                contenders,
                contenders[0],
                options.rounds,
                threads,
                BATCHES[workload],
                quick=options.quick,
            )
            found["against"] = against(contenders)
            print_result(found, workload)
            print(*lines(found["against"]), sep="\n", end="\n" if found["against"] else "")
            write_record(
                f"training_{workload}_{threads}",
                {"workload": workload} | found,
                quick=options.quick,
            )


if __name__ == "__main__":
    main()
