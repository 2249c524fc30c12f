"""Rounds of contenders: interleaved blocks, paired ratios with intervals, an A/A control.

In each round every contender runs one block, in an order that alternates from round to round; the
reference runs twice, and the ratio of its two blocks is the resolution of the measurement. Absolute
times are comparable inside a run alone.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
CONTENDERS = HERE / "contenders"
OWN_PYTHON = Path(sys.executable)
REFERENCE_PYTHON = HERE / ".references" / "bin" / "python"


@dataclass
class Contender:
    """A script, its arguments and environment, and the seconds of its blocks (see ``gate.py``)."""

    name: str
    script: str
    arguments: tuple[str, ...] = ()
    python: Path = OWN_PYTHON
    environment: dict[str, str] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)  # wall time of a unit of work, per block
    processor: list[float] = field(default_factory=list)  # processor time of the same
    about: dict[str, object] = field(default_factory=dict)

    def start(self, threads: int, *, warm: int = 2, quick: bool = False) -> None:
        """Start the process and wait until it is at its gate, after ``warm`` units of work."""
        eigen = "true" if threads > 1 else "false"
        flags = f"--xla_cpu_multi_thread_eigen={eigen} intra_op_parallelism_threads={threads}"
        gate = json.dumps({"warm": warm, "quick": quick})
        limits = {
            "OMP_NUM_THREADS": str(threads),
            "MKL_NUM_THREADS": str(threads),
            "XLA_FLAGS": flags,
        }
        command = [str(self.python), str(CONTENDERS / self.script), str(threads), *self.arguments]
        if threads == 1:
            command = ["taskset", "-c", "0", *command]
        self.command = command
        environment = os.environ | limits | self.environment | {"SPEED_GATE": gate}
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  (open as long as the process)
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self.errors}
        self.process = subprocess.Popen(command, text=True, env=environment, **pipes)
        try:
            while not (line := self._read()).startswith("ready "):
                pass
        except RuntimeError:
            self.stop()
            raise
        self.about = json.loads(line.removeprefix("ready "))

    def block(self) -> float:
        """Run one block; returns seconds of wall time per unit of work."""
        wall, processor = map(float, self._ask("go"))
        self.seconds.append(wall)
        self.processor.append(processor)
        return wall

    def score(self, part: str) -> float:
        """The ELBO on the ``validation`` or the ``test`` part, nats per datum."""
        return float(self._ask(f"score {part}")[0])

    def memory(self) -> dict[str, float]:
        """MiB of the process ``now`` and at its ``peak``."""
        status = dict(
            line.split(":", 1)
            for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        )
        return {
            name: int(status[key].split()[0]) / 1024
            for name, key in {"now": "VmRSS", "peak": "VmHWM"}.items()
        }

    def stop(self) -> None:
        """End the process by closing its input."""
        self.process.communicate()
        self.errors.close()

    def _ask(self, question: str) -> list[str]:
        """The words of its answer to a question."""
        assert self.process.stdin is not None
        self.process.stdin.write(question + "\n")
        self.process.stdin.flush()
        while not (line := self._read()).startswith("answer "):  # other output of the contender
            pass
        return line.split()[1:]

    def _read(self) -> str:
        """A line of its output; ``RuntimeError`` with its errors if it has ended."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.errors.seek(0)
            command = " ".join(self.command)
            raise RuntimeError(f"{self.name} ended ({command}):\n{self.errors.read()[-3000:]}")
        return line.strip()


@contextmanager
def run_processes(
    contenders: Sequence[Contender], threads: int, *, warm: int = 2, quick: bool = False
) -> Iterator[None]:
    """Start all contenders one after another, and stop them in any case."""
    with ExitStack() as stack:
        for contender in contenders:
            contender.start(threads, warm=warm, quick=quick)
            stack.callback(contender.stop)
        yield


def measure(
    contenders: list[Contender],
    reference: Contender,
    rounds: int,
    threads: int,
    batch: int,
    *,
    quick: bool = False,
) -> dict[str, object]:
    """Run the rounds; returns the record."""
    again: list[float] = []
    with run_processes(contenders, threads, quick=quick):
        for number in range(rounds):
            for contender in round_order(contenders, number):
                contender.block()
            again.append(reference.block())
            del reference.seconds[-1], reference.processor[-1]
    return {
        "threads": threads,
        "rounds": rounds,
        "batch": batch,
        "reference": reference.name,
        "machine": machine(),
        "control": interval(np.array(again), np.array(reference.seconds)),
        "contenders": {c.name: summary(c, reference, batch) for c in contenders},
    }


def round_order(contenders: Sequence[Contender], number: int) -> Sequence[Contender]:
    """The order of a round, reversed in every second one, so that drift affects all alike."""
    return contenders if number % 2 == 0 else contenders[::-1]


def summary(contender: Contender, reference: Contender, batch: int) -> dict[str, object]:
    """Speed, and the paired ratio of speeds to the reference: above 1 is faster."""
    seconds = per_sample(contender)
    speed = bootstrap(1 / seconds)
    return {
        "samples_per_second": speed["median"],
        "samples_per_second_interval": [speed["low"], speed["high"]],
        "ms_per_batch": float(np.median(seconds) * batch * 1e3),
        "best_ms_per_batch": float(np.min(seconds) * batch * 1e3),
        "processor_ms_per_batch": float(
            np.median(contender.processor) / samples(contender) * batch * 1e3
        ),
        "ratio": interval(per_sample(reference), seconds),
        "about": contender.about,
    }


def samples(contender: Contender) -> float:
    """Data per unit of work."""
    return float(contender.about["samples"])  # type: ignore[arg-type]


def per_sample(contender: Contender) -> np.ndarray:
    """Seconds per datum, one per block."""
    return np.array(contender.seconds) / samples(contender)


def print_result(result: dict, title: str) -> None:
    """Print the table of a measurement."""
    control = format_interval(result["control"])
    print(
        f"\n{title}, {result['threads']} thread(s), {result['rounds']} rounds, "
        f"reference {result['reference']}; control {control}"
    )
    width = max(map(len, result["contenders"]))
    for name, entry in result["contenders"].items():
        speed = f"{entry['ms_per_batch']:7.3f} ms  {entry['samples_per_second']:11,.0f} samples/s"
        print(f"  {name:{width}} {speed}  x{format_interval(entry['ratio'])}")


@dataclass(frozen=True)
class PairedTimes:
    """Seconds of several functions, round by round, in one process."""

    seconds: dict[str, np.ndarray]
    again: np.ndarray  # a second run of the reference in each round
    reference: str

    @property
    def control(self) -> dict[str, float]:
        """The reference over itself."""
        return interval(self.again, self.seconds[self.reference])

    def ratio(self, name: str, reference: str | None = None) -> dict[str, float]:
        """How many times faster than the reference."""
        return interval(self.seconds[reference or self.reference], self.seconds[name])

    def median(self, name: str) -> float:
        """Median seconds."""
        return float(np.median(self.seconds[name]))


def time_in_rounds(
    ways: Mapping[str, Callable[[], object]],
    rounds: int,
    reference: str | None = None,
    *,
    at_least: float = 0.0,
) -> PairedTimes:
    """Time functions in alternating order after a warm-up, in blocks of ``at_least`` seconds."""
    chosen = reference or next(iter(ways))
    repeats = {name: _repeats(way, at_least) for name, way in ways.items()}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    again = []
    for number in range(rounds):
        for name in list(ways)[:: 1 if number % 2 == 0 else -1]:
            seconds[name].append(_seconds(ways[name], repeats[name]))
        again.append(_seconds(ways[chosen], repeats[chosen]))
    return PairedTimes(
        {name: np.array(values) for name, values in seconds.items()}, np.array(again), chosen
    )


def _repeats(way: Callable[[], object], at_least: float) -> int:
    """Repetitions of a block."""
    way()
    return max(1, round(at_least / _seconds(way, 1))) if at_least else 1


def _seconds(way: Callable[[], object], repeats: int) -> float:
    """Seconds per repetition."""
    start_time = time.perf_counter()
    for _ in range(repeats):
        way()
    return (time.perf_counter() - start_time) / repeats


def bootstrap(values: np.ndarray, draws: int = 10_000) -> dict[str, float]:
    """The median over rounds, with a bootstrap 95 % interval."""
    medians = np.median(np.random.default_rng(0).choice(values, (draws, len(values))), axis=1)
    low, high = np.quantile(medians, [0.025, 0.975])
    return {"median": float(np.median(values)), "low": float(low), "high": float(high)}


def interval(slower: np.ndarray, faster: np.ndarray, draws: int = 10_000) -> dict[str, float]:
    """Median of ``slower / faster`` over rounds, with a bootstrap 95 % interval."""
    return {
        name: float(np.exp(value))
        for name, value in bootstrap(np.log(slower / faster), draws).items()
    }


def format_interval(found: Mapping[str, float], digits: int = 2) -> str:
    """A number with its interval.

    >>> format_interval({"median": 1.234, "low": 1.2, "high": 1.3})
    '1.23 [1.20, 1.30]'
    """
    return f"{found['median']:.{digits}f} [{found['low']:.{digits}f}, {found['high']:.{digits}f}]"


def machine() -> dict[str, object]:
    """The machine; ``load`` is that of the last minute, including the measurement."""
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
        "date": datetime.date.today().isoformat(),
        "load": round(os.getloadavg()[0], 2),
    }
