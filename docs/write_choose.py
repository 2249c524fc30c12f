"""Write the tables of docs/choose/ from the register of parts: `python docs/write_choose.py`.

A page holds text that is written by hand, and between `<!-- table: ROLE -->` and `<!-- end -->`
the table of a role of the register.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aevb._registry import Registration

PAGES = Path(__file__).resolve().parent / "choose"
PACKAGES = (
    "data",
    "gradients",
    "likelihoods",
    "metrics",
    "networks",
    "objectives",
    "posteriors",
    "presets",
    "priors",
)
TABLE = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
HEAD = ("method", "use it when", "cost", "avoid when")
# Further columns of a role: the head, and the cell of an entry.
COLUMNS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "likelihood": ("values", lambda entry: entry.values),
    "objective": ("training reports", lambda entry: entry.kind),
    "gradient": ("posteriors", lambda entry: entry.posteriors),
    "penalty": ("added to", lambda entry: f"`{entry.objective}`" if entry.objective else ""),
    "preset": ("training reports", lambda entry: entry.kind),
    "reader": ("endings", lambda entry: ", ".join(f"`{suffix}`" for suffix in entry.suffixes)),
}
CLASS_ROLES = ("gradient", "network", "objective", "penalty")  # shown by the name of the class


def registrations() -> dict[str, type[Registration]]:
    """The kinds of registration by role."""
    for package in PACKAGES:
        importlib.import_module(f"aevb.{package}")
    kinds, found = [Registration], {}
    while kinds:
        kind = kinds.pop()
        kinds += kind.__subclasses__()
        if "role" in vars(kind):
            found[kind.role] = kind
    return found


def table(kind: type[Registration]) -> str:
    """The table of a role, sorted by name, without columns that are empty."""
    head, cell = COLUMNS.get(kind.role, ("", lambda entry: ""))
    rows = [(*HEAD, head)]
    for name, entry in sorted(kind.all().items()):
        method = f"`{entry.target.__name__ if kind.role in CLASS_ROLES else name}`"
        paper = re.sub(r"\((\d{4})\)", r"\1", entry.paper)
        rows.append(
            (
                f"{method} ({paper})" if paper else method,
                entry.use_when,
                entry.cost,
                entry.avoid_when,
                cell(entry),
            )
        )
    columns = [column for column in zip(*rows, strict=True) if any(column[1:])]
    lines = [f"| {' | '.join(cells).replace('  ', ' ')} |" for cells in zip(*columns, strict=True)]
    return "\n".join([lines[0], "|" + "---|" * len(columns), *lines[1:]]) + "\n"


def written(page: Path) -> str:
    """The text of a page with the tables of the register."""
    kinds = registrations()

    def replace(match: re.Match[str]) -> str:
        begin, role, end = match.groups()
        return f"{begin}{table(kinds[role])}{end}" if role in kinds else match.group()

    return TABLE.sub(replace, page.read_text(encoding="utf-8"))


def main() -> None:
    for page in sorted(PAGES.glob("*.md")):
        page.write_text(written(page), encoding="utf-8")
        print(f"-> {page.relative_to(PAGES.parents[1])}")


if __name__ == "__main__":
    main()
