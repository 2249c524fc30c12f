"""Write docs/reproductions.md from results/. Takes 5 seconds."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from frame import HERE, ReproducedNumber, load_record
from sections import grid  # of benchmarks/speed, which `frame` makes importable

PAGE = HERE.parents[1] / "docs" / "reproductions.md"
SCRIPTS = sorted(HERE.glob("r[0-9]_*.py"))

REPRODUCTIONS_HEAD = """# Published numbers, reproduced

Written by `benchmarks/reproduce/document.py` from `benchmarks/reproduce/results/`; do not edit.
Each row comes from one script that uses the public API, with one seed unless it says otherwise.
Log-likelihoods are means over all test rows by importance sampling: lower bounds in expectation.
The standard error is over test rows unless a row says otherwise, and does not include the variation
with the seed. Fixed or dynamic binarisation changes a likelihood by about 2 nats: each script says
which.

*Reproduced*: inside the range of the script. *Better*: beyond the range on the good side. *Missed*:
the section below has the cause. *Reported*: there is no range. Wall times are of a machine with
other work.
"""

REMARKS: dict[str, str] = {
    "r3": "One hidden layer, the network of the protocol, misses the range; the second layer "
    "reaches it. The published number may be of a deeper network: Rezende and Mohamed used 400 "
    "maxout units of four pieces instead of rectified units, which were not tried.",
    "r4": "The gain over k = 1 is larger than published, because k = 1 overfits earlier in so long "
    "a run on so small a set: its weights are the best on the validation rows by its own bound. "
    "With five samples the shortened run ends within 0.4 nats of the published number.",
    "r8": "With densities of relaxed codes instead of probabilities (Maddison, Mnih and Teh 2017), "
    "several samples lead far from the discrete model that is evaluated; with the discrete "
    "probabilities at soft codes they do not.",
    "r9": "So early in training the gain is one of faster learning, not the gain at the end.",
}
"""Causes of missed numbers and other remarks, by script."""

HEADER = [
    "",
    "number",
    "published",
    "ours",
    "difference",
    "standard error",
    "range",
    "wall time",
    "machine",
    "verdict",
]


def name(script: Path) -> str:
    """``r4`` of ``r4_weighted.py``."""
    return script.stem.split("_")[0]


def docstring(script: Path) -> str:
    """The docstring of a script."""
    return ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or ""


def title(script: Path) -> str:
    """The first sentence of the docstring, without its number."""
    first = " ".join(docstring(script).split("\n\n")[0].split()).split(": ", 1)[1]
    return first[0].upper() + first[1:]


def format_value(value: float | None, digits: int, sign: str = "") -> str:
    """A number with its digits; small ones in powers of ten instead of zeros."""
    if value is None:
        return ""
    return (
        f"{value:{sign}.0e}" if 0 < abs(value) < 0.5 * 10**-digits else f"{value:{sign}.{digits}f}"
    )


def range_text(number: ReproducedNumber) -> str:
    """The range in which the number counts as reproduced."""
    low, high = format_value(number.low, number.digits), format_value(number.high, number.digits)
    if number.low is not None and number.high is not None:
        return f"{low} to {high}"
    return (
        f"at least {low}"
        if number.low is not None
        else f"at most {high}"
        if number.high is not None
        else ""
    )


def time(seconds: float | None) -> str:
    """A wall time in seconds or minutes."""
    if seconds is None:
        return ""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def computer(record: dict[str, Any]) -> str:
    """Processor and threads."""
    machine, threads = record["machine"], record["threads"]
    if machine is None:
        return "not recorded"
    plural = "s" if threads > 1 else ""
    return f"{machine['processor']} (family {machine['family']}), {threads} thread{plural}"


def row(script: Path, record: dict[str, Any], number: ReproducedNumber) -> list[str]:
    """A row of the table."""
    difference = None if number.published is None else number.ours - number.published
    cells = [
        format_value(number.published, number.digits)
        + (f" ({number.source})" if number.source else ""),
        format_value(number.ours, number.digits),
        format_value(difference, number.digits, "+"),
    ]
    cells += [
        format_value(number.standard_error, number.digits),
        range_text(number),
        time(number.seconds),
    ]
    return [link(script), number.what, *cells, computer(record), number.verdict]


def rows(script: Path) -> Iterator[list[str]]:
    """The rows of a script."""
    record = load_record(name(script))
    if record is None:
        yield [link(script), "not run yet", *[""] * (len(HEADER) - 2)]
        return
    for number in record["numbers"]:
        yield row(script, record, number)


def link(script: Path) -> str:
    """A link to the section of a script."""
    return f"[{name(script).upper()}](#{name(script)})"


def section(script: Path) -> str:
    """Heading, protocol, settings, and a remark."""
    protocol = docstring(script).split("\n\n", 1)[1]
    parts = [f"## {name(script).upper()}", title(script), protocol]
    record = load_record(name(script))
    if record is not None:
        settings = ", ".join(
            f"{key.replace('_', ' ')} {value}" for key, value in record["settings"].items()
        )
        date = f" on {record['machine']['date']}" if record["machine"] else ""
        seed = "" if "seeds" in record["settings"] else f" with seed {record['seed']}"
        parts += [f"Run{date}{seed}: precision {record['precision']}; {settings}."]
    parts += [REMARKS[name(script)]] if name(script) in REMARKS else []
    return "\n\n".join([*parts, f"`python benchmarks/reproduce/{script.name}`"])


def render_page() -> str:
    """The text of the page."""
    table = grid(HEADER, (line for script in SCRIPTS for line in rows(script)))
    return "\n\n".join([REPRODUCTIONS_HEAD.strip(), table.strip(), *map(section, SCRIPTS)]) + "\n"


def main() -> None:
    """Write the page."""
    PAGE.write_text(render_page(), encoding="utf-8")
    print(f"-> {PAGE.relative_to(HERE.parents[1])}")


if __name__ == "__main__":
    main()
