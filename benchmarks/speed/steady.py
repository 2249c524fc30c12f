"""Steadiness of a long run: 100,000 steps of the 16-64-4 net, by window. Takes about 4 minutes.

A window is an epoch (1,000 steps of the table, 390 of MNIST). The record has time per step and
memory of the process after each window, and the change from the first window to the last along a
robust line, with a 95 % interval. --nets mnist runs the 784-400-20 net for 20,000 steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from rounds import Contender, format_interval, machine, run_processes
from script import make_parser, parse_options, write_record
from slopes import trend


@dataclass(frozen=True)
class LongRun:
    """A run: title, arguments of ``aevb_fit.py``, its steps, and the steps of a window."""

    title: str
    arguments: tuple[str, ...]
    steps: int
    window: int


RUNS = {
    "table": LongRun("16-64-4, eager", ("--net", "table"), 100_000, 1_000),
    "table-compiled": LongRun(
        "16-64-4, compiled", ("--net", "table", "--compiled"), 100_000, 1_000
    ),
    "mnist": LongRun("784-400-20, compiled", ("--compiled",), 20_000, 390),
}


def walked(run: LongRun, threads: int, quick: bool) -> dict[str, Any]:
    """Milliseconds per step and MiB in every window, after a warm-up of two windows."""
    contender = Contender(run.title, "aevb_fit.py", run.arguments)
    windows = 12 if quick else run.steps // run.window
    held, milliseconds = [], []
    with run_processes([contender], threads, warm=0, quick=quick):
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


def print_result(run: dict[str, Any]) -> None:
    """Print the changes."""
    middle, change = np.median(run["milliseconds"]), run["change"]
    relative = {name: 100 * value / middle for name, value in change["milliseconds"].items()}
    print(
        f"{run['title']}: {run['steps']:,} steps of {middle:.3f} ms; "
        f"change over the run {format_interval(relative)} %; "
        f"{run['mebibytes'][0]:.0f} MiB at first, {run['mebibytes'][-1]:.0f} at last, "
        f"change {format_interval(change['mebibytes'])} MiB"
    )


def main() -> None:
    """Run the nets and write the record."""
    parser = make_parser(__doc__, threads=[1])
    parser.add_argument("--nets", nargs="+", default=list(RUNS), choices=RUNS)
    options = parse_options(parser)
    result: dict[str, Any] = {"threads": options.threads, "runs": {}}
    for name in options.nets:
        result["runs"][name] = walked(RUNS[name], options.threads, options.quick)
        print_result(result["runs"][name])
    write_record("steady", result | {"machine": machine()}, quick=options.quick)


if __name__ == "__main__":
    main()
