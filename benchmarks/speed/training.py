"""Training speed beside the references, on one thread and on two. Takes about 20 minutes.

``mnist`` is the 784-400-20 Bernoulli VAE, batch 128, Adam, on real binarized MNIST; ``table`` a 16-64-4 net with a Normal
likelihood, batch 64.
Usage: python benchmarks/speed/training.py [--workloads mnist table] [--rounds 15] [--threads 1 2]
(AEVB_DATA holds the data; `make bench` makes the environment of the references and runs this.)
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from rounds import THEIRS, Contender, measure

RESULTS = Path(__file__).parent / "results"


def mnist() -> list[Contender]:
    return [
        Contender("Pythae's trainer", "pythae_trainer.py", python=THEIRS),
        Contender("PyTorch loop, eager", "torch_loop.py"),
        Contender("JAX lax.scan", "jax_scan.py", python=THEIRS),
        Contender("aevb eager float32", "aevb_fit.py", ("float32", "eager")),
        Contender("aevb compiled float32", "aevb_fit.py", ("float32", "compiled")),
        Contender("aevb compiled bfloat16", "aevb_fit.py", ("bfloat16", "compiled")),
        Contender("matrix products float32", "gemm.py", ("float32",)),
        Contender("matrix products bfloat16", "gemm.py", ("bfloat16",)),
    ]


def table() -> list[Contender]:
    return [
        Contender("PyTorch loop, eager", "torch_tiny.py"),
        Contender("aevb eager", "aevb_tiny.py", ("eager",)),
        Contender("aevb compiled", "aevb_tiny.py", ("compiled",)),
    ]


WORKLOADS = {"mnist": mnist, "table": table}
BATCHES = {"mnist": 128, "table": 64}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workloads", nargs="+", default=list(WORKLOADS), choices=WORKLOADS)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()
    RESULTS.mkdir(exist_ok=True)
    for workload in options.workloads:
        for threads in options.threads:
            running = WORKLOADS[workload]()
            result = {"workload": workload} | measure(running, running[0], options.rounds, threads, BATCHES[workload])
            (RESULTS / f"training_{workload}_{threads}.json").write_text(json.dumps(result, indent=2) + "\n")
            show(result)


def show(result: dict) -> None:
    where = f"{result['workload']}, {result['threads']} thread(s), {result['rounds']} rounds"
    print(f"\n{where}, reference {result['reference']}; control {result['control']}")
    for name, entry in result["contenders"].items():
        ratio = entry["ratio"]
        speed = f"{entry['ms_per_batch']:6.2f} ms  {entry['samples_per_second']:9,.0f} samples/s"
        print(f"  {name:26} {speed}  x{ratio['median']:.2f} [{ratio['low']:.2f}, {ratio['high']:.2f}]")


if __name__ == "__main__":
    main()
