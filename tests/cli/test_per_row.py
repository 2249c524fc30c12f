"""Presets with per-row parameters on the command line."""

import json
from pathlib import Path

import numpy as np

SMALL = ["--latent", "2", "--hidden", "8", "--epochs", "2"]


def test_every_command_takes_a_model_with_parameters_per_row(aevb, table):
    run = "runs/flowers-1"
    done = aevb("fit", table, "--preset", "svi", *SMALL)
    assert done.code == 0 and "Test     ELBO" in done.out and "Doctor " in done.out
    assert Path(run, "report.html").exists()
    numbers = json.loads(aevb("evaluate", run, "--json").out)
    assert numbers["n"] == 6
    assert abs(numbers["elbo"]["mean"] - numbers["log_likelihood"]["mean"]) < 1
    assert aevb("sample", run, "-n", 3, "--out", "new.csv").code == 0
    for command in ("doctor", "quality", "report"):
        assert aevb(command, run).code == 0, command
    for name in ("a", "b"):
        assert aevb("encode", run, table, "--out", f"{name}.npy").code == 0
    assert aevb("reconstruct", run, table, "--out", "x.csv").code == 0
    assert (np.load("a.npy") == np.load("b.npy")).all()


def test_chains_per_row_are_as_many_as_there_are_training_rows(aevb, table):
    done = aevb("fit", table, "--preset", "mcem", "--no-report", *SMALL)
    assert done.code == 0, done.err
    record = json.loads(Path("runs/flowers-1/model.json").read_text())
    assert 48 in record["training"]["gradient"]["arguments"].values()
