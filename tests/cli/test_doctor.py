"""``aevb doctor``: what it prints, as JSON too, and the line at the end of ``aevb fit``."""

import json


def test_a_run_is_examined(aevb, digits):
    done = aevb("doctor", digits)
    assert done.code == 0
    assert "rows that are training rows, too" in done.out
    assert "The run was too short" in done.out  # two epochs
    assert "--epochs 50" in done.out


def test_other_data_are_held_against_the_training_rows(aevb, digits, tmp_path):
    import numpy as np

    import aevb as library

    rows = library.data.load("digits").test.tensor().numpy()
    np.save(tmp_path / "shifted.npy", np.roll(rows, 3, -1).astype(np.uint8))
    record = json.loads(aevb("doctor", digits, tmp_path / "shifted.npy", "--json").out)
    assert "Drift" in [finding["name"] for finding in record["findings"]]
    assert set(record["findings"][0]) == {"name", "measured", "means", "change"}


def test_fit_ends_with_its_word(aevb):
    done = aevb(
        "fit", "digits", "--out", "run", "--latent", 2, "--hidden", 8, "--epochs", 2, "--no-report"
    )
    assert "Doctor   The run was too short" in done.out
    assert "aevb doctor run" in done.out


def test_a_posterior_of_its_own_rows_is_left_alone(aevb):
    done = aevb(
        "fit",
        "digits",
        "--preset",
        "svi",
        "--out",
        "run",
        "--latent",
        2,
        "--hidden",
        8,
        "--epochs",
        1,
        "--no-report",
    )
    assert done.code == 0
    assert "knows its training rows alone" in done.out
