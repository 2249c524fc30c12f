"""Overheads around the steps: import, first step, compilation, Ctrl-C. Takes about 8 minutes.

start      importing torch and aevb, and `aevb --help`, as separate processes
first step from the start of the process to the end of its first step: a hand-written loop; `aevb`
           eager, compiled with an empty cache folder, compiled with a full one
break-even steps until compilation has paid off, from these times and the times per step of
           `training.py`
Ctrl-C     from the signal to `aevb fit` until its process has ended, with the best weights and a
           checkpoint in its folder
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rounds import Contender, bootstrap, format_interval, machine, run_processes, time_in_rounds
from script import load_record, make_parser, parse_options, write_record

COMMANDS = {
    "import torch": ["-c", "import torch"],
    "import aevb": ["-c", "import aevb"],
    "import aevb, all of it": ["-c", "import aevb; aevb.fit, aevb.metrics, aevb.presets"],
    "aevb --help": ["-m", "aevb", "--help"],
}
NETS = {
    "table": ("16-64-4", 64, ("aevb eager", "aevb compiled")),
    "mnist": ("784-400-20", 128, ("aevb eager float32", "aevb compiled float32")),
}
LOOP, STATES = "PyTorch loop", ("eager", "compiled, cold", "compiled, warm")


def starting(rounds: int) -> dict[str, Any]:
    """Seconds of each command, and the excess of the whole library over torch alone."""
    ways = {
        name: partial(subprocess.run, [sys.executable, *rest], check=True, capture_output=True)
        for name, rest in COMMANDS.items()
    }
    times = time_in_rounds(ways, rounds)
    more = times.seconds["import aevb, all of it"] - times.seconds["import torch"]
    return {
        "seconds": {name: bootstrap(values) for name, values in times.seconds.items()},
        "more_than_torch": bootstrap(more),
    }


def first(
    net: str, batch: int, state: str, cache: str, threads: int, quick: bool
) -> tuple[float, float]:
    """Seconds to the gate of a process, and of its first step; ``cache`` has compiled code."""
    compiled = ("--compiled",) if state in STATES[1:] else ()
    chosen = ("--net", net, "--rows", str(batch), *compiled)  # an epoch is one step
    script = "torch_loop.py" if state == LOOP else "aevb_fit.py"
    contender = Contender(
        f"{net}, {state}", script, chosen, environment={"TORCHINDUCTOR_CACHE_DIR": cache}
    )
    start_time = time.perf_counter()
    with run_processes([contender], threads, warm=0, quick=quick):
        ready = time.perf_counter() - start_time
        return ready, contender.block()


def first_steps(net: str, rounds: int, threads: int, quick: bool) -> dict[str, Any]:
    """First steps of the loop and of `aevb` in three states, the last with a warm cache."""
    title, batch, _ = NETS[net]
    ready: dict[str, list[float]] = {state: [] for state in (LOOP, *STATES)}
    step: dict[str, list[float]] = {state: [] for state in ready}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as cache:
            for state in ready:
                before, took = first(net, batch, state, cache, threads, quick)
                ready[state].append(before)
                step[state].append(took)
    return {
        "title": title,
        "to_first_step": {state: bootstrap(np.add(ready[state], step[state])) for state in ready},
        "first_step": {state: bootstrap(np.array(step[state])) for state in ready},
        "compiling": {
            state: bootstrap(np.subtract(step[state], step["eager"])) for state in STATES[1:]
        },
    }


def break_even(
    net: str, compiling: dict[str, Any], threads: int, quick: bool
) -> dict[str, float] | None:
    """Steps until compilation has paid off; None without measured steps."""
    found = load_record(f"training_{net}_{threads}", quick=quick)
    if found is None:
        return None
    eager, compiled = (found["contenders"][name]["ms_per_batch"] / 1e3 for name in NETS[net][2])
    return {state: value["median"] / (eager - compiled) for state, value in compiling.items()}


def interrupted(source: str, threads: int, wait: float) -> float:
    """Seconds from Ctrl-C, ``wait`` seconds into the second epoch, to the end of the process."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        command = [
            sys.executable,
            "-m",
            "aevb",
            "fit",
            source,
            "--out",
            str(run),
            "--epochs",
            "1000",
            "--quiet",
        ]
        environment = {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
        process = subprocess.Popen(
            command,
            env=os.environ | environment,
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        while not (run / "history.jsonl").exists():
            if process.poll() is not None:
                raise RuntimeError(f"`{' '.join(command[2:])}` ended by itself")
            time.sleep(0.01)
        time.sleep(wait)
        start_time = time.perf_counter()
        process.send_signal(signal.SIGINT)
        code = process.wait()
        took = time.perf_counter() - start_time
        left = {path.name for path in run.iterdir()}
        missing = {"model.json", "model.safetensors", "history.jsonl", "checkpoint"} - left
        if code != 130 or missing:
            raise RuntimeError(
                f"Ctrl-C: exit code {code} instead of 130, "
                f"missing in the run folder: {sorted(missing) or 'nothing'}"
            )
        json.loads((run / "model.json").read_text())
        return took


def stopping(rounds: int, threads: int, quick: bool) -> dict[str, Any]:
    """Interrupts spread over two seconds, so that some meet the validation."""
    sources = ["digits"] if quick else ["digits", "binarized-mnist"]
    waits = np.linspace(0, 2, rounds, endpoint=False)
    return {
        source: bootstrap(np.array([interrupted(source, threads, wait) for wait in waits]))
        for source in sources
    }


def print_result(result: dict[str, Any]) -> None:
    """Print all overheads."""
    for name, found in result["start"]["seconds"].items():
        print(f"{name:24} {format_interval(found)} s")
    print(f"{'more than torch alone':24} {format_interval(result['start']['more_than_torch'])} s")
    for net in result["first_step"].values():
        for state, found in net["to_first_step"].items():
            print(
                f"{net['title']}, {state:15} {format_interval(found)} s to the first step, "
                f"of which {format_interval(net['first_step'][state])} s in the step"
            )
        even = net["break_even_steps"] or {}
        steps = ", ".join(f"{state} after {value:,.0f} steps" for state, value in even.items())
        print(
            f"{net['title']}, break-even steps: "
            f"{steps or 'no times per step, run training.py first'}"
        )
    for source, found in result["interrupt"].items():
        print(f"Ctrl-C to the end of `aevb fit {source}`: {format_interval(found)} s")


def main() -> None:
    """Run all parts and write the record."""
    parser = make_parser(__doc__, rounds=7, threads=[2])
    options = parse_options(parser)
    result: dict[str, Any] = {
        "threads": options.threads,
        "rounds": options.rounds,
        "start": starting(options.rounds),
        "first_step": {},
    }
    for net in ["table"] if options.quick else NETS:
        found = first_steps(
            net, 1 if options.quick else options.rounds, options.threads, options.quick
        )
        found["break_even_steps"] = break_even(
            net, found["compiling"], options.threads, options.quick
        )
        result["first_step"][net] = found
    result["interrupt"] = stopping(options.rounds, options.threads, options.quick)
    print_result(result)
    write_record("overheads", result | {"machine": machine()}, quick=options.quick)


if __name__ == "__main__":
    main()
