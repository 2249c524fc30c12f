"""Rounds of contenders: interleaved blocks, paired ratios with intervals, an A/A control.

In each round every contender runs one block, in an order that is reversed from round to round; the reference runs twice, and the ratio of
its two blocks is the resolution of the measurement. Absolute times are shown, and compared only inside a run.
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
OURS = Path(sys.executable)
THEIRS = HERE / ".references" / "bin" / "python"


@dataclass
class Contender:
    """A script with its arguments, the environment it runs in, and the seconds of its blocks (see ``contenders/gate.py``)."""

    name: str
    script: str
    arguments: tuple[str, ...] = ()
    python: Path = OURS
    environment: dict[str, str] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)  # wall time of a unit of work, per block
    processor: list[float] = field(default_factory=list)  # processor time of the same
    about: dict[str, object] = field(default_factory=dict)

    def start(self, threads: int, *, warm: int = 2, quick: bool = False) -> None:
        """Start the process and wait until it stands at its gate, after ``warm`` units of work."""
        flags = f"--xla_cpu_multi_thread_eigen={'true' if threads > 1 else 'false'} intra_op_parallelism_threads={threads}"
        gate = json.dumps({"warm": warm, "quick": quick})
        limits = {
            "OMP_NUM_THREADS": str(threads),
            "MKL_NUM_THREADS": str(threads),
            "XLA_FLAGS": flags,
        }
        command = [str(self.python), str(CONTENDERS / self.script), str(threads), *self.arguments]
        if threads == 1:
            command = ["taskset", "-c", "0", *command]
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
        """Let it run one block; seconds of wall time for a unit of its work."""
        wall, processor = map(float, self._ask("go"))
        self.seconds.append(wall)
        self.processor.append(processor)
        return wall

    def score(self, part: str) -> float:
        """Its ELBO on the ``validation`` or the ``test`` part, nats per datum."""
        return float(self._ask(f"score {part}")[0])

    def memory(self) -> dict[str, float]:
        """MiB that the process holds ``current``, and the most that it ever held (``log_max``)."""
        status = dict(
            line.split(":", 1)
            for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        )
        return {
            name: int(status[key].split()[0]) / 1024
            for name, key in {"now": "VmRSS", "peak": "VmHWM"}.items()
        }

    def stop(self) -> None:
        """The end of its input is the end of the process."""
        self.process.communicate()
        self.errors.close()

    def _ask(self, question: str) -> list[str]:
        assert self.process.stdin is not None
        self.process.stdin.write(question + "\n")
        self.process.stdin.flush()
        while not (line := self._read()).startswith("answer "):  # banners of the contender's own
            pass
        return line.split()[1:]

    def _read(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.errors.seek(0)
            raise RuntimeError(
                f"{self.name} ended ({' '.join(map(str, self.process.args))}):\n{self.errors.read()[-3000:]}"
            )  # type: ignore
        return line.strip()


@contextmanager
def running(
    contenders: Sequence[Contender], threads: int, *, warm: int = 2, quick: bool = False
) -> Iterator[None]:
    """All of them started, one after another, and ended afterwards whatever happens."""
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
    """Run the rounds; the result is what is written as JSON."""
    again: list[float] = []
    with running(contenders, threads, quick=quick):
        for number in range(rounds):
            for contender in in_turn(contenders, number):
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


def in_turn(contenders: Sequence[Contender], number: int) -> Sequence[Contender]:
    """The order of a round: there, and back in the next one, so that a slow drift of the machine meets all alike."""
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
    """Data seen in one unit of its work."""
    return float(contender.about["samples"])  # type: ignore[arg-type]


def per_sample(contender: Contender) -> np.ndarray:
    """Seconds per datum, one per block."""
    return np.array(contender.seconds) / samples(contender)


def show(result: dict, title: str) -> None:
    """The table of a measurement, for the screen."""
    control = said(result["control"])
    print(
        f"\n{title}, {result['threads']} thread(s), {result['rounds']} rounds, reference {result['reference']}; control {control}"
    )
    width = max(map(len, result["contenders"]))
    for name, entry in result["contenders"].items():
        speed = f"{entry['ms_per_batch']:7.3f} ms  {entry['samples_per_second']:11,.0f} samples/s"
        print(f"  {name:{width}} {speed}  x{said(entry['ratio'])}")


@dataclass(frozen=True)
class Timed:
    """Seconds of several ways to do something, round by round, in one process."""

    seconds: dict[str, np.ndarray]
    again: np.ndarray  # the reference once more in each round
    reference: str

    @property
    def control(self) -> dict[str, float]:
        """The reference against itself."""
        return interval(self.again, self.seconds[self.reference])

    def ratio(self, name: str, reference: str | None = None) -> dict[str, float]:
        """How many times faster than the reference."""
        return interval(self.seconds[reference or self.reference], self.seconds[name])

    def median(self, name: str) -> float:
        return float(np.median(self.seconds[name]))


def timed(
    ways: Mapping[str, Callable[[], object]],
    rounds: int,
    reference: str | None = None,
    *,
    at_least: float = 0.0,
) -> Timed:
    """The ways in turn, there and back, after one round that warms up; each block is repeated until it takes ``at_least`` seconds."""
    chosen = reference or next(iter(ways))
    repeats = {name: _repeats(way, at_least) for name, way in ways.items()}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    again = []
    for number in range(rounds):
        for name in list(ways)[:: 1 if number % 2 == 0 else -1]:
            seconds[name].append(_seconds(ways[name], repeats[name]))
        again.append(_seconds(ways[chosen], repeats[chosen]))
    return Timed(
        {name: np.array(values) for name, values in seconds.items()}, np.array(again), chosen
    )


def _repeats(way: Callable[[], object], at_least: float) -> int:
    way()
    return max(1, round(at_least / _seconds(way, 1))) if at_least else 1


def _seconds(way: Callable[[], object], repeats: int) -> float:
    began = time.perf_counter()
    for _ in range(repeats):
        way()
    return (time.perf_counter() - began) / repeats


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


def said(found: Mapping[str, float], digits: int = 2) -> str:
    """A number with its interval.

    >>> said({"median": 1.234, "low": 1.2, "high": 1.3})
    '1.23 [1.20, 1.30]'
    """
    return f"{found['median']:.{digits}f} [{found['low']:.{digits}f}, {found['high']:.{digits}f}]"


def machine() -> dict[str, object]:
    """What the numbers depend on; ``load`` is that of the last minute, the measurement itself included."""
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
