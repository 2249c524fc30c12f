"""The frame of the reproductions: their options, their numbers, and their records.

The docstring of a script says which number it reproduces, by which protocol, and how long it takes.
Its ``main`` takes ``parse_options(__doc__, ...)``, evaluates, and passes each ``ReproducedNumber``
to ``write_record``; ``document.py`` renders the page of all records. AEVB_DATA is the folder of the
data.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch

import aevb
from aevb import VAE, likelihoods, networks, posteriors, priors
from aevb.data import Dataset
from aevb.metrics import LogLikelihood
from aevb.training import Epoch
from aevb.training._precision import has_native_bfloat16

HERE = Path(__file__).parent
RESULTS = HERE / "results"

sys.path.append(str(HERE.parent / "speed"))
from rounds import machine  # noqa: E402  (describes the machine)

NATS = "log p(x), nats"


@dataclass(frozen=True)
class ReproducedNumber:
    """A number of ours and the published one, and the range in which it counts as reproduced."""

    what: str
    ours: float
    standard_error: float | None = None  # of our number
    published: float | None = None
    source: str = ""
    low: float | None = None
    high: float | None = None
    better: Literal["higher", "lower"] = "higher"
    seconds: float | None = None  # wall time of this number alone
    digits: int = 2

    @property
    def verdict(self) -> str:
        """Whether the number is reproduced, better than the range, missed, or without a range."""
        if self.low is None and self.high is None:
            return "reported"
        low, high = (
            -math.inf if self.low is None else self.low,
            math.inf if self.high is None else self.high,
        )
        if low <= self.ours <= high:
            return "reproduced"
        return (
            "better"
            if (self.ours > high if self.better == "higher" else self.ours < low)
            else "missed"
        )

    def __str__(self) -> str:
        error = "" if self.standard_error is None else f" ± {self.standard_error:.{self.digits}f}"
        beside = "" if self.published is None else f", published {self.published:.{self.digits}f}"
        return f"{self.what}: {self.ours:.{self.digits}f}{error}{beside}; {self.verdict}"


def parse_options(doc: str | None, epochs: int | None = None, **further: Any) -> argparse.Namespace:
    """The options of a script, with its docstring as help; ``further`` has names and defaults."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="small and short, a check that the script runs; writes nothing",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    native = "bfloat16" if has_native_bfloat16(torch.device("cpu")) else "float32"
    parser.add_argument(
        "--precision",
        default=native,
        choices=["float32", "bfloat16"],
        help=f"of the networks (default {native})",
    )
    if epochs is not None:
        parser.add_argument(
            "--epochs",
            type=int,
            default=epochs,
            help=f"passes over the training data (default {epochs})",
        )
    for name, default in further.items():
        many = (
            {"nargs": "+", "type": type(default[0])}
            if isinstance(default, list)
            else {"type": type(default)}
        )
        parser.add_argument(f"--{name}", default=default, help=f"(default {default})", **many)
    found = parser.parse_args()
    torch.set_num_threads(found.threads)
    if found.quick and epochs is not None:
        found.epochs = 1
    return found


def load_data(name: str, options: argparse.Namespace, **how: Any) -> Dataset:
    """A named data set; a few of its rows in a quick run."""
    data = aevb.data.load(name, **how)
    if not options.quick:
        return data
    limits = {"train": 2000, "validation": 200, "test": 200}
    return replace(
        data,
        **{part: getattr(data, part).subset(slice(None, rows)) for part, rows in limits.items()},
    )


def bernoulli_vae(latent: int, hidden: Sequence[int], activation: str = "relu") -> VAE:
    """The model of most of these papers, for images of 28 x 28 bits."""
    posterior = posteriors.Normal(networks.MLP(784, hidden, activation), latent)
    likelihood = likelihoods.Bernoulli(networks.MLP(latent, hidden[::-1], activation), (28, 28))
    return VAE(priors.Normal(latent), posterior, likelihood)


def print_epochs(every: int) -> Callable[[Epoch, VAE], None]:
    """A callback that prints a line in every k-th epoch."""

    def print_epoch(epoch: Epoch, model: VAE) -> None:
        if epoch.epoch % every == 0:
            held_out = "" if epoch.validation is None else f", validation {epoch.validation:.2f}"
            print(
                f"epoch {epoch.epoch}: {epoch.bound_name} {epoch.bound:.2f}{held_out}, "
                f"{epoch.seconds:.0f} s",
                flush=True,
            )

    return print_epoch


def log_likelihood(
    model: VAE, data: Dataset, samples: int, options: argparse.Namespace
) -> LogLikelihood:
    """``log p(x)`` of all test rows, in the precision of the training."""
    found = aevb.metrics.log_likelihood(
        model, data.test, 20 if options.quick else samples, precision=options.precision
    )
    print(f"{found}; ELBO {found.elbo}", flush=True)
    return found


def mean_over_seeds(values: list[float]) -> dict[str, float]:
    """Mean and standard error over runs, as arguments of a ``ReproducedNumber``."""
    found = torch.tensor(values)
    return {
        "ours": found.mean().item(),
        "standard_error": found.std().item() / math.sqrt(len(found)),
    }


class Stopwatch:
    """Seconds since its construction or its last reading."""

    def __init__(self) -> None:
        self.start_time = time.perf_counter()

    def __call__(self) -> float:
        before, self.start_time = self.start_time, time.perf_counter()
        return self.start_time - before


def write_record(
    name: str,
    numbers: Sequence[ReproducedNumber],
    options: argparse.Namespace,
    details: Any = None,
    add: bool = False,
    **settings: Any,
) -> None:
    """Print the numbers, and write them with their settings to ``results/NAME.json`` unless quick.

    The page shows ``settings`` and the options that affect the result, but not ``details``. ``add``
    keeps the other numbers of the record: those of a part of the script that was not run again.
    """
    print(*numbers, sep="\n", flush=True)
    if options.quick:
        return
    RESULTS.mkdir(exist_ok=True)
    current = {number.what for number in numbers}
    before = [
        number
        for number in (load_record(name) or {"numbers": []})["numbers"]
        if add and number.what not in current
    ]
    excluded = ("quick", "threads", "precision", "seed")
    selected = {
        key: value
        for key, value in vars(options).items()
        if key not in excluded and not isinstance(value, list)
    }
    record = {
        "script": f"{Path(sys.argv[0]).name}",
        "seed": options.seed,
        "threads": options.threads,
        "precision": options.precision,
        "settings": selected | settings,
        "numbers": [asdict(number) for number in [*before, *numbers]],
        "machine": machine(),
        "details": details,
    }
    (RESULTS / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")


def load_record(name: str) -> dict[str, Any] | None:
    """A record with its numbers as ``ReproducedNumber``; None without one."""
    path = RESULTS / f"{name}.json"
    if not path.exists():
        return None
    record = json.loads(path.read_text())
    return record | {"numbers": [ReproducedNumber(**entry) for entry in record["numbers"]]}
