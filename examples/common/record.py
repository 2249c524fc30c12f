"""Where an experiment writes its picture and its numbers.

The place is the current folder; with ``--record`` it is the folder of the documentation.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from aevb import plots
from aevb.metrics import Estimate, Interval

SMOKE = bool(os.environ.get("AEVB_SMOKE"))
ROOT = Path(__file__).resolve().parents[2]
RECORD = "--record" in sys.argv
RECORDS = ROOT / "benchmarks" / "results" if RECORD else Path()
PICTURES = ROOT / "docs" / "pictures" if RECORD else Path()


def interval_record(interval: Interval) -> dict[str, float]:
    """A number with its interval, rounded."""
    return {
        "value": round(interval.value, 6),
        "low": round(interval.low, 6),
        "high": round(interval.high, 6),
    }


def estimate_record(estimate: Estimate) -> dict[str, float]:
    """A mean with its standard error, rounded."""
    return {"mean": round(estimate.mean, 6), "standard_error": round(estimate.standard_error, 6)}


def write_record(name: str, record: dict[str, Any]) -> None:
    """Write ``name.json`` and print it."""
    text = json.dumps(record, indent=1)
    (RECORDS / f"{name}.json").write_text(text + "\n")
    print(f"{RECORDS / name}.json: {text}")


def write_picture(name: str, ax: Axes) -> None:
    """Write ``name.png``."""
    (PICTURES / f"{name}.png").write_bytes(plots.png(ax))
