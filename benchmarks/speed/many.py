"""Sixteen 16-64-4 nets side by side (`aevb.fit_many`), beside one after another and beside hand-written loops. Takes about 6 minutes.

All numbers are per model: a step of the stack counts as sixteen. One after another, a model is alone in its time, so that the speed of
one is the speed of all sixteen.
"""

from __future__ import annotations

import numpy as np
from rounds import Contender, interval, measure, per_sample, said, show
from script import arguments, keep, parsed

NET = ("--net", "table")
ALONE, TOGETHER = "aevb.fit, one by one, compiled", "aevb.fit_many, compiled"


def contenders(models: int) -> list[Contender]:
    stack = (*NET, "--many", str(models))
    return [
        Contender("PyTorch loop, one by one, eager", "torch_loop.py", NET),
        Contender("PyTorch vmap, eager", "torch_many.py", (str(models),)),
        Contender("aevb.fit, one by one, eager", "aevb_fit.py", NET),
        Contender(ALONE, "aevb_fit.py", (*NET, "--compiled")),
        Contender("aevb.fit_many, eager", "aevb_fit.py", stack),
        Contender(TOGETHER, "aevb_fit.py", (*stack, "--compiled")),
    ]


def main() -> None:
    parser = arguments(__doc__, rounds=15, threads=[1, 2])
    parser.add_argument("--models", type=int, default=16)
    options = parsed(parser)
    for threads in options.threads:
        running = contenders(options.models)
        found = measure(running, running[0], options.rounds, threads, 64, quick=options.quick)
        found["models"] = options.models
        found["steps_per_second_per_model"] = {
            c.name: float(1 / (np.median(per_sample(c)) * 64)) for c in running
        }
        times = {c.name: per_sample(c) for c in running}
        found["figure_grid"] = interval(times[ALONE], times[TOGETHER])
        show(found, f"{options.models} models")
        print(f"  side by side over one by one, both compiled: x{said(found['figure_grid'])}")
        keep(f"many_{threads}", found, quick=options.quick)


if __name__ == "__main__":
    main()
