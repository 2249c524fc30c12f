"""The effect of speed on quality: 50 epochs on MNIST, three seeds. Takes about 25 minutes.

With the 784-400-20 net, eager float32, compiled float32 and compiled bfloat16 have the same batches
and the same noise; their test ELBOs should differ by less than 0.2 nats. The hand-written loop,
Pythae's trainer and JAX run beside them with their own learning rates (Adam, 1e-3; `aevb.fit` has a
warm-up and a cosine over the 50 epochs). The record has the training time, with compilation and
without validation, until a fixed validation ELBO is reached: the mean over seeds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from rounds import REFERENCE_PYTHON, Contender, machine, round_order, run_processes
from script import make_parser, parse_options, write_record
from sections import plus_minus

EAGER = "aevb eager float32"
BOUNDS = (-110.0, -105.0, -102.0)


def contenders(seed: int, epochs: int, beside: list[str]) -> list[Contender]:
    """The three ways of `aevb`, and the others whose names contain one of these words."""
    ours = ("--epochs", str(epochs), "--seed", str(seed))
    every = [
        Contender(EAGER, "aevb_fit.py", ours),
        Contender("aevb compiled float32", "aevb_fit.py", (*ours, "--compiled")),
        Contender(
            "aevb compiled bfloat16",
            "aevb_fit.py",
            (*ours, "--compiled", "--precision", "bfloat16"),
        ),
        Contender("PyTorch loop, eager", "torch_loop.py", ("--seed", str(seed))),
        Contender("Pythae's trainer", "pythae_trainer.py", (str(seed),), python=REFERENCE_PYTHON),
        Contender("JAX lax.scan", "jax_scan.py", (str(seed),), python=REFERENCE_PYTHON),
    ]
    return [
        contender
        for contender in every
        if any(word in contender.name for word in ["aevb", *beside])
    ]


def trained(
    seed: int, epochs: int, beside: list[str], threads: int, quick: bool
) -> dict[str, dict[str, Any]]:
    """Every contender with this seed: seconds and ELBO after each epoch, and the test ELBO."""
    all_of_them = contenders(seed, epochs, beside)
    found: dict[str, dict[str, Any]] = {c.name: {"validation": []} for c in all_of_them}
    with run_processes(all_of_them, threads, warm=0, quick=quick):
        for number in range(epochs):
            for contender in round_order(all_of_them, number):
                contender.block()
                found[contender.name]["validation"].append(contender.score("validation"))
        for contender in all_of_them:
            found[contender.name]["test"] = contender.score("test")
            found[contender.name]["seconds"] = np.cumsum(contender.seconds).tolist()
    return found


def reached(run: dict[str, Any], bound: float) -> float | None:
    """Seconds of training to the first epoch that reaches the bound; None if none does."""
    return next(
        (
            seconds
            for seconds, value in zip(run["seconds"], run["validation"], strict=True)
            if value >= bound
        ),
        None,
    )


def mean(values: list[float]) -> dict[str, float | None]:
    """Mean over seeds with its standard error; a single seed has none."""
    error = float(np.std(values, ddof=1) / len(values) ** 0.5) if len(values) > 1 else None
    return {"mean": float(np.mean(values)), "standard_error": error}


def summary(runs: list[dict[str, dict[str, Any]]], bounds: list[float]) -> dict[str, Any]:
    """Means over seeds; None for a bound that some seed does not reach."""
    found: dict[str, Any] = {}
    for name in runs[0]:
        times = {bound: [reached(run[name], bound) for run in runs] for bound in bounds}
        found[name] = {
            "test": mean([run[name]["test"] for run in runs]),
            "difference": mean([run[name]["test"] - run[EAGER]["test"] for run in runs]),
            "seconds": mean([run[name]["seconds"][-1] for run in runs]),
            "reached": {
                str(bound): None if None in seconds else mean(seconds)
                for bound, seconds in times.items()
            },  # type: ignore[arg-type]
            "first_epoch_difference": max(
                abs(run[name]["validation"][0] - run[EAGER]["validation"][0]) for run in runs
            ),
        }
    return found


def print_result(found: dict[str, Any]) -> None:
    """Print the summary."""
    for name, entry in found.items():
        times = ", ".join(
            f"{bound}: " + ("not reached" if at is None else f"{at['mean']:.0f} s")
            for bound, at in entry["reached"].items()
        )
        test, difference = plus_minus(entry["test"], ".2f"), plus_minus(entry["difference"], "+.3f")
        print(
            f"{name:24} test ELBO {test}, minus eager {difference}; "
            f"{entry['seconds']['mean']:.0f} s; {times}"
        )


def main() -> None:
    """Run all seeds and write the record."""
    parser = make_parser(__doc__, threads=[2])
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--bounds",
        type=float,
        nargs="+",
        default=list(BOUNDS),
        help="validation ELBOs to reach, in nats",
    )
    parser.add_argument(
        "--beside",
        nargs="*",
        default=["PyTorch", "Pythae", "JAX"],
        help="whom to run beside ours, by a part of the name",
    )
    options = parse_options(parser)
    epochs, seeds = (2, 1) if options.quick else (options.epochs, options.seeds)
    runs = []
    for seed in range(seeds):
        runs.append(trained(seed, epochs, options.beside, options.threads, options.quick))
        print(
            f"seed {seed}: "
            + ", ".join(f"{name} {run['test']:.2f}" for name, run in runs[-1].items())
        )
    found = summary(runs, [-250.0] if options.quick else options.bounds)
    print_result(found)
    result = {
        "threads": options.threads,
        "epochs": epochs,
        "seeds": seeds,
        "contenders": found,
        "runs": runs,
        "machine": machine(),
    }
    write_record("quality", result, quick=options.quick)


if __name__ == "__main__":
    main()
