"""Text and JSON output of ``aevb doctor``, and its summary at the end of ``aevb fit``."""

import json


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
    assert "Doctor   The run was too short" in done.out
    assert "aevb doctor run" in done.out
