"""Whether speed costs quality: 50 epochs of the 784-400-20 net on binarized MNIST, three seeds. Takes about 25 minutes.

Eager float32, compiled float32 and compiled bfloat16 take the same batches and the same noise; their ELBOs on the test part should differ
by less than 0.2 nats. Beside them run the hand-written loop, Pythae's trainer and JAX, each with its own rate (Adam, 1e-3; `aevb.fit`
warms up and anneals over the 50 epochs). Told is the training time, compiling included and validation not, until a fixed ELBO on the
validation part is reached: the mean over seeds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from rounds import THEIRS, Contender, in_turn, machine, running
from script import arguments, keep, parsed
from sections import plus_minus

EAGER = "aevb eager float32"
BOUNDS = (-110.0, -105.0, -102.0)


def contenders(seed: int, epochs: int, beside: list[str]) -> list[Contender]:
    """Our three, and those beside them whose names hold one of these words."""
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
        Contender("Pythae's trainer", "pythae_trainer.py", (str(seed),), python=THEIRS),
        Contender("JAX lax.scan", "jax_scan.py", (str(seed),), python=THEIRS),
    ]
    return [
        contender
        for contender in every
        if any(word in contender.name for word in ["aevb", *beside])
    ]


def trained(
    seed: int, epochs: int, beside: list[str], threads: int, quick: bool
) -> dict[str, dict[str, Any]]:
    """Every contender with this seed, epoch by epoch in turn: seconds trained and ELBO after each epoch, and the ELBO on the test part."""
    all_of_them = contenders(seed, epochs, beside)
    found: dict[str, dict[str, Any]] = {c.name: {"validation": []} for c in all_of_them}
    with running(all_of_them, threads, warm=0, quick=quick):
        for number in range(epochs):
            for contender in in_turn(all_of_them, number):
                contender.block()
                found[contender.name]["validation"].append(contender.score("validation"))
        for contender in all_of_them:
            found[contender.name]["test"] = contender.score("test")
            found[contender.name]["seconds"] = np.cumsum(contender.seconds).tolist()
    return found


def reached(run: dict[str, Any], bound: float) -> float | None:
    """Seconds of training at the end of the first epoch that is as good, ``None`` where there is none."""
    return next(
        (
            seconds
            for seconds, value in zip(run["seconds"], run["validation"], strict=True)
            if value >= bound
        ),
        None,
    )


def mean(values: list[float]) -> dict[str, float | None]:
    """Mean over seeds with its standard error, which a single seed does not have."""
    error = float(np.std(values, ddof=1) / len(values) ** 0.5) if len(values) > 1 else None
    return {"mean": float(np.mean(values)), "standard_error": error}


def summary(runs: list[dict[str, dict[str, Any]]], bounds: list[float]) -> dict[str, Any]:
    """Means over seeds; a bound is only told for a contender that reached it with every seed."""
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


def show(found: dict[str, Any]) -> None:
    for name, entry in found.items():
        times = ", ".join(
            f"{bound}: " + ("not reached" if at is None else f"{at['mean']:.0f} s")
            for bound, at in entry["reached"].items()
        )
        test, difference = plus_minus(entry["test"], ".2f"), plus_minus(entry["difference"], "+.3f")
        print(
            f"{name:24} test ELBO {test}, minus eager {difference}; {entry['seconds']['mean']:.0f} s; {times}"
        )


def main() -> None:
    parser = arguments(__doc__, threads=[2])
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
    options = parsed(parser)
    epochs, seeds = (2, 1) if options.quick else (options.epochs, options.seeds)
    runs = []
    for seed in range(seeds):
        runs.append(trained(seed, epochs, options.beside, options.threads, options.quick))
        print(
            f"seed {seed}: "
            + ", ".join(f"{name} {run['test']:.2f}" for name, run in runs[-1].items())
        )
    found = summary(runs, [-250.0] if options.quick else options.bounds)
    show(found)
    result = {
        "threads": options.threads,
        "epochs": epochs,
        "seeds": seeds,
        "contenders": found,
        "runs": runs,
        "machine": machine(),
    }
    keep("quality", result, quick=options.quick)


if __name__ == "__main__":
    main()
