"""The tables of docs/choose/ are those of the register, and contain every registered part."""

import re
import runpy
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGES = sorted((DOCS / "choose").glob("*.md"))
SCRIPT = runpy.run_path(str(DOCS / "write_choose.py"))
WITHOUT_PAGE = {"check"}  # the page of the diagnosis describes the findings of the doctor


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_tables_of_a_page_match_the_register(page):
    assert SCRIPT["written"](page) == page.read_text(encoding="utf-8"), (
        "run: python docs/write_choose.py"
    )


def test_every_role_has_a_table_and_every_part_says_when_to_use_it():
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    kinds = SCRIPT["registrations"]()
    roles = {role for role, kind in kinds.items() if kind.all()} - WITHOUT_PAGE
    assert roles - set(re.findall(r"<!-- table: (\w+) -->", text)) == set()
    silent = [
        name for role in sorted(roles) for name, entry in kinds[role].all().items()
        if not entry.use_when
    ]  # fmt: skip
    assert silent == []


def test_the_index_links_every_page():
    index = (DOCS / "choose.md").read_text(encoding="utf-8")
    assert {Path(link).name for link in re.findall(r"\]\((choose/\w+\.md)\)", index)} == {
        page.name for page in PAGES
    }
