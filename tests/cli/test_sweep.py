"""`aevb sweep`: training, output, files, resuming and refusals."""

import json
import re
import shutil
import signal
import tomllib
from pathlib import Path

import pytest
import torch

import aevb as library
from aevb.cli import main
from aevb.errors import missing_extra
from aevb.metrics._rate_distortion import elbo_samples
from aevb.training._progress_bar import ProgressBar

SMALL = ["--hidden", "4", "--epochs", "2", "--batch-size", "16"]
GRID = [
    "--preset",
    "vae",
    "--latent",
    "1",
    "--beta",
    "0.5,4",
    "--lr",
    "0.0015,0.03",
    "--seeds",
    "2",
    *SMALL,
]
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
def record(swept):
    return json.loads((swept / "sweep.json").read_text())


def weights(folder):
    return {path.parent.name: path.read_bytes() for path in folder.glob("*/model.safetensors")}


def test_every_combination_is_a_complete_run(aevb, swept):
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


def test_sweep_run_equals_fit_with_the_same_settings(aevb, swept):
    run = swept / NAMES[-1]
    assert aevb("fit", "--config", run / "config.toml", "--out", "alone", "--no-report").code == 0
    alone, in_sweep = (library.load(path).state_dict() for path in ("alone", run))
    for name, values in alone.items():  # a few steps of float32, summed in another order
        torch.testing.assert_close(values, in_sweep[name], rtol=1e-3, atol=1e-5)


def test_the_model_of_a_mixed_table_is_named(aevb):
    Path("mixed.csv").write_text("a,b\n" + "".join(f"{0.1 * n * n},{n % 3}\n" for n in range(80)))
    done = aevb("sweep", "mixed.csv", "--latent", 1, "--seeds", 1, "--out", "mixed", *SMALL)
    (path,) = Path("mixed").glob("*/config.toml")
    config = tomllib.loads(path.read_text())
    assert config["preset"] == "table_vae" and "table_vae" in done.out


def test_runs_are_measured_on_the_same_validation_rows_with_the_same_draws(swept, record, table):
    data = library.data.load(table, labels="colour", seed=0)
    assert (record["split"], record["n"]) == ("validation", len(data.validation))
    for line in record["runs"]:
        terms = library.metrics.rate_distortion(
            library.load(line["run"]), data.validation, elbo_samples(record["n"]), seed=0
        )
        # weights and rows are the same; sums over another block may round otherwise
        assert line["elbo"]["mean"] == pytest.approx(terms.elbo.mean, rel=1e-6)
        assert line["rate"]["mean"] == pytest.approx(terms.rate.mean, rel=1e-6)


def test_a_combination_is_the_mean_over_its_seeds(record):
    for combination in record["combinations"]:
        runs = [
            line
            for line in record["runs"]
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
    best = max(record["combinations"], key=lambda combination: combination["elbo"]["mean"])
    assert [combination["is_best"] for combination in record["combinations"]] == [
        combination is best for combination in record["combinations"]
    ]


def test_the_table_fits_a_terminal_and_marks_the_best(aevb, swept, record):
    done = aevb("sweep", "--resume", "--out", swept)
    lines = done.out.splitlines()
    head = next(
        number
        for number, line in enumerate(lines)
        if line.split() == ["latent", "beta", "lr", "ELBO", "rate", "distortion"]
    )
    table = lines[head + 1 : head + 5]
    assert max(map(len, table)) <= 80
    for line, combination in zip(table, record["combinations"], strict=True):
        assert line.split()[:3] == [f"{combination[name]:g}" for name in ("latent", "beta", "lr")]
        assert (
            f"{combination['elbo']['mean']:.2f} ± {combination['elbo']['standard_error']:.2f}"
            in line
        )
        assert line.endswith("best") == combination["is_best"]
    assert "latent 1; beta 0.5, 4; lr 0.0015, 0.03; seeds 0 to 1: 8 runs." in done.out
    assert (
        "Best of 4: latent=" in done.out
        and "(mean and standard error of 2 seeds), on 6 validation rows" in done.out
    )
    best = next(combination for combination in record["combinations"] if combination["is_best"])
    its = [run for run in record["runs"] if (run["beta"], run["lr"]) == (best["beta"], best["lr"])]
    assert record["best_run"] == max(its, key=lambda run: run["elbo"]["mean"])["run"]
    assert f"aevb evaluate {record['best_run']}" in done.out


def test_the_picture_and_the_page_are_written(swept):
    picture, page = (swept / "rate_distortion.svg").read_text(), (swept / "report.html").read_text()
    assert "<svg" in picture
    assert page.count("data:image/png;base64,") == 2 and all(name in page for name in NAMES)
    assert "Best of 4: " in page and not re.search(
        r"<(script|link)|https?://(?!www\.w3\.org)", page
    )


def test_resume_skips_finished_runs(aevb, swept, record):
    before = {path: path.stat().st_mtime_ns for path in swept.glob("*/model.safetensors")}
    done = aevb("sweep", "--resume", "--out", swept, "--json")
    assert json.loads(done.out) == record
    assert {path: path.stat().st_mtime_ns for path in swept.glob("*/model.safetensors")} == before


def test_extended_grid_trains_only_new_combinations(aevb, swept, tmp_path):
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


@pytest.mark.usefixtures("foreground")
def test_sweep_resumes_after_interrupt(aevb, table, monkeypatch):
    few = ["--latent", "1,2", "--seeds", 1, *SMALL]
    assert aevb("sweep", table, "--out", "whole", *few).code == 0
    show, left = ProgressBar.show_epoch, [1]

    def show_and_interrupt(self, epoch):
        show(self, epoch)
        if left:
            left.pop()
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(ProgressBar, "show_epoch", show_and_interrupt)
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
    record = json.loads(done.out)
    assert record["folder"] == "runs/flowers-sweep-1" and "Split: 48 train" in done.err
    assert record == json.loads(Path("runs/flowers-sweep-1/sweep.json").read_text())
    (only,) = record["combinations"]
    assert only["elbo"]["standard_error"] is None and only["is_best"]


def test_run_names_omit_beta_for_objectives_without_it(aevb, table):
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


def test_beta_of_a_preset_is_reported(aevb, table):
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


def test_table_is_printed_without_plotting_libraries(aevb, table, monkeypatch):
    def missing(*_, **__):
        raise missing_extra("plot", "drawing pictures")

    monkeypatch.setattr("aevb.plots.rate_distortion", missing)
    done = aevb("sweep", table, "--latent", 1, "--seeds", 1, "--out", "sweep", *SMALL)
    assert done.code == 0 and "best" in done.out
    assert "No figure: drawing pictures needs an optional dependency" in done.err
    assert Path("sweep/sweep.json").exists() and not Path("sweep/report.html").exists()


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (
            ["--latent", "0"],
            "0 is not one of whole numbers from 1. Give whole numbers from 1, as --latent 2,4,8",
        ),
        (["--latent", "2,x"], 'Invalid value for --latent: "x" is not a number'),
        (["--latent", "2,2.5"], '"2.5" is not a whole number'),
        (["--latent", ","], "it is empty"),
        (["--latent", ""], "it is empty"),
        (["--latent", "2,4,2"], "2 occurs twice"),
        (["--beta", "-1"], "-1 is not one of numbers from 0"),
        (["--beta", "1,nan"], "nan is not one of"),
        (["--beta", "inf"], "inf is not one of"),
        (["--beta", ""], "it is empty"),
        (["--beta", "1", "--preset", "iwae"], "--preset iwae takes no --beta"),
        (
            ["--beta", "1", "--objective", "iwae"],
            "--beta is 1.0; objective `IWAE` does not take it",
        ),
        (["--preset", "vea"], "Write --preset vae"),
        (["--gradient", "newton"], '--gradient is "newton"; this is not known'),
        (["--lr", "0"], "0 is not one of numbers above 0"),
        (["--seeds", "0"], "--seeds is 0; give the number of runs of each combination, at least 1"),
        (["--seed", 2**63 - 2, "--seeds", "3"], "is 9223372036854775808"),
        (["--seeds", "two"], 'Invalid value for --seeds: "two" is not a number'),
        (["--out", "taken"], "Choose another --out, or continue a sweep in it with --resume"),
        (["--out", "file"], '--out is "file"; it exists'),
        (["--resume"], "--resume needs --out"),
        (["--resume", "--out", "taken"], '--out is "taken"; it holds no run to resume'),
        (["--device", "abacus"], "abacus"),
        (["--minutes", "3"], "--minutes"),
    ],
)
def test_invalid_sweep_is_refused_before_reading_data(refused, tmp_path, arguments, sentence):
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
            "an autoencoder has no rate and no ELBO to compare. Write --preset vae",
        ),
        (["--ema", "1"], "is 1.0; give a"),
        (["--epochs", "0"], "is 0; give a"),
        (["--batch-size", "0", "--out", "a/b/sweep"], "is 0; give a"),
    ],
)
def test_refused_sweep_leaves_no_folder(refused, table, tmp_path, arguments, sentence):
    assert sentence in refused("sweep", table, *arguments)
    assert not list(tmp_path.iterdir())


def test_resume_refuses_a_different_sweep(refused, swept):
    before = weights(swept)
    assert "--epochs 2" in refused("sweep", "--resume", "--out", swept, "--epochs", 3)
    assert "--seed 0" in refused("sweep", "--resume", "--out", swept, "--seed", 1)
    run = swept / NAMES[0]
    assert "this is a single run, not a sweep. Continue it with `aevb fit --resume" in refused(
        "sweep", "--resume", "--out", run
    )
    assert weights(swept) == before


def test_shares_of_a_sweep_are_the_sweep(aevb, table, swept, tmp_path):
    whole = ["sweep", table, "--labels", "colour", "--out", "shared", *GRID]
    found = []
    for only in ("2/3", "3/3", "1/3"):
        before = {path.name for path in Path("shared").glob("*/")}
        done = aevb(*whole, "--only", only)
        assert done.code == 0 and "aevb sweep --resume --out shared" in done.out
        found.append({path.name for path in Path("shared").glob("*/")} - before)
    assert found == [{*NAMES[1::3]}, {*NAMES[2::3]}, {*NAMES[0::3]}]
    assert not Path("shared", "sweep.json").exists()
    trained = weights(Path("shared"))
    again = aevb(*whole, "--only", "2/3")  # a job that is started twice
    assert again.code == 0 and weights(Path("shared")) == trained
    assert aevb(*whole, "--only", "12/12").code == 0  # more jobs than runs
    assert aevb("sweep", "--resume", "--out", "shared").code == 0
    assert weights(Path("shared")) == trained
    ours, theirs = (
        json.loads((folder / "sweep.json").read_text()) for folder in (Path("shared"), swept)
    )
    assert [run["seed"] for run in ours["runs"]] == [run["seed"] for run in theirs["runs"]]


@pytest.mark.parametrize("only", ["0/3", "4/3", "3", "a/b", "1/2/3", "-1/3"])
def test_a_share_that_is_none_is_refused(refused, table, only):
    assert "3/16" in refused("sweep", table, "--out", "new", f"--only={only}", *SMALL)
    assert not Path("new").exists()


def test_a_share_needs_the_folder_of_the_sweep(refused, table):
    assert "--out" in refused("sweep", table, "--only", "1/3", *SMALL)
