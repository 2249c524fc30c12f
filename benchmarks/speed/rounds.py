"""Rounds of contenders: interleaved blocks, paired ratios with intervals, an A/A control.

In each round every contender runs one block, in an order that is reversed from round to round; the reference runs twice, and the ratio of
its two blocks is the resolution of the measurement. Absolute times are shown, and compared only inside a run.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
CONTENDERS = HERE / "contenders"
OURS = Path(sys.executable)
THEIRS = HERE / ".references" / "bin" / "python"


@dataclass
class Contender:
    """A script with its arguments, the environment it runs in, and the seconds of its blocks."""

    name: str
    script: str
    arguments: tuple[str, ...] = ()
    python: Path = OURS
    seconds: list[float] = field(default_factory=list)
    about: dict[str, object] = field(default_factory=dict)

    def start(self, threads: int) -> None:
        flags = f"--xla_cpu_multi_thread_eigen={'true' if threads > 1 else 'false'} intra_op_parallelism_threads={threads}"
        environment = os.environ | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads), "XLA_FLAGS": flags}
        command = [str(self.python), str(CONTENDERS / self.script), str(threads), *self.arguments]
        if threads == 1:
            command = ["taskset", "-c", "0", *command]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        while not (line := self._read()).startswith("ready "):
            pass
        self.about = json.loads(line.removeprefix("ready "))

    def block(self) -> float:
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        while True:
            try:
                return float(self._read())
            except ValueError:  # a banner of the contender's own
                continue

    def stop(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()

    def _read(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended: {' '.join(map(str, self.process.args))}")  # type: ignore[arg-type]
        return line.strip()


def measure(contenders: list[Contender], reference: Contender, rounds: int, threads: int, batch: int) -> dict[str, object]:
    """Run the rounds; the result is what is written as JSON."""
    for contender in contenders:
        contender.start(threads)
    again: list[float] = []
    for number in range(rounds):
        for contender in contenders if number % 2 == 0 else contenders[::-1]:
            contender.seconds.append(contender.block())
        again.append(reference.block())
    for contender in contenders:
        contender.stop()
    return {
        "threads": threads,
        "rounds": rounds,
        "batch": batch,
        "reference": reference.name,
        "machine": machine(),
        "control": interval(np.array(again), np.array(reference.seconds)),
        "contenders": {c.name: summary(c, reference, batch) for c in contenders},
    }


def summary(contender: Contender, reference: Contender, batch: int) -> dict[str, object]:
    """Speed, and the paired ratio of speeds to the reference: above 1 is faster."""
    samples, theirs = float(contender.about["samples"]), float(reference.about["samples"])  # type: ignore[arg-type]
    seconds = np.array(contender.seconds) / samples
    return {
        "samples_per_second": float(1 / np.median(seconds)),
        "ms_per_batch": float(np.median(seconds) * batch * 1e3),
        "best_ms_per_batch": float(np.min(seconds) * batch * 1e3),
        "ratio": interval(np.array(reference.seconds) / theirs, seconds),
        "about": contender.about,
    }


def interval(slower: np.ndarray, faster: np.ndarray, draws: int = 10_000) -> dict[str, float]:
    """Median of ``slower / faster`` over rounds, with a bootstrap 95 % interval."""
    ratios = np.log(slower / faster)
    generator = np.random.default_rng(0)
    medians = np.median(generator.choice(ratios, (draws, len(ratios))), axis=1)
    low, high = np.quantile(medians, [0.025, 0.975])
    return {"median": float(np.exp(np.median(ratios))), "low": float(np.exp(low)), "high": float(np.exp(high))}


def machine() -> dict[str, object]:
    """What the numbers depend on."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    fields = dict(line.split(":", 1) for line in info.split("\n\n")[0].splitlines() if ":" in line)
    named = {name.strip(): value.strip() for name, value in fields.items()}
    wanted = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
    return {
        "processor": named.get("model name", platform.processor()),
        "family": named.get("cpu family"),
        "cores": os.cpu_count(),
        "flags": [flag for flag in wanted if flag in named.get("flags", "").split()],
        "system": platform.system(),
        "python": platform.python_version(),
    }
