"""Start-up times: importing the library, importing torch, and `aevb --help`. Takes 30 seconds.

Usage: python benchmarks/startup.py [--rounds 7]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

COMMANDS = {
    "import torch": [sys.executable, "-c", "import torch"],
    "import aevb": [sys.executable, "-c", "import aevb"],
    "import aevb, all": [sys.executable, "-c", "import aevb; aevb.fit, aevb.metrics, aevb.presets"],
    "aevb --help": [sys.executable, "-m", "aevb", "--help"],
}


def main() -> None:
    """Run the commands in rounds and print their medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(rounds):
        for name, command in COMMANDS.items():
            start_time = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            seconds[name].append(time.perf_counter() - start_time)
    for name, values in seconds.items():
        print(f"{name:24} {statistics.median(values):.2f} s (median of {rounds})")
    pairs = zip(seconds["import aevb, all"], seconds["import torch"], strict=True)
    print(
        f"{'more than torch alone':24} "
        f"{statistics.median(ours - torch for ours, torch in pairs):.2f} s "
        "(median of paired differences)"
    )


if __name__ == "__main__":
    main()
