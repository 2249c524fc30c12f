"""Where an experiment leaves its picture and its figures: in the current folder, or with ``--record`` where the docs have them."""

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
FIGURES = ROOT / "benchmarks" / "results" if RECORD else Path()
PICTURES = ROOT / "docs" / "pictures" if RECORD else Path()


def ranged(found: Interval) -> dict[str, float]:
    """A number with its interval."""
    return {
        "value": round(found.value, 6),
        "low": round(found.low, 6),
        "high": round(found.high, 6),
    }


def measured(found: Estimate) -> dict[str, float]:
    """A mean with its standard error."""
    return {"mean": round(found.mean, 6), "standard_error": round(found.standard_error, 6)}


def keep(name: str, figures: dict[str, Any]) -> None:
    """Write ``name.json`` and print it."""
    text = json.dumps(figures, indent=1)
    (FIGURES / f"{name}.json").write_text(text + "\n")
    print(f"{FIGURES / name}.json: {text}")


def draw(name: str, ax: Axes) -> None:
    """Write ``name.png``."""
    (PICTURES / f"{name}.png").write_bytes(plots.png(ax))
