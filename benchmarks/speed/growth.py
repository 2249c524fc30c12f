"""The growth of the cost of a training step and of an evaluation. Takes about 15 minutes.

training     rows (an epoch), samples K, width, latent variables, models in a stack; eager float32
             unless --compiled
evaluation   rows, samples K, width, latent variables; importance sampling with the 784-400-20 net

Each size is a separate process, and the sizes of an axis take turns in rounds. In each round a line
through the logarithms gives an exponent: 1 is proportional, 0 is free. The record has its median
over rounds with a bootstrap 95 % interval, over all sizes and over the last decade, where fixed
costs matter least. Ranks (data parallel) are not measured: they need more than one processor or
accelerator.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from rounds import Contender, format_interval, machine, round_order, run_processes, time_in_rounds
from script import make_parser, parse_options, write_record
from slopes import last_decade, power

import aevb
from aevb._random import seed_scope


@dataclass(frozen=True)
class GrowthAxis:
    """A size, its values, the unit of the cost, and fixed arguments of ``aevb_fit.py``."""

    title: str
    unit: str
    sizes: tuple[int, ...]
    arguments: tuple[str, ...] = ()


TRAINING = {
    "rows": GrowthAxis("rows of the data", "epoch", (1_000, 3_000, 10_000, 30_000, 100_000)),
    "samples": GrowthAxis(
        "samples K of the bound", "step", (1, 3, 10, 30, 100), ("--batch", "20", "--rows", "2000")
    ),
    "hidden": GrowthAxis(
        "width of the hidden layers", "step", (50, 100, 200, 400, 800, 1600), ("--rows", "12800")
    ),
    "latent": GrowthAxis("latent variables", "step", (2, 6, 20, 60, 200), ("--rows", "12800")),
    "many": GrowthAxis(
        "models in a stack", "step", (1, 2, 4, 8, 16, 32, 64), ("--net", "table", "--rows", "6400")
    ),
}
EVALUATION = {
    "rows": GrowthAxis("rows of the data", "evaluation", (10, 30, 100, 300, 1000)),
    "samples": GrowthAxis("samples K", "evaluation", (10, 30, 100, 300, 1000)),
    "hidden": GrowthAxis(
        "width of the hidden layers", "evaluation", (50, 100, 200, 400, 800, 1600)
    ),
    "latent": GrowthAxis("latent variables", "evaluation", (2, 6, 20, 60, 200)),
}
USUAL = {"rows": 256, "samples": 200, "hidden": 400, "latent": 20}
SMALL = {
    "rows": (500, 1000),
    "samples": (1, 3),
    "hidden": (16, 32),
    "latent": (2, 4),
    "many": (1, 2),
}


def training(
    name: str, axis: GrowthAxis, rounds: int, threads: int, quick: bool, compiled: bool
) -> dict[str, Any]:
    """Seconds of an epoch or of a joint step at each size, ``[rounds, sizes]``."""
    on = ("--compiled",) if compiled else ()
    contenders = [
        Contender(str(size), "aevb_fit.py", (*axis.arguments, *on, f"--{name}", str(size)))
        for size in axis.sizes
    ]
    with run_processes(contenders, threads, quick=quick):
        for number in range(rounds):
            for contender in round_order(contenders, number):
                contender.block()
    units = [1.0 if axis.unit == "epoch" else float(c.about["steps"]) for c in contenders]  # type: ignore[arg-type]
    seconds = np.array(
        [np.array(c.seconds) / unit for c, unit in zip(contenders, units, strict=True)]
    ).T
    return grown(axis, seconds)


def evaluation(name: str, axis: GrowthAxis, rounds: int, quick: bool) -> dict[str, Any]:
    """Seconds of one evaluation at each size, ``[rounds, sizes]``."""
    data = aevb.data.load("binarized-mnist")
    ways = {str(size): evaluated(USUAL | {name: size}, data) for size in axis.sizes}
    times = time_in_rounds(ways, rounds, at_least=0.02 if quick else 0.3)
    return grown(axis, np.array(list(times.seconds.values())).T)


def evaluated(size: dict[str, int], data: aevb.data.Dataset) -> Callable[[], object]:
    """A way to evaluate at a size."""
    with seed_scope(0):
        model = aevb.presets.vae(data.spec, latent=size["latent"], hidden=[size["hidden"]]).model
    return partial(aevb.metrics.log_likelihood, model, data.test[: size["rows"]], size["samples"])


def grown(axis: GrowthAxis, seconds: np.ndarray) -> dict[str, Any]:
    """The record of an axis."""
    middle = np.median(seconds, axis=0)
    low, high = np.quantile(seconds, [0.25, 0.75], axis=0)
    return {
        "title": axis.title,
        "unit": axis.unit,
        "sizes": list(axis.sizes),
        "seconds": middle.tolist(),
        "quartiles": [low.tolist(), high.tolist()],
        "slope": power(axis.sizes, seconds),
        "last_decade": last_decade(axis.sizes, seconds),
    }


def print_result(kind: str, found: dict[str, Any]) -> None:
    """Print the exponents."""
    times = ", ".join(
        f"{size:,}: {value * 1e3:.3g}"
        for size, value in zip(found["sizes"], found["seconds"], strict=True)
    )
    print(
        f"{kind}, {found['title']}: exponent {format_interval(found['slope'])}, "
        f"last decade {format_interval(found['last_decade'])}"
    )
    print(f"  ms per {found['unit']} by size: {times}")


def main() -> None:
    """Run all axes and write the record."""
    parser = make_parser(__doc__, rounds=15, threads=[1])
    parser.add_argument(
        "--training", nargs="*", default=list(TRAINING), choices=TRAINING, help="axes of training"
    )
    parser.add_argument(
        "--evaluation",
        nargs="*",
        default=list(EVALUATION),
        choices=EVALUATION,
        help="axes of evaluation",
    )
    parser.add_argument(
        "--compiled", action="store_true", help="compiled steps (ten seconds more for each size)"
    )
    options = parse_options(parser)
    torch.set_num_threads(options.threads)
    about = {name: vars(options)[name] for name in ("threads", "rounds", "compiled")}
    result: dict[str, Any] = about | {"training": {}, "evaluation": {}}
    for name in options.training:
        axis = shortened(name, TRAINING[name], options.quick)
        result["training"][name] = training(
            name, axis, options.rounds, options.threads, options.quick, options.compiled
        )
        print_result("training", result["training"][name])
    for name in options.evaluation:
        axis = shortened(name, EVALUATION[name], options.quick)
        result["evaluation"][name] = evaluation(name, axis, options.rounds, options.quick)
        print_result("evaluation", result["evaluation"][name])
    write_record("growth", result | {"machine": machine()}, quick=options.quick)


def shortened(name: str, axis: GrowthAxis, quick: bool) -> GrowthAxis:
    """An axis with fewer sizes for a quick run."""
    return GrowthAxis(axis.title, axis.unit, SMALL[name], axis.arguments) if quick else axis


if __name__ == "__main__":
    main()
