"""Write docs/presets.md from the table of presets. Takes a second."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import aevb

PAGE = Path(__file__).resolve().parents[2] / "docs" / "presets.md"
BOUND_KINDS = {
    "lower bound": "a lower bound",
    "upper bound": "an upper bound",
    "neither": "no bound",
    "reconstruction": "the reconstruction",
}
PRESETS_HEAD = """# Presets: published methods as three arguments

Written by `examples/common/presets.py` from the table of `aevb presets`; do not edit. How to
choose: [choose.md](choose.md). A preset is `aevb fit SOURCE --preset NAME` on the command line and
`aevb.presets.NAME(data.spec, ...)` in Python, which returns a `Recipe(model, objective, gradient)`:
a method of your own is another three arguments. `aevb presets NAME` lists the options of a preset.
"""


def rows() -> Iterator[str]:
    """A line for each preset."""
    yield "| preset | paper | model, objective, gradient | reported bound |"
    yield "|---|---|---|---|"
    for preset in aevb.presets.PRESETS.values():
        cells = (f"`{preset.name}`", preset.paper, preset.components, BOUND_KINDS[preset.kind])
        yield f"| {' | '.join(cells)} |"


def render_page() -> str:
    """The text of the page."""
    return "\n".join([PRESETS_HEAD, *rows()]) + "\n"


def main() -> None:
    """Write the page."""
    PAGE.write_text(render_page(), encoding="utf-8")
    print(f"-> {PAGE.relative_to(PAGE.parents[1])}")


if __name__ == "__main__":
    main()
