"""Training from Parquet files: memory at two sizes, and steps per second beside rows in memory.

Each size is measured in a process of its own: files of normal numbers in 20 correlated columns are
written, loaded (schema, sample, encoded rows) and trained on for half a minute by two layers of
400. The speed is a ratio of the same rows in one process, alternating, in wall-clock time: the
thread that reads ahead is a part of it.

Takes about five minutes on one core, and 2 GiB of disk.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

RESULT = Path(__file__).parent / "results" / "shards.json"
COLUMNS, FILES, ROUNDS, PAIRED_ROWS, MINUTES = 20, 10, 5, 200_000, 0.5


def write_files(folder: Path, rows: int) -> None:
    """Write ``rows`` rows into ``FILES`` files."""
    import polars

    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(COLUMNS, COLUMNS)).astype(np.float32)
    for number in range(FILES):
        x = rng.normal(size=(rows // FILES, COLUMNS)).astype(np.float32) @ mixing
        columns = {f"x{place}": x[:, place] for place in range(COLUMNS)}
        polars.DataFrame(columns).write_parquet(folder / f"part-{number:02d}.parquet")


def measure_memory(folder: Path) -> dict[str, Any]:
    """Load and train, and the peak of the memory."""
    import aevb

    start = time.perf_counter()
    data = aevb.data.load(str(folder / "*.parquet"), cache=folder / "cache")
    loaded = time.perf_counter() - start
    recipe = aevb.presets.vae(data.spec, hidden=(400, 400))
    aevb.fit(recipe, data, minutes=MINUTES, progress=False)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"rows": len(data.train), "load_seconds": round(loaded, 1), "peak_mib": round(peak)}


def measure_speed(folder: Path) -> float:
    """Steps per second of rows in the file over those of the same rows in memory."""
    import aevb

    data = aevb.data.load(str(folder / "*.parquet"), cache=folder / "cache")
    part = data.train.subset(slice(0, PAIRED_ROWS))
    resident = aevb.data.Rows.from_array(part.tensor())

    def seconds(rows: aevb.data.Rows) -> float:
        recipe = aevb.presets.vae(data.spec, hidden=(400, 400))
        start = time.perf_counter()
        aevb.fit(recipe, rows, epochs=1, compile=False, progress=False)
        return time.perf_counter() - start

    seconds(resident)
    return statistics.median(seconds(resident) / seconds(part) for _ in range(ROUNDS))


def main() -> None:
    """Measure, print and record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs=2, default=(1_000_000, 10_000_000))
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--child", choices=("memory", "speed"))
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    if arguments.child:
        measure = {"memory": measure_memory, "speed": measure_speed}[arguments.child]
        print(json.dumps(measure(arguments.folder)))
        return
    record: dict[str, Any] = {"columns": COLUMNS, "files": FILES, "sizes": []}
    for rows in arguments.rows:
        with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as name:
            folder = Path(name)
            write_files(folder, rows)
            record["sizes"].append(run_child("memory", folder))
            print(record["sizes"][-1], flush=True)
            if rows == arguments.rows[0]:
                record["speed_ratio"] = round(run_child("speed", folder), 3)
                print("steps per second, files over memory:", record["speed_ratio"], flush=True)
    arguments.out.write_text(json.dumps(record, indent=2) + "\n")


def run_child(what: str, folder: Path) -> Any:
    """The measurement of a process of its own."""
    command = [sys.executable, __file__, "--child", what, "--folder", str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
