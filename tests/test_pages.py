"""Python blocks of pages parse, and those under `<!-- run -->` run from top to bottom."""

import ast
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("README.md", "docs/estimators.md", "docs/python.md")
BLOCK = re.compile(
    r"(?P<mark><!-- run -->\s*\n)?```python\n(?P<code>.*?)^```", re.DOTALL | re.MULTILINE
)
SECONDS = 120


@dataclass(frozen=True)
class Block:
    """A block of code: `line` is the number of lines of the page above its first line."""

    code: str
    line: int
    runs: bool


def read_blocks(text: str) -> list[Block]:
    return [
        Block(match["code"], text.count("\n", 0, match.start("code")), match["mark"] is not None)
        for match in BLOCK.finditer(text)
    ]


def as_script(blocks: list[Block]) -> str:
    """The blocks as one script with the line numbers of the page, for tracebacks."""
    script = ""
    for block in blocks:
        script += "\n" * (block.line - script.count("\n")) + block.code
    return script


@pytest.mark.parametrize("page", PAGES)
def test_every_block_parses(page):
    for block in read_blocks((ROOT / page).read_text(encoding="utf-8")):
        ast.parse("\n" * block.line + block.code, filename=page)


@pytest.mark.parametrize("page", PAGES)
def test_marked_blocks_run(page, tmp_path):
    blocks = read_blocks((ROOT / page).read_text(encoding="utf-8"))
    marked = [block for block in blocks if block.runs]
    assert marked, f"{page} marks no block with <!-- run -->"
    script = tmp_path / "page.py"
    script.write_text(as_script(marked), encoding="utf-8")
    environment = os.environ | {
        "AEVB_SMOKE": "1",
        "MPLBACKEND": "Agg",
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stderr


def test_blocks_keep_their_line_numbers():
    first, second = "```python\na = 1\n```\n\n", "```python\nb = 2\n```\n\n"
    third = "<!-- run -->\n\n```python\nc = a\n```\n"
    page = f"# Title\n\n<!-- run -->\n{first}{second}{third}"
    blocks = read_blocks(page)
    assert [(block.code, block.runs) for block in blocks] == [
        ("a = 1\n", True),
        ("b = 2\n", False),
        ("c = a\n", True),
    ]
    script = as_script([block for block in blocks if block.runs]).splitlines()
    assert [(number, line) for number, line in enumerate(script) if line] == [
        (4, "a = 1"),
        (14, "c = a"),
    ]
    assert page.splitlines()[14] == "c = a"
