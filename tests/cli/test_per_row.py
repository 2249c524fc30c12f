"""Presets that hold something for each training row, from the command line."""

import json
from pathlib import Path

SMALL = ["--latent", "2", "--hidden", "8", "--epochs", "2"]


def test_parameters_per_row_are_trained_and_measured_by_refinement(aevb, refused, table):
    done = aevb("fit", table, "--preset", "svi", *SMALL)
    assert done.code == 0 and "No validation" in done.out and "Held out ELBO" in done.out
    assert (
        "note: no report was written: `posteriors.NonAmortised`" in done.err
        and "inference.refine" in done.err
    )
    numbers = json.loads(aevb("evaluate", "runs/flowers-1", "--json").out)
    assert (
        numbers["n"] == 6 and abs(numbers["elbo"]["mean"] - numbers["log_likelihood"]["mean"]) < 1
    )  # of six rows
    assert aevb("sample", "runs/flowers-1", "-n", 3, "--out", "new.csv").code == 0
    assert "inference.refine" in refused("encode", "runs/flowers-1", table, "--out", "codes.csv")


def test_chains_per_row_are_as_many_as_there_are_training_rows(aevb, table):
    done = aevb("fit", table, "--preset", "mcem", "--no-report", *SMALL)
    assert done.code == 0, done.err
    record = json.loads(Path("runs/flowers-1/model.json").read_text())
    assert record["training"]["gradient"]["arguments"]["rows"] == 48
