"""Text and JSON output of ``aevb doctor``, and its summary at the end of ``aevb fit``."""

import json
from pathlib import Path


def test_doctor_prints_its_checks(aevb, digits):
    done = aevb("doctor", digits)
    assert done.code == 0
    assert "rows that are training rows, too" in done.out
    assert "The run was too short" in done.out  # two epochs
    assert "--epochs 50" in done.out


def test_other_data_are_compared_with_the_training_rows(aevb, digits, tmp_path):
    import numpy as np

    import aevb as library

    rows = library.data.load("digits").test.tensor().numpy()
    np.save(tmp_path / "shifted.npy", np.roll(rows, 3, -1).astype(np.uint8))
    record = json.loads(aevb("doctor", digits, tmp_path / "shifted.npy", "--json").out)
    assert "Drift" in [finding["title"] for finding in record["findings"]]
    keys = {"code", "title", "observation", "explanation", "recommendation"}
    assert set(record["findings"][0]) == keys


def test_fit_ends_with_the_summary_of_the_doctor(aevb):
    done = aevb(
        "fit", "digits", "--out", "run", "--latent", 2, "--hidden", 8, "--epochs", 2, "--no-report"
    )
    assert "Doctor   A classical model is better" in done.out
    assert "aevb doctor run" in done.out


def test_codes_for_missing_values_are_a_finding_until_they_are_declared(aevb, tmp_path):
    import numpy as np

    rng = np.random.default_rng(0)
    values = np.column_stack([rng.normal(20, 4, 240).round(2), rng.normal(5, 1, 240).round(2)])
    values[::6, 0] = -999
    lines = [f"{a:g},{b:g}" for a, b in values]
    (tmp_path / "t.csv").write_text("\n".join(["pm,t", *lines]))
    small = ("--latent", 1, "--hidden", 4, "--epochs", 1, "--no-report")
    for run, options in (("raw", ()), ("declared", ("--missing", "-999"))):
        assert aevb("fit", "t.csv", "--out", run, *small, *options).code == 0
    record, declared = (
        json.loads(aevb("doctor", run, "--json").out) for run in ("raw", "declared")
    )
    assert record["findings"][0]["code"] == "missing_codes"
    assert "--missing -999" in aevb("doctor", "raw").out
    assert "missing_codes" not in [each["code"] for each in declared["findings"]]
    assert "240 encodings" in aevb("encode", "declared", "t.csv", "--out", "z.csv").out


def test_every_command_shows_the_baselines(aevb, digits):
    fitted = json.loads(
        aevb("fit", "digits", "--out", "new", "--hidden", 8, "--epochs", 1, "--json").out
    )
    evaluated = json.loads(aevb("evaluate", digits, "--max-rows", 50, "--json").out)
    compared = json.loads(aevb("compare", digits, "new", "--samples", 2, "--json").out)
    for record in (fitted, evaluated, *compared["runs"]):
        baselines = record["baselines"]
        best = baselines[baselines["best"]]["mean"]
        assert best >= baselines["independent"]["mean"] and baselines["n_train"] == 1437
        assert baselines["difference"]["standard_error"] > 0
    report = Path("new/report.html").read_text()
    assert "baseline: independent columns" in report
