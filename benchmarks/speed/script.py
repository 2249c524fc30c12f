"""What the scripts share: arguments, places, and the file that each leaves behind."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "results"
QUICK = (
    HERE / ".quick"
)  # runs that only show that a script works leave their numbers here, and git ignores them


def arguments(
    doc: str | None, *, rounds: int | None = None, threads: list[int] | None = None
) -> argparse.ArgumentParser:
    """A parser whose ``--help`` is the script's own text; ``rounds`` and ``threads`` are defaults where the script has such a thing."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="small and short, to see that it runs; the numbers mean nothing",
    )
    if rounds is not None:
        parser.add_argument(
            "--rounds",
            type=int,
            default=rounds,
            help=f"rounds of interleaved blocks (default {rounds})",
        )
    if threads is not None:
        many = {"nargs": "+"} if len(threads) > 1 else {}
        default = threads if len(threads) > 1 else threads[0]
        said = " ".join(map(str, threads))
        parser.add_argument(
            "--threads",
            type=int,
            default=default,
            help=f"threads of each contender (default {said})",
            **many,
        )
    return parser


def parsed(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The options; a quick run takes two rounds, and of several numbers of threads the first."""
    options = parser.parse_args()
    if options.quick and "rounds" in options:
        options.rounds = 2
    if options.quick and isinstance(getattr(options, "threads", None), list):
        options.threads = options.threads[:1]
    return options


def keep(name: str, result: dict[str, Any], *, quick: bool) -> Path:
    """Write ``results/NAME.json``, or ``.quick/NAME.json`` for a quick run, which never takes the place of a measurement."""
    folder = QUICK if quick else RESULTS
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"quick": quick} | result, indent=2) + "\n")
    print(f"-> {path.relative_to(HERE.parents[1])}")
    return path


def load(name: str, *, quick: bool = False) -> dict[str, Any] | None:
    """What ``keep`` wrote, or ``None``."""
    path = (QUICK if quick else RESULTS) / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None
