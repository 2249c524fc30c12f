"""Sweep results: means over seeds, ranking, and significance across seeds."""

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np

import aevb
from aevb.metrics import Estimate, RateDistortion
from aevb.runs import RunSettings, SweepResult, SweepRun, SweepSettings


def finished_run(latent, seed, elbo, rate=1.0):
    """A run with these numbers."""
    job = SimpleNamespace(grid_values={"latent": latent, "beta": 1.0, "lr": 1.5e-3, "seed": seed})
    terms = RateDistortion(Estimate(rate, 0.1), Estimate(-elbo - rate, 0.1), Estimate(elbo, 0.1))
    return SweepRun(
        job, Path(f"{latent}-{seed}"), SimpleNamespace(best_epoch=1, stop_reason="epochs"), terms
    )


def sweep_result(elbos):
    """Combinations of latent sizes 1, 2 ... with these ELBOs."""
    runs = [
        finished_run(latent, seed, value)
        for latent, values in enumerate(elbos, 1)
        for seed, value in enumerate(values)
    ]
    return SweepResult.from_runs(runs, "validation", 10, "row")


def test_combinations_within_seed_noise_are_marked_close():
    # Variance 2 with three degrees of freedom: the standard error of each difference is the root
    # of 2. Corrected for three pairs, the largest is real above 4.857 of these (Student's t at
    # 1 - 0.05 / 6), which is 6.87.
    tally = sweep_result([(-9, -11), (-11.8, -13.8), (-15.9, -17.9)])
    assert [line[-1] for line in tally.table_rows] == ["best", "close", ""]
    assert [
        line[-1] for line in sweep_result([(-9, -11), (-11.8, -13.8), (-15.8, -17.8)]).table_rows
    ] == ["best", "close", "close"]
    assert "With 2 seeds, 1 other is not significantly worse." in tally.best_sentence
    assert [line[-1] for line in sweep_result([(-10.0,), (-10.1,)]).table_rows] == [
        "best",
        "",
    ]  # a single seed gives no standard error


def test_non_finite_run_is_never_best_and_not_plotted():
    tally = sweep_result([(math.nan, math.nan), (-10.0, -12.0)])
    assert [line[-1] for line in tally.table_rows] == ["", "best"]
    assert (
        tally.figure_arguments["latent"] == [2, 2]
        and tally.figure_arguments["learning_rate"] is None
    )


def test_test_rows_replace_missing_validation_rows():
    model = aevb.VAE(
        aevb.priors.Normal(1),
        aevb.posteriors.Normal(aevb.networks.MLP(2, [2]), 1),
        aevb.likelihoods.Normal(aevb.networks.MLP(1, [2]), [2]),
    )
    rows = aevb.data.Rows.from_array(np.ones((5, 2)))
    spec = SimpleNamespace(item_noun="row", name="ones")
    data = aevb.data.Dataset(rows, rows.subset(slice(0)), rows, spec)
    values = {"latent": 1, "beta": 1.0, "lr": 1e-3, "seed": 0}
    job = SimpleNamespace(folder_name="run", grid_values=values)
    fitted = SimpleNamespace(model=model, stop_reason="epochs", notes=())
    settings = SweepSettings(RunSettings("ones"))
    result = SweepResult.from_fits(settings, Path("x"), data, [job], [fitted], 0.0)
    assert (result.split, result.n_rows) == ("test", 5)
