"""What `docs/reproductions.md` says is what `benchmarks/reproduce/results/` holds; how the numbers came about is not for a test."""

import ast
import importlib.util
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "benchmarks" / "reproduce"
SCRIPTS = sorted(FOLDER.glob("r[0-9]_*.py"))


@pytest.fixture(scope="module")
def reproduce():
    """Runs a module as the scripts would import it; under another name, since `benchmarks/speed` has a `document`, too."""

    def run(name):
        spec = importlib.util.spec_from_file_location(f"reproduce_{name}", FOLDER / f"{name}.py")
        module = sys.modules[spec.name] = importlib.util.module_from_spec(
            spec
        )  # where a dataclass looks for its annotations
        spec.loader.exec_module(module)
        return module

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(FOLDER), *sys.path])
        yield run


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_every_script_says_what_it_reproduces_and_how_long_it_takes(path):
    said = ast.get_docstring(ast.parse(path.read_text()))
    assert said.startswith(f"{path.stem.split('_')[0].upper()}: ")
    assert "Reproduced:" in said
    assert re.search(r"Takes about \d+ (seconds|minutes?)", said.split("\n\n")[-1])


def test_the_page_is_that_of_the_results(reproduce):
    assert reproduce("document").written() == (ROOT / "docs" / "reproductions.md").read_text()


def test_the_page_says_why_a_number_was_missed(reproduce):
    document, frame = reproduce("document"), reproduce("frame")
    records = {path.stem.split("_")[0]: frame.kept(path.stem.split("_")[0]) for path in SCRIPTS}
    missed = {
        name
        for name, record in records.items()
        if record and any(n.verdict == "missed" for n in record["numbers"])
    }
    assert missed <= document.REMARKS.keys()


@pytest.mark.parametrize(
    "ours, low, high, better, verdict",
    [
        (-90.0, None, None, "higher", "reported"),
        (-90.0, -90.3, -89.3, "higher", "reproduced"),
        (-89.0, -90.3, -89.3, "higher", "better"),
        (-91.0, -90.3, -89.3, "higher", "missed"),
        (-91.0, -90.3, None, "higher", "missed"),
        (0.20, 0.26, 0.32, "lower", "better"),
        (0.40, 0.26, 0.32, "lower", "missed"),
    ],
)
def test_verdicts(reproduce, ours, low, high, better, verdict):
    assert (
        reproduce("frame").Number("x", ours, low=low, high=high, better=better).verdict == verdict
    )


def test_a_number_that_was_never_measured_is_missed(reproduce):
    assert reproduce("frame").Number("x", float("nan"), low=0.0).verdict == "missed"
