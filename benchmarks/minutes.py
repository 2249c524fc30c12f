"""The README's commands for binarized MNIST: their time and their result.

`aevb fit binarized-mnist --preset mnist ...` and `aevb evaluate` with 1000 samples, for 20 and for
100 epochs, each as its own process; the time is that of the whole fit with start-up, compilation
and writing. Needs the data set `binarized-mnist`. Takes about 15 minutes on one core with bfloat16
instructions; `--quick` takes one minute, with a single epoch and two samples, and writes nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent
RESULT = ROOT / "results" / "minutes.json"
sys.path.append(str(ROOT / "speed"))
from rounds import machine  # noqa: E402  (describes the machine)

OPTIONS = [
    "--preset",
    "mnist",
    "--batch-size",
    "256",
    "--lr",
    "0.002",
    "--precision",
    "bfloat16",
    "--ema",
    "0.9995",
]
EPOCHS = (20, 100)


def aevb(*arguments: str) -> str:
    """The output of a command."""
    command = [sys.executable, "-m", "aevb", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def fit_and_evaluate(epochs: int, samples: int, folder: Path) -> dict[str, Any]:
    """Time of the fit, and the log-likelihood of all test rows."""
    run, start_time = str(folder / f"mnist-{epochs}"), time.perf_counter()
    aevb(
        "fit",
        "binarized-mnist",
        *OPTIONS,
        "--epochs",
        str(epochs),
        "--out",
        run,
        "--no-report",
        "--quiet",
    )
    seconds = time.perf_counter() - start_time
    found = json.loads(aevb("evaluate", run, "--samples", str(samples), "--json"))
    return {"epochs": epochs, "seconds": seconds} | {
        name: found["log_likelihood"][name] for name in ("mean", "standard_error", "samples")
    }


def main() -> None:
    """Run the commands and write the record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="one epoch; nothing written")
    quick, rows = parser.parse_args().quick, []
    with tempfile.TemporaryDirectory() as folder:
        for epochs in (1,) if quick else EPOCHS:
            row = fit_and_evaluate(epochs, 2 if quick else 1000, Path(folder))
            rows.append(row)
            print(
                f"{epochs} epochs in {row['seconds']:.0f} s: "
                f"{row['mean']:.2f} ± {row['standard_error']:.2f} nats",
                flush=True,
            )
    if not quick:
        record = {"threads": os.environ.get("OMP_NUM_THREADS"), "runs": rows, "machine": machine()}
        RESULT.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
