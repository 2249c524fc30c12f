"""`docs/reproductions.md` is rendered from `benchmarks/reproduce/results/`."""

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
    """Import a module under another name, because `benchmarks/speed` also has a `document`."""

    def run(name):
        spec = importlib.util.spec_from_file_location(f"reproduce_{name}", FOLDER / f"{name}.py")
        # a dataclass looks for its annotations in sys.modules
        module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(FOLDER), *sys.path])
        yield run


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_every_docstring_states_the_number_and_the_duration(path):
    docstring = ast.get_docstring(ast.parse(path.read_text()))
    assert docstring.startswith(f"{path.stem.split('_')[0].upper()}: ")
    assert "Reproduced:" in docstring
    assert re.search(r"Takes about \d+ (seconds|minutes?)", docstring.split("\n\n")[-1])


def test_the_page_is_rendered_from_the_results(reproduce):
    assert reproduce("document").render_page() == (ROOT / "docs" / "reproductions.md").read_text()


def test_every_missed_number_has_a_remark(reproduce):
    document, frame = reproduce("document"), reproduce("frame")
    records = {
        path.stem.split("_")[0]: frame.load_record(path.stem.split("_")[0]) for path in SCRIPTS
    }
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
        reproduce("frame").ReproducedNumber("x", ours, low=low, high=high, better=better).verdict
        == verdict
    )


def test_nan_is_missed(reproduce):
    assert reproduce("frame").ReproducedNumber("x", float("nan"), low=0.0).verdict == "missed"
