"""Whether a long run slows down or grows: 100,000 steps of the 16-64-4 net, window by window. Takes about 4 minutes.

A window is an epoch (1,000 steps of the table, 390 of MNIST). Time per step and memory of the process are noted after each, and a robust
line through them gives the change from the first window to the last, with a 95 % interval. --nets mnist runs the 784-400-20 net for
20,000 steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from rounds import Contender, machine, running, said
from script import arguments, keep, parsed
from slopes import trend


@dataclass(frozen=True)
class Long:
    """A run: its title, the arguments of ``contenders/aevb_fit.py``, the steps of it, and the steps of a window."""

    title: str
    arguments: tuple[str, ...]
    steps: int
    window: int


RUNS = {
    "table": Long("16-64-4, eager", ("--net", "table"), 100_000, 1_000),
    "table-compiled": Long("16-64-4, compiled", ("--net", "table", "--compiled"), 100_000, 1_000),
    "mnist": Long("784-400-20, compiled", ("--compiled",), 20_000, 390),
}


def walked(run: Long, threads: int, quick: bool) -> dict[str, Any]:
    """Milliseconds per step and MiB in every window, after a warm-up of two."""
    contender = Contender(run.title, "aevb_fit.py", run.arguments)
    windows = 12 if quick else run.steps // run.window
    held, milliseconds = [], []
    with running([contender], threads, warm=0, quick=quick):
        [contender.block() for _ in range(2)]
        for _ in range(windows):
            milliseconds.append(contender.block() / float(contender.about["steps"]) * 1e3)  # type: ignore[arg-type]
            held.append(contender.memory()["now"])
    return {
        "title": run.title,
        "steps": windows * int(contender.about["steps"]),  # type: ignore[call-overload]
        "milliseconds": milliseconds,
        "mebibytes": held,
        "change": {"milliseconds": trend(milliseconds), "mebibytes": trend(held)},
    }


def show(run: dict[str, Any]) -> None:
    middle, change = np.median(run["milliseconds"]), run["change"]
    relative = {name: 100 * value / middle for name, value in change["milliseconds"].items()}
    print(
        f"{run['title']}: {run['steps']:,} steps of {middle:.3f} ms; change over the run {said(relative)} %; "
        f"{run['mebibytes'][0]:.0f} MiB at first, {run['mebibytes'][-1]:.0f} at last, change {said(change['mebibytes'])} MiB"
    )


def main() -> None:
    parser = arguments(__doc__, threads=[1])
    parser.add_argument("--nets", nargs="+", default=list(RUNS), choices=RUNS)
    options = parsed(parser)
    result: dict[str, Any] = {"threads": options.threads, "runs": {}}
    for name in options.nets:
        result["runs"][name] = walked(RUNS[name], options.threads, options.quick)
        show(result["runs"][name])
    keep("steady", result | {"machine": machine()}, quick=options.quick)


if __name__ == "__main__":
    main()
