"""Write docs/speed.md and its pictures from the results of the other scripts. Takes 5 seconds.

The page names what has not been measured. With --quick the page and its pictures are made from the
quick runs, in `.quick/`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pictures
import sections
from script import HERE, QUICK, load_record, make_parser

DOCS = HERE.parents[1] / "docs"
SPEED_HEAD = """# Speed

Written by `benchmarks/speed/document.py` from `benchmarks/speed/results/`; do not edit. `make
bench` measures again.

In each round every contender runs one block of at least half a second and 50 steps; the order
alternates from round to round. Each contender is a process that waits while the others run. Ratios
are medians over rounds of paired ratios, with a bootstrap 95 % interval; above 1 is faster than the
reference. The control is the reference against itself: a difference inside its interval is noise.
Absolute times are for orientation and hold for this machine on this day.
"""
TRAINED = {
    "mnist": "784-400-20 net on binarized MNIST",
    "table": "16-64-4 net on a table",
    "weighted": "784-200-200-50 net, importance-weighted",
}
ACCELERATED = (
    "784-400-20 training step: eager, compiled, captured graph",
    "16-64-4, 100 models side by side",
    "784-200-200-50 importance-weighted training step",
    "5000 x 10,000 importance samples: float32, TF32, bfloat16",
    "convolutional VAE, 32 x 32: images per second",
    "autoencoder block for images of 256 x 256: images per second",
    "JAX `lax.scan`, same nets",
    "growth with ranks (data parallel)",
)

Draw = Callable[[Sequence[dict[str, Any]], Path], None]


class SpeedPage:
    """The text of the page, and the folder of its pictures."""

    def __init__(self, quick: bool) -> None:
        self.quick = quick
        self.folder = QUICK if quick else DOCS
        (self.folder / "pictures").mkdir(parents=True, exist_ok=True)
        self.text = SPEED_HEAD
        if quick:
            self.add("**From quick runs: these numbers mean nothing.**")

    def add(self, text: str) -> None:
        """Append a paragraph."""
        self.text += "\n" + text.strip() + "\n"

    def section(
        self,
        title: str,
        script: str,
        names: Sequence[str],
        write: Callable[[dict[str, Any]], str],
        picture: str = "",
        draw: Draw | None = None,
    ) -> None:
        """Append the results of these names with their picture, or the command that makes them."""
        self.add(f"## {title}")
        found = [result for name in names if (result := load_record(name, quick=self.quick))]
        if not found:
            self.add(f"Not measured. `python benchmarks/speed/{script}` measures it.")
        elif draw is not None:
            draw(found, self.folder / "pictures" / f"{picture}.svg")
            self.add(f"![{title}](pictures/{picture}.svg)")
        for result in found:
            self.add(write(result))


def make_page(quick: bool) -> SpeedPage:
    """The page with all sections."""
    page = SpeedPage(quick)
    for net, title in TRAINED.items():
        names, script = (
            [f"training_{net}_{threads}" for threads in (1, 2)],
            f"training.py --workloads {net}",
        )
        page.section(
            f"Training: {title}",
            script,
            names,
            sections.training,
            f"speed_{net}",
            partial(pictures.bars, title),
        )
    models = partial(pictures.bars, "16-64-4 nets, all models together")
    page.section(
        "Many models side by side",
        "many.py",
        ["many_1", "many_2"],
        sections.many,
        "speed_many",
        models,
    )
    photographs = partial(pictures.bars, "convolutional VAE, 32 x 32")
    page.section(
        "Convolutions",
        "convolution.py",
        ["convolution"],
        sections.convolution,
        "speed_convolution",
        photographs,
    )
    page.section(
        "Importance-weighted evaluation",
        "evaluation.py --full",
        ["evaluation_1", "evaluation_2"],
        sections.evaluation,
    )
    page.section("Data", "data_path.py", ["data_path"], sections.data_path)
    page.section("A million rows", "encode.py", ["encode"], sections.encode)
    page.section(
        "How cost grows", "growth.py", ["growth"], sections.growth, "speed_growth", pictures.growth
    )
    page.section(
        "Long runs", "steady.py", ["steady"], sections.steady, "speed_steady", pictures.steady
    )
    page.section("Around the steps", "overheads.py", ["overheads"], sections.overheads)
    page.section("Memory of a training step", "memory.py", ["memory"], sections.memory)
    page.section(
        "Equal quality",
        "quality.py",
        ["quality"],
        sections.quality,
        "speed_quality",
        pictures.quality,
    )
    page.section("Matrix products", "products.py", ["products"], sections.products)
    page.add(
        "## On an accelerator\n\n"
        + sections.grid(["what", ""], ([what, "not measured"] for what in ACCELERATED))
    )
    return page


def main() -> None:
    """Write the page."""
    page = make_page(make_parser(__doc__).parse_args().quick)
    path = page.folder / "speed.md"
    path.write_text(page.text)
    print(f"-> {path.relative_to(HERE.parents[1])}")


if __name__ == "__main__":
    main()
