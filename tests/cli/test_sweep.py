"""A grid of runs from the command line: what is trained, printed, written, gone on with and refused."""

import json
import math
import re
import shutil
import signal
import tomllib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import aevb as library
from aevb.cli import main
from aevb.cli._console import ConsoleOutput
from aevb.cli._evaluation import elbo_samples
from aevb.cli._sweep import TrainedSweep, evaluate_sweep
from aevb.cli._sweep_result import SweepResult, SweepRun
from aevb.errors import missing_extra
from aevb.metrics import Estimate, RateDistortion
from aevb.training._progress_bar import ProgressBar

SMALL = ["--hidden", "4", "--epochs", "2", "--batch-size", "16"]
GRID = ["--latent", "1", "--beta", "0.5,4", "--lr", "0.0015,0.03", "--seeds", "2", *SMALL]
NAMES = [
    f"latent-1_beta-{beta}{lr}_seed-{seed}"
    for beta in ("0.5", "4")
    for lr in ("", "_lr-0.03")
    for seed in (0, 1)
]


@pytest.fixture(scope="module")
def swept(table, tmp_path_factory):
    """A sweep of 2 x 2 combinations with 2 seeds."""
    folder = tmp_path_factory.mktemp("swept") / "sweep"
    assert (
        main(["sweep", str(table), "--labels", "colour", "--out", str(folder), "--quiet", *GRID])
        == 0
    )
    return folder


@pytest.fixture
def found(swept):
    return json.loads((swept / "sweep.json").read_text())


def weights(folder):
    return {path.parent.name: path.read_bytes() for path in folder.glob("*/model.safetensors")}


def test_every_combination_is_a_run_that_other_commands_take(aevb, swept):
    assert sorted(path.name for path in swept.iterdir() if path.is_dir()) == sorted(NAMES)
    first, last = swept / NAMES[0], swept / NAMES[-1]
    assert aevb("evaluate", last, "--samples", 2).code == 0
    done = aevb(
        "compare", first, last, "--samples", 2
    )  # of two seeds, and yet with the same test rows
    assert done.code == 0 and done.err == ""
    assert (
        tomllib.loads((last / "config.toml").read_text()).items()
        >= {"seed": 1, "split_seed": 0, "latent": 1, "beta": 4.0, "lr": 0.03}.items()
    )


def test_a_run_is_what_fit_trains_with_its_settings(aevb, swept):
    run = swept / NAMES[-1]
    assert aevb("fit", "--config", run / "config.toml", "--out", "alone", "--no-report").code == 0
    alone, beside = (library.load(path).state_dict() for path in ("alone", run))
    for name, values in alone.items():  # a few steps of float32, summed in another order
        torch.testing.assert_close(values, beside[name], rtol=1e-3, atol=1e-5)


def test_runs_are_measured_on_the_same_validation_rows_with_the_same_draws(swept, found, table):
    data = library.data.load(table, labels="colour", seed=0)
    assert (found["part"], found["n"]) == ("validation", len(data.validation))
    for line in found["runs"]:
        terms = library.metrics.rate_distortion(
            library.load(line["run"]), data.validation, elbo_samples(found["n"]), seed=0
        )
        # weights and rows are the same; sums over another block may round otherwise
        assert line["elbo"]["mean"] == pytest.approx(terms.elbo.mean, rel=1e-6)
        assert line["rate"]["mean"] == pytest.approx(terms.rate.mean, rel=1e-6)


def test_a_combination_is_the_mean_over_its_seeds(found):
    for combination in found["combinations"]:
        runs = [
            line
            for line in found["runs"]
            if all(line[name] == combination[name] for name in ("latent", "beta", "lr"))
        ]
        assert [run["seed"] for run in runs] == [0, 1]
        for name in ("elbo", "rate", "distortion"):
            first, second = (run[name]["mean"] for run in runs)
            assert combination[name]["mean"] == pytest.approx(
                (first + second) / 2, rel=1e-12
            )  # float64
            assert combination[name]["standard_error"] == pytest.approx(
                abs(first - second) / 2, rel=1e-9
            )  # s / sqrt(2) of two
        assert combination["elbo"]["mean"] == pytest.approx(
            -combination["rate"]["mean"] - combination["distortion"]["mean"]
        )
    best = max(found["combinations"], key=lambda combination: combination["elbo"]["mean"])
    assert [combination["best"] for combination in found["combinations"]] == [
        combination is best for combination in found["combinations"]
    ]


def test_the_table_fits_a_terminal_and_marks_the_best(aevb, swept, found):
    done = aevb("sweep", "--resume", "--out", swept)
    lines = done.out.splitlines()
    head = next(
        number
        for number, line in enumerate(lines)
        if line.split() == ["latent", "beta", "lr", "ELBO", "rate", "distortion"]
    )
    table = lines[head + 1 : head + 5]
    assert max(map(len, table)) <= 80
    for line, combination in zip(table, found["combinations"], strict=True):
        assert line.split()[:3] == [f"{combination[name]:g}" for name in ("latent", "beta", "lr")]
        assert (
            f"{combination['elbo']['mean']:.2f} ± {combination['elbo']['standard_error']:.2f}"
            in line
        )
        assert line.endswith("best") == combination["best"]
    assert "latent 1; beta 0.5, 4; lr 0.0015, 0.03; seeds 0 to 1: 8 runs." in done.out
    assert (
        "Of 4 combinations latent " in done.out
        and "mean and standard error of 2 seeds, on 6 validation rows" in done.out
    )
    best = next(combination for combination in found["combinations"] if combination["best"])
    its = [run for run in found["runs"] if (run["beta"], run["lr"]) == (best["beta"], best["lr"])]
    assert found["best_run"] == max(its, key=lambda run: run["elbo"]["mean"])["run"]
    assert f"aevb evaluate {found['best_run']}" in done.out


def test_the_picture_and_the_page_are_written(swept):
    picture, page = (swept / "rate_distortion.svg").read_text(), (swept / "report.html").read_text()
    assert "<svg" in picture
    assert page.count("data:image/png;base64,") == 2 and all(name in page for name in NAMES)
    assert "Of 4 combinations" in page and not re.search(
        r"<(script|link)|https?://(?!www\.w3\.org)", page
    )


def test_resume_does_not_redo_what_is_finished(aevb, swept, found):
    before = {path: path.stat().st_mtime_ns for path in swept.glob("*/model.safetensors")}
    done = aevb("sweep", "--resume", "--out", swept, "--json")
    assert json.loads(done.out) == found
    assert {path: path.stat().st_mtime_ns for path in swept.glob("*/model.safetensors")} == before


def test_a_wider_grid_trains_what_is_new(aevb, swept, tmp_path):
    shutil.copytree(swept, tmp_path / "wider")
    narrow = ["--latent", "1,2", "--beta", 4, "--lr", 0.0015, "--seeds", 1]
    done = aevb("sweep", "--resume", "--out", "wider", *narrow, "--quiet")
    assert done.code == 0 and [line.split()[:2] for line in done.out.splitlines()[1:]] == [
        ["1", "4"],
        ["2", "4"],
    ]
    before, after = weights(swept), weights(Path("wider"))
    assert after.items() > before.items() and after.keys() - before.keys() == {
        "latent-2_beta-4_seed-0"
    }
    assert tomllib.loads(Path("wider/config.toml").read_text())["latent"] == [1, 2]


def test_ctrl_c_and_resume(aevb, table, monkeypatch):
    few = ["--latent", "1,2", "--seeds", 1, *SMALL]
    assert aevb("sweep", table, "--out", "whole", *few).code == 0
    show, left = ProgressBar.show_epoch, [1]

    def show_and_interrupt(self, epoch):
        show(self, epoch)
        if left:
            left.pop()
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(ProgressBar, "show", show_and_interrupt)
    stopped = aevb("sweep", table, "--out", "cut", *few)
    assert (
        stopped.code == 130
        and "aevb sweep --resume --out cut" in stopped.out
        and not Path("cut/sweep.json").exists()
    )
    assert aevb("sweep", "--resume", "--out", "cut").code == 0
    assert weights(Path("cut")) == weights(Path("whole"))


def test_json_is_alone_on_stdout(aevb, table):
    done = aevb("sweep", table, "--latent", 1, "--seeds", 1, "--json", *SMALL)
    found = json.loads(done.out)
    assert found["sweep"] == "runs/flowers-sweep-1" and "Split: 48 train" in done.err
    assert found == json.loads(Path("runs/flowers-sweep-1/sweep.json").read_text())
    (only,) = found["combinations"]
    assert only["elbo"]["standard_error"] is None and only["best"]


def test_an_objective_without_beta_has_none_in_its_names(aevb, table):
    done = aevb(
        "sweep",
        table,
        "--preset",
        "iwae",
        "--latent",
        "1,2",
        "--seeds",
        1,
        "--out",
        "sweep",
        *SMALL,
    )
    assert done.code == 0 and set(weights(Path("sweep"))) == {"latent-1_seed-0", "latent-2_seed-0"}
    assert json.loads(Path("sweep/sweep.json").read_text())["combinations"][0]["beta"] is None


def test_the_beta_of_a_preset_is_said(aevb, table):
    assert (
        aevb(
            "sweep",
            table,
            "--preset",
            "beta-vae",
            "--latent",
            1,
            "--seeds",
            1,
            "--out",
            "sweep",
            *SMALL,
        ).code
        == 0
    )
    assert set(weights(Path("sweep"))) == {"latent-1_beta-4_seed-0"}


def test_the_table_is_there_where_no_picture_can_be_drawn(aevb, table, monkeypatch):
    def missing(*_, **__):
        raise missing_extra("plot", "drawing pictures")

    monkeypatch.setattr("aevb.plots.rate_distortion", missing)
    done = aevb("sweep", table, "--latent", 1, "--seeds", 1, "--out", "sweep", *SMALL)
    assert done.code == 0 and "best" in done.out
    assert (
        'no picture was drawn: drawing pictures needs an optional dependency: pip install "aevb[plot]"'
        in done.err
    )
    assert Path("sweep/sweep.json").exists() and not Path("sweep/report.html").exists()


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["--latent", "0"], "--latent holds 0; give whole numbers from 1, as --latent 2,4,8"),
        (["--latent", "2,x"], 'Invalid value for --latent: "x" is not a number'),
        (["--latent", "2,2.5"], '"2.5" is not a whole number'),
        (
            ["--latent", ","],
            "--latent is empty; give whole numbers from 1 with commas between them, as --latent 2,4,8",
        ),
        (["--latent", ""], "--latent is empty"),
        (["--latent", "2,4,2"], "--latent holds 2 twice"),
        (["--beta", "-1"], "--beta holds -1; give numbers from 0"),
        (["--beta", "1,nan"], "--beta holds nan"),
        (["--beta", "inf"], "--beta holds inf"),
        (["--beta", ""], "--beta is empty"),
        (["--beta", "1", "--preset", "iwae"], "preset `iwae` takes no `beta`"),
        (["--beta", "1", "--objective", "iwae"], "objective `IWAE` takes no --beta 1.0"),
        (["--preset", "vea"], "there is no preset `vea`; did you mean `vae`?"),
        (["--gradient", "newton"], "--gradient newton is not known"),
        (["--lr", "0"], "--lr holds 0; give numbers above 0"),
        (["--seeds", "0"], "--seeds is 0; give the number of runs of each combination, at least 1"),
        (["--seed", 2**63 - 2, "--seeds", "3"], "--seed is 9223372036854775808"),
        (["--seeds", "two"], 'Invalid value for --seeds: "two" is not a number'),
        (
            ["--out", "taken"],
            "`taken` exists and is never overwritten; choose another --out, or go on with a sweep in it by --resume",
        ),
        (["--out", "file"], "`file` exists"),
        (["--resume"], "--resume needs --out"),
        (["--resume", "--out", "taken"], "`taken` holds no run to resume"),
        (["--device", "abacus"], "--device is 'abacus'"),
        (["--minutes", "3"], "--minutes"),
    ],
)
def test_a_sweep_that_cannot_be_is_refused_before_the_data_are_read(
    refused, tmp_path, arguments, sentence
):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.tex").write_text("x")
    (tmp_path / "file").write_text("x")
    assert sentence in refused(
        "sweep", "gone.csv", *arguments
    )  # and not that there is no such file
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "taken"]


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (
            ["--preset", "autoencoder"],
            "an autoencoder has no rate and no ELBO to compare; write --preset vae",
        ),
        (["--average", "1"], "--average is 1.0"),
        (["--epochs", "0"], "--epochs is 0"),
        (["--batch-size", "0", "--out", "a/b/sweep"], "--batch-size is 0"),
    ],
)
def test_nothing_is_left_of_a_sweep_that_is_refused_later(
    refused, table, tmp_path, arguments, sentence
):
    assert sentence in refused("sweep", table, *arguments)
    assert not list(tmp_path.iterdir())


def test_another_sweep_is_not_gone_on_with(refused, swept):
    before = weights(swept)
    assert "was begun with --epochs 2, and `--resume` was asked with --epochs 3" in refused(
        "sweep", "--resume", "--out", swept, "--epochs", 3
    )
    assert "was begun with --seed 0" in refused("sweep", "--resume", "--out", swept, "--seed", 1)
    run = swept / NAMES[0]
    assert f"`{run}` is a single run: go on with it by `aevb fit --resume" in refused(
        "sweep", "--resume", "--out", run
    )
    assert weights(swept) == before


def ended(latent, seed, elbo, rate=1.0):
    """A run of made-up numbers."""
    job = SimpleNamespace(values={"latent": latent, "beta": 1.0, "lr": 1.5e-3, "seed": seed})
    terms = RateDistortion(Estimate(rate, 0.1), Estimate(-elbo - rate, 0.1), Estimate(elbo, 0.1))
    return SweepRun(
        job, Path(f"{latent}-{seed}"), SimpleNamespace(best_epoch=1, stopped="epochs"), terms
    )


def tally_of(elbos):
    """Combinations of latent sizes 1, 2 ... with these ELBOs."""
    runs = [
        ended(latent, seed, value)
        for latent, values in enumerate(elbos, 1)
        for seed, value in enumerate(values)
    ]
    return SweepResult.from_runs(runs, "validation", 10, "row")


def test_what_luck_may_have_put_behind_is_called_close():
    # variance 2 with three degrees of freedom, so an error of the root of 2 for each difference; corrected for three pairs, the largest
    # is real above 4.857 of these (Student's t at 1 - 0.05 / 6), which is 6.87
    tally = tally_of([(-9, -11), (-11.8, -13.8), (-15.9, -17.9)])
    assert [line[-1] for line in tally.table_rows] == ["best", "close", ""]
    assert [
        line[-1] for line in tally_of([(-9, -11), (-11.8, -13.8), (-15.8, -17.8)]).table_rows
    ] == ["best", "close", "close"]
    assert "Not told apart from it by so few seeds: 1 other." in tally.best_sentence
    assert [line[-1] for line in tally_of([(-10.0,), (-10.1,)]).table_rows] == [
        "best",
        "",
    ]  # a single seed does not tell


def test_a_run_that_is_not_finite_is_never_the_best_and_not_in_the_picture():
    tally = tally_of([(math.nan, math.nan), (-10.0, -12.0)])
    assert [line[-1] for line in tally.table_rows] == ["", "best"]
    assert (
        tally.figure_arguments["latent"] == [2, 2]
        and tally.figure_arguments["learning_rate"] is None
    )


def test_test_rows_stand_in_where_there_are_no_validation_rows():
    model = library.VAE(
        library.priors.Normal(1),
        library.posteriors.Normal(library.networks.MLP(2, [2]), 1),
        library.likelihoods.Normal(library.networks.MLP(1, [2]), [2]),
    )
    rows = library.data.Rows.from_array(np.ones((5, 2)))
    data = SimpleNamespace(
        validation=rows.subset(slice(0)), test=rows, spec=SimpleNamespace(one="row")
    )
    job = SimpleNamespace(name="run", values={"latent": 1, "beta": 1.0, "lr": 1e-3, "seed": 0})
    tally = evaluate_sweep(
        TrainedSweep(Path("x"), data, [job], [SimpleNamespace(model=model)]),
        0,
        ConsoleOutput(quiet=True),
    )
    assert (tally.split, tally.n_rows) == ("test", 5)
