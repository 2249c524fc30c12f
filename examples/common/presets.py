"""Write docs/presets.md from the table of presets. Takes a second."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import aevb

PAGE = Path(__file__).resolve().parents[2] / "docs" / "presets.md"
REPORTS = {
    "lower bound": "a lower bound",
    "upper bound": "an upper bound",
    "neither": "no bound",
    "reconstruction": "the reconstruction",
}
HEAD = """# Presets: published methods as three arguments

Written by `examples/common/presets.py` from the table that `aevb presets` prints; do not edit. Which one to take, and why:
[choose.md](choose.md). Each is `aevb fit SOURCE --preset NAME`, and `aevb.presets.NAME(data.spec, ...)` in Python, which returns a
`Recipe(model, objective, gradient)`: a method of your own is another three arguments. `aevb presets NAME` says what one can be given.
"""


def rows() -> Iterator[str]:
    """A line for each preset."""
    yield "| preset | paper | model, objective, gradient | what training reports |"
    yield "|---|---|---|---|"
    for preset in aevb.presets.PRESETS.values():
        yield f"| `{preset.name}` | {preset.paper} | {preset.composition} | {REPORTS[preset.kind]} |"


def written() -> str:
    """The page."""
    return "\n".join([HEAD, *rows()]) + "\n"


def main() -> None:
    PAGE.write_text(written(), encoding="utf-8")
    print(f"-> {PAGE.relative_to(PAGE.parents[1])}")


if __name__ == "__main__":
    main()
