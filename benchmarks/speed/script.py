"""Arguments, folders and records of the scripts."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "results"
QUICK = HERE / ".quick"
"""Records of runs that only check a script; git ignores them."""


def make_parser(
    doc: str | None, *, rounds: int | None = None, threads: list[int] | None = None
) -> argparse.ArgumentParser:
    """A parser with the docstring as help, and with options for which there is a default."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="small and short, a check that the script runs; the numbers mean nothing",
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
        listed = " ".join(map(str, threads))
        parser.add_argument(
            "--threads",
            type=int,
            default=default,
            help=f"threads of each contender (default {listed})",
            **many,
        )
    return parser


def parse_options(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The options; a quick run has two rounds and the first number of threads."""
    options = parser.parse_args()
    if options.quick and "rounds" in options:
        options.rounds = 2
    if options.quick and isinstance(getattr(options, "threads", None), list):
        options.threads = options.threads[:1]
    return options


def write_record(name: str, result: dict[str, Any], *, quick: bool) -> Path:
    """Write ``results/NAME.json``, or ``.quick/NAME.json`` for a quick run."""
    folder = QUICK if quick else RESULTS
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"quick": quick} | result, indent=2) + "\n")
    print(f"-> {path.relative_to(HERE.parents[1])}")
    return path


def load_record(name: str, *, quick: bool = False) -> dict[str, Any] | None:
    """The record, or None."""
    path = (QUICK if quick else RESULTS) / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None
