"""The arithmetic and the protocol of `benchmarks/speed/`."""

import ast
import importlib
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
SPEED = ROOT / "benchmarks" / "speed"
SHARED = ("rounds", "script", "slopes", "sections", "pictures")
SCRIPTS = sorted(path for path in SPEED.glob("*.py") if path.stem not in SHARED)


@pytest.fixture(scope="module")
def speed():
    """Import a module by its bare name, as the scripts do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(SPEED), *sys.path])
        yield importlib.import_module


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_every_docstring_states_the_duration(path):
    docstring = ast.get_docstring(ast.parse(path.read_text()))
    assert re.search(r"Takes (about )?\d+ (seconds|minutes)", docstring.split("\n\n")[0])


def test_bench_runs_every_script():
    makefile = (ROOT / "Makefile").read_text()
    names = set(re.search(r"^BENCHMARKS := (.*)$", makefile, re.MULTILINE)[1].split())
    names |= set(re.findall(r"benchmarks/speed/(\w+)\.py", makefile))
    assert names >= {path.stem for path in SCRIPTS}


def test_the_exponent_does_not_depend_on_drift(speed):
    sizes = [1, 3, 10, 30, 100]
    drift = np.exp(np.random.default_rng(0).normal(size=(15, 1)))
    result = speed("slopes").power(sizes, drift * np.array(sizes) ** 0.7)
    # float64 rounding of a fit through exact points
    assert result["low"] == pytest.approx(0.7, abs=1e-12)
    assert result["high"] == pytest.approx(0.7, abs=1e-12)


def test_the_last_decade_excludes_fixed_costs(speed):
    sizes = [1, 10, 100, 1000]
    # constant up to 100, then proportional
    seconds = np.tile(np.maximum(np.array(sizes), 100.0), (5, 1))
    assert speed("slopes").last_decade(sizes, seconds)["median"] == pytest.approx(1.0, abs=1e-12)
    assert speed("slopes").power(sizes, seconds)["median"] < 0.5


def test_trend_is_the_change_from_first_to_last(speed):
    result = speed("slopes").trend((5 + 0.1 * np.arange(50)).tolist(), draws=20)
    values = [result[name] for name in ("median", "low", "high")]
    assert values == pytest.approx([4.9] * 3, abs=1e-9)  # 49 steps of 0.1, no noise


def test_the_trend_of_noise_contains_zero_and_that_of_growth_does_not(speed):
    noise = np.random.default_rng(0).normal(size=80)
    still, growing = (
        speed("slopes").trend((noise + slope * np.arange(80)).tolist(), draws=200)
        for slope in (0.0, 0.1)
    )
    assert still["low"] < 0 < still["high"]
    assert growing["low"] > 0


def test_interval_of_a_constant_ratio_is_the_ratio(speed):
    seconds = np.random.default_rng(0).uniform(1, 2, 15)
    result = speed("rounds").interval(3 * seconds, seconds)
    # rounding of a logarithm and back
    assert list(result.values()) == pytest.approx([3.0] * 3, rel=1e-12)


def test_rounds_alternate_and_end_with_the_reference(speed):
    calls = []
    times = speed("rounds").time_in_rounds(
        {"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds=2
    )
    # a warm-up, then two rounds, each with the control at its end
    assert "".join(calls) == "ab" + "aba" + "baa"
    assert len(times.seconds["b"]) == len(times.again) == 2


CONTENDER = """
import sys
sys.path.insert(0, sys.argv[2])
from gate import Gate
gate = Gate(10, 5, score=lambda part: len(part), ready=lambda: print("a banner"))
while True:
    gate()
"""


def test_contender_responds_to_commands(speed, tmp_path):
    script = tmp_path / "contender.py"
    script.write_text(CONTENDER)
    rounds = speed("rounds")
    contender = rounds.Contender("idle", str(script), (str(SPEED / "contenders"),))
    with rounds.run_processes([contender], 2, warm=0):
        assert contender.block() >= 0
        assert contender.score("test") == 4
    assert contender.about["samples"] == 10
    assert contender.process.returncode == 0


def test_the_error_of_a_contender_is_reported(speed, tmp_path):
    script = tmp_path / "contender.py"
    script.write_text("raise SystemExit('no data here')")
    rounds = speed("rounds")
    with (
        pytest.raises(RuntimeError, match="no data here"),
        rounds.run_processes([rounds.Contender("broken", str(script))], 2),
    ):
        pass


def test_a_quick_run_never_replaces_a_record(speed, tmp_path, monkeypatch):
    script = speed("script")
    for name in ("HERE", "RESULTS", "QUICK"):
        monkeypatch.setattr(script, name, tmp_path / "a" / "b" / name)
        (tmp_path / "a" / "b" / name).mkdir(parents=True)
    script.write_record("x", {"value": 1}, quick=False)
    script.write_record("x", {"value": 2}, quick=True)
    assert script.load_record("x") == {"quick": False, "value": 1}
    assert script.load_record("x", quick=True) == {"quick": True, "value": 2}


def test_page_lists_missing_measurements(speed, tmp_path, monkeypatch):
    document = speed("document")
    monkeypatch.setattr(speed("script"), "RESULTS", tmp_path)
    monkeypatch.setattr(document, "DOCS", tmp_path)
    text = document.make_page(quick=False).text
    sections = re.findall(r"^## .*\n\n(.*)$", text, re.MULTILINE)
    assert len(sections) > 10
    assert all(
        body.startswith(("Not measured. `python benchmarks/speed/", "| what")) for body in sections
    )


def test_the_page_is_rendered_from_the_results(speed, tmp_path, monkeypatch):
    document = speed("document")
    monkeypatch.setattr(document, "DOCS", tmp_path)
    assert document.make_page(quick=False).text == (ROOT / "docs" / "speed.md").read_text()
    assert all(
        json.loads(path.read_text()).get("quick") in (False, None)
        for path in (SPEED / "results").glob("*.json")
    )
