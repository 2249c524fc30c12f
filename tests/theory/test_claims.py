"""`docs/theory.md` names, for each claim, code that exists and a test that exists; run as a script,
it lists the claims still open.
"""

import ast
import pkgutil
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TABLE = ROOT / "docs" / "theory.md"
IDS = [f"T{number:02d}" for number in range(1, 34)]


@dataclass(frozen=True)
class Claim:
    """One row of the table; an empty tuple stands for `open`."""

    id: str
    text: str
    implemented_by: tuple[str, ...]
    proved_by: tuple[str, ...]

    @property
    def open(self) -> bool:
        return not self.implemented_by and not self.proved_by


def read_names(cell: str) -> tuple[str, ...]:
    """The names in one cell: `open`, or names in backquotes with commas between."""
    if cell == "open":
        return ()
    if not re.fullmatch(r"`[^`\s]+`(,\s*`[^`\s]+`)*", cell):
        raise ValueError(
            f"expected `open`, or names in backquotes separated by commas, got {cell!r}"
        )
    return tuple(re.findall(r"`([^`]+)`", cell))


def read_row(line: str) -> Claim:
    """One line of the table; a bar inside a cell is escaped by a backslash."""
    cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
    if len(cells) != 4:
        raise ValueError(f"expected four columns, got {len(cells)}: {line}")
    return Claim(cells[0], cells[1], read_names(cells[2]), read_names(cells[3]))


def read_claims(text: str) -> list[Claim]:
    """The rows of the table, in order."""
    return [read_row(line) for line in text.splitlines() if re.match(r"\|\s*T\d", line)]


def missing_code(name: str) -> str | None:
    """The reason why no code has this name, or None."""
    if re.fullmatch(r"aevb(\.\w+)+", name):
        try:
            pkgutil.resolve_name(name)
        except (ImportError, AttributeError) as error:
            return f"{name} cannot be resolved: {error}"
        return None
    return missing_file(name)


def missing_file(name: str) -> str | None:
    """The reason why no file of the repository has this name, or None."""
    path = (ROOT / name).resolve()
    if not path.is_relative_to(ROOT) or not path.is_file():
        return f"{name} is not a file of this repository"
    return None


def missing_test(name: str) -> str | None:
    """The reason why no test has this name, or None.

    Files are parsed, not imported: some are slow to load.
    """
    path, *steps = name.split("::")
    if not steps or missing_file(path):
        return missing_file(path)
    body = ast.parse((ROOT / path).read_text(encoding="utf-8")).body
    for step in steps:
        matches = [
            node
            for node in body
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == step
        ]
        if not matches:
            return f"{name}: {path} has no {step}"
        body = matches[0].body
    if not isinstance(matches[0], ast.FunctionDef) or not steps[-1].startswith("test"):
        return f"{name} is not a test"
    return None


def faults(claim: Claim) -> list[str]:
    """The faults of a row."""
    if bool(claim.implemented_by) != bool(claim.proved_by):
        return ["one column names something and the other is open: fill both, or neither"]
    messages = [missing_code(name) for name in claim.implemented_by] + [
        missing_test(name) for name in claim.proved_by
    ]
    return [fault for fault in messages if fault]


def summary(claims: list[Claim]) -> str:
    still = [claim.id for claim in claims if claim.open]
    return f"theory: {len(still)} of {len(claims)} claims still open" + (
        f": {' '.join(still)}" if still else ""
    )


CLAIMS = read_claims(TABLE.read_text(encoding="utf-8"))


def test_every_claim_has_one_row():
    assert [claim.id for claim in CLAIMS] == IDS
    print(summary(CLAIMS))


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_names_in_claims_exist(claim):
    assert not faults(claim), f"{claim.id} ({claim.text}): {'; '.join(faults(claim))}"


HERE = "tests/theory/test_claims.py"


@pytest.mark.parametrize(
    "implemented, proved, fault",
    [
        ("open", "open", None),
        (
            "`docs/theory.md`, `tests/theory/test_claims.py`",
            f"`{HERE}::test_every_claim_has_one_row`",
            None,
        ),
        ("`docs/theory.md`", f"`{HERE}`", None),
        ("`docs/theory.md`", "open", "one column"),
        ("open", f"`{HERE}`", "one column"),
        ("`docs/nowhere.md`", f"`{HERE}`", "not a file"),
        ("`../theory.md`", f"`{HERE}`", "not a file"),
        ("`aevb.no_such_thing`", f"`{HERE}`", "cannot be resolved"),
        ("`docs/theory.md`", f"`{HERE}::test_nothing`", "has no test_nothing"),
        ("`docs/theory.md`", f"`{HERE}::Claim::open`", "is not a test"),
        ("`docs/theory.md`", "`tests/test_nowhere.py::test_x`", "not a file"),
    ],
)
def test_the_checks_find_faults(implemented, proved, fault):
    messages = faults(read_row(f"| T01 | p(x\\|z) | {implemented} | {proved} |"))
    assert (fault in messages[0]) if fault else not messages


@pytest.mark.parametrize(
    "row",
    [
        "| T01 | a | open |",
        "| T01 | a | aevb.VAE | open |",
        "| T01 | a | `aevb.VAE` and more | open |",
    ],
)
def test_a_row_that_does_not_parse_is_refused(row):
    with pytest.raises(ValueError, match="expected"):
        read_row(row)


if __name__ == "__main__":
    print(summary(CLAIMS))
