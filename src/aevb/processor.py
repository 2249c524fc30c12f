"""What the processor is."""

from __future__ import annotations

from functools import cache
from pathlib import Path


@cache
def description() -> str:
    """What the system says of the first processor, flags and maker included; empty where it says nothing (systems other than Linux)."""
    information = Path("/proc/cpuinfo")
    return information.read_text().split("\n\n")[0] if information.exists() else ""
