"""Sixteen 16-64-4 nets in one stack (`aevb.fit_many`) and one after another. Takes about 6 minutes.

Hand-written loops are the reference. All numbers are per model: a step of the stack counts as
sixteen. One after another, the speed of one model is the speed of all sixteen.
"""

from __future__ import annotations

import numpy as np
from rounds import Contender, format_interval, interval, measure, per_sample, print_result
from script import make_parser, parse_options, write_record

NET = ("--net", "table")
ALONE, TOGETHER = "aevb.fit, one by one, compiled", "aevb.fit_many, compiled"


def contenders(models: int) -> list[Contender]:
    """The loops, the stack, and single models."""
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
    """Run the contenders and write the record."""
    parser = make_parser(__doc__, rounds=15, threads=[1, 2])
    parser.add_argument("--models", type=int, default=16)
    options = parse_options(parser)
    for threads in options.threads:
        running = contenders(options.models)
        found = measure(running, running[0], options.rounds, threads, 64, quick=options.quick)
        found["models"] = options.models
        found["steps_per_second_per_model"] = {
            c.name: float(1 / (np.median(per_sample(c)) * 64)) for c in running
        }
        times = {c.name: per_sample(c) for c in running}
        found["side_by_side"] = interval(times[ALONE], times[TOGETHER])
        print_result(found, f"{options.models} models")
        print(f"  stack over one by one, both compiled: x{format_interval(found['side_by_side'])}")
        write_record(f"many_{threads}", found, quick=options.quick)


if __name__ == "__main__":
    main()
