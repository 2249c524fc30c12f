"""`aevb fit`: output, files, configuration, interrupts and resuming."""

import json
import os
import re
import signal
import time
import tomllib
from pathlib import Path

import numpy as np
import pytest

from aevb.cli import main
from aevb.training._progress_bar import ProgressBar

SMALL = ["--latent", "2", "--hidden", "8", "--no-report"]


def interrupt_after(monkeypatch, epoch, number=signal.SIGINT):
    """Send a signal once, at the end of an epoch."""
    show = ProgressBar.show_epoch
    waiting = [epoch]

    def show_and_interrupt(self, shown):
        show(self, shown)
        if waiting and shown.epoch == waiting[0]:
            waiting.pop()
            signal.raise_signal(number)

    monkeypatch.setattr(ProgressBar, "show_epoch", show_and_interrupt)


def test_fit_prints_data_model_and_result(aevb, table):
    done = aevb("fit", table, "--labels", "colour", "--epochs", 3, *SMALL)
    assert done.code == 0 and done.err == ""
    assert (
        "Read 60 rows of 3 columns: width, height, depth and labels of 2 classes (blue, red)."
        in done.out
    )
    assert "table_vae (Mattei and Frellsen 2019) with 2 latent variables" in done.out
    assert "runs/flowers-1, on" in done.out
    assert "128" in done.out
    assert re.search(
        r"Test     log p\(x\) .* ELBO -?[\d,]+\.\d\d? ± \d+\.\d\d? nats per row, over 6 test rows",
        done.out,
    )
    assert "aevb evaluate runs/flowers-1" in done.out
    assert max(map(len, done.out.splitlines())) > 80  # no terminal: nothing is wrapped
    assert "\x1b" not in done.out


def test_runs_are_numbered_and_quiet_prints_the_folder(aevb, table):
    assert [aevb("fit", table, "--epochs", 1, "--quiet", *SMALL).out for _ in range(2)] == [
        "runs/flowers-1\n",
        "runs/flowers-2\n",
    ]


def test_json_is_alone_on_stdout(aevb, table):
    done = aevb("fit", table, "--epochs", 1, "--json", *SMALL)
    record = json.loads(done.out)
    assert (
        record["run"] == "runs/flowers-1"
        and record["n"] == 6
        and set(record["elbo"]) == {"mean", "standard_error"}
    )
    assert "Split: 48 train" in done.err


def test_constant_columns_are_reported(aevb, tmp_path):
    np.save(
        tmp_path / "flat.npy", np.c_[np.random.default_rng(0).normal(size=(30, 2)), np.ones(30)]
    )
    assert "column 2 (1)" in aevb("fit", "flat.npy", "--epochs", 1, *SMALL).out


def test_narrow_data_get_few_latent_variables(aevb, table):
    options = ("--epochs", 1, "--hidden", 8, "--no-report")
    done = aevb("fit", table, "--likelihood", "normal", "--preset", "vae", *options)
    assert "with 1 latent variable and" in done.out
    done = aevb("fit", table, "--likelihood", "normal", *options)
    assert "with 3 latent variables and" in done.out  # as many as columns
    assert "with 4 latent variables and" in aevb("fit", table, *options).out  # of mixed columns


def test_flat_rows_take_a_shape(aevb, tmp_path):
    np.save(tmp_path / "flat.npy", np.random.default_rng(0).integers(0, 9, (60, 12)))
    done = aevb("fit", "flat.npy", "--shape", "3,4", "--epochs", 1, *SMALL, "--out", "run")
    assert "images of 3 x 4" in done.out
    assert tomllib.loads(Path("run/config.toml").read_text())["shape"] == [3, 4]
    assert aevb("encode", "run", "flat.npy", "--out", "codes.npy").code == 0
    assert np.load("codes.npy").shape == (60, 2)


def test_configuration_file_reproduces_the_run(aevb, table):
    options = [
        "--seed",
        3,
        "--split",
        "0.6,0.2,0.2",
        "--order",
        "time",
        "--hidden",
        "8,4",
        "--beta",
        "0.5",
        "--lr",
        "0.01",
        "--epochs",
        2,
    ]
    assert aevb("fit", table, "--labels", "colour", "--out", "a", "--no-report", *options).code == 0
    assert aevb("fit", "--config", "a/config.toml", "--out", "b", "--no-report").code == 0
    first, second = (Path(f"{run}/config.toml").read_text() for run in "ab")
    assert first == second
    assert tomllib.loads(first)["hidden"] == [8, 4]
    assert '# likelihood = "normal"' in first
    assert Path("a/model.safetensors").read_bytes() == Path("b/model.safetensors").read_bytes()


def test_command_line_overrides_the_configuration_file(aevb, table):
    aevb("fit", table, "--out", "a", "--epochs", 1, *SMALL)
    aevb(
        "fit",
        "--config",
        "a/config.toml",
        "--latent",
        3,
        "--preset",
        "iwae",
        "--out",
        "b",
        "--no-report",
    )
    record = tomllib.loads(Path("b/config.toml").read_text())
    assert (record["latent"], record["preset"], record["hidden"], record["source"]) == (
        3,
        "iwae",
        [8],
        str(table),
    )


@pytest.mark.parametrize(
    "options, printed",
    [
        (
            ["--objective", "iwae", "--samples", "3", "--gradient", "doubly"],
            "Objective: IWAE-3, a lower bound; gradient: DoublyReparameterised.",
        ),
        (
            ["--preset", "vae", "--gradient", "leave-one-out", "--samples", "2"],
            "Objective: ELBO, a lower bound; gradient: LeaveOneOut.",
        ),
        (["--preset", "beta-vae", "--free-bits", "0.1"], "beta_vae (Higgins et al. 2017)"),
        (["--preset", "autoencoder"], "Test     reconstruction log-likelihood"),
        (
            ["--preset", "renyi-vae", "--set", "alpha=-0.5"],
            "Objective: Renyi(-0.5)-5, which is not a bound; gradient",
        ),
        (
            ["--preset", "piwae", "--set", "groups=2", "--set", "size=3"],
            "Objective: PIWAE-2x3, reported as IWAE-6, a lower bound",
        ),
        (
            ["--objective", "renyi", "--samples", "3", "--set", "objective.alpha=0.25"],
            "Objective: Renyi(0.25)-3",
        ),
        (
            ["--preset", "vae", "--set", "kl=sampled", "--gradient", "doubly"],
            "Objective: ELBO, a lower bound; gradient: DoublyReparameterised.",
        ),
        (
            ["--preset", "gumbel-softmax-vae", "--set", "temperature=Linear(1, 0.5, steps=2)"],
            "ELBO, which is not a bound; gradient: Relaxed",
        ),
        (
            ["--set", "beta=Linear(0, 1, steps=50)"],
            "The schedule of `beta` takes 50 steps, and the run has 1",
        ),
        (["--ema", "0.9", "--clip-norm", "10", "--patience", "1", "--minutes", "1"], "Done"),
    ],
)
def test_objective_and_gradient_by_name(aevb, table, options, printed):
    assert printed in aevb("fit", table, "--epochs", 1, *SMALL, *options).out


def test_settings_are_trained_and_restored(aevb, table):
    options = [
        "--preset",
        "reweighted-wake-sleep",
        "--set",
        "update=both",
        "--set",
        "samples=3",
        "--epochs",
        1,
        *SMALL,
    ]
    assert aevb("fit", table, "--out", "a", *options).code == 0
    trained = json.loads(Path("a/model.json").read_text())["training"]
    assert trained["gradient"] == {
        "class": "gradients.ReweightedWakeSleep",
        "number": 0,
        "arguments": {"update": "both"},
    }
    assert trained["objective"]["arguments"] == {"samples": 3}
    assert tomllib.loads(Path("a/config.toml").read_text())["set"] == ["update=both", "samples=3"]
    assert aevb("fit", "--config", "a/config.toml", "--out", "b", "--no-report").code == 0
    assert Path("a/model.safetensors").read_bytes() == Path("b/model.safetensors").read_bytes()


@pytest.mark.usefixtures("foreground")
def test_interrupted_fit_keeps_best_weights_and_resumes_exactly(aevb, table, monkeypatch):
    whole = aevb("fit", table, "--out", "whole", "--epochs", 6, *SMALL)
    interrupt_after(monkeypatch, epoch=3)
    stopped = aevb("fit", table, "--out", "cut", "--epochs", 6, *SMALL)
    assert (whole.code, stopped.code) == (0, 130)
    assert "aevb fit --resume --out cut" in stopped.out
    assert aevb("evaluate", "cut", "--samples", 2).code == 0
    both = aevb("fit", "--resume", "--force", "--out", "cut")
    assert both.code == 2 and "--resume" in both.err and Path("cut/checkpoint").exists()
    assert aevb("fit", "--resume", "--out", "cut", "--no-report").code == 0
    assert (
        Path("whole/model.safetensors").read_bytes() == Path("cut/model.safetensors").read_bytes()
    )


@pytest.mark.usefixtures("foreground")
def test_full_disk_keeps_the_previous_checkpoint(aevb, table, monkeypatch):
    interrupt_after(monkeypatch, epoch=2)
    aevb("fit", table, "--out", "run", "--epochs", 6, *SMALL)
    before = Path("run/checkpoint/state.safetensors").read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        done = aevb("fit", "--resume", "--out", "run")
    assert done.code == 2
    assert "could not be written (No space left on device); the previous one is intact" in done.err
    assert Path("run/checkpoint/state.safetensors").read_bytes() == before
    assert aevb("fit", "--resume", "--out", "run", "--no-report").code == 0


def test_an_existing_run_is_replaced_only_by_force(aevb, refused, table):
    aevb("fit", table, "--out", "run", "--epochs", 1, *SMALL)
    before = Path("run/config.toml").read_text()
    assert "--force" in refused("fit", table, "--out", "run", "--epochs", 2, *SMALL)
    assert Path("run/config.toml").read_text() == before
    assert aevb("fit", table, "--out", "run", "--force", "--epochs", 2, *SMALL).code == 0
    assert "epochs = 2" in Path("run/config.toml").read_text()


def test_force_replaces_runs_only(refused, table, tmp_path):
    (tmp_path / "thesis" / "pictures").mkdir(parents=True)
    assert "--force replaces runs only" in refused(
        "fit", table, "--out", "thesis", "--force", *SMALL
    )
    assert (tmp_path / "thesis" / "pictures").is_dir()


@pytest.mark.parametrize("name", ["out", "force", "resume", "config", "debug"])
def test_a_settings_file_does_not_say_what_is_written(aevb, table, tmp_path, name):
    aevb("fit", table, "--out", "precious", "--epochs", 1, *SMALL)
    before = {path: path.read_bytes() for path in (tmp_path / "precious").rglob("*.*")}
    value = '"precious"' if name in ("out", "config") else "true"
    (tmp_path / "theirs.toml").write_text(
        f'source = "{table}"\nepochs = 1\nlatent = 1\nhidden = [4]\n{name} = {value}\n'
    )
    done = aevb("fit", "--config", "theirs.toml", "--json")
    assert (done.code, json.loads(done.out)["argument"]) == (2, "config")
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.usefixtures("foreground")
@pytest.mark.parametrize("name, code", [("SIGTERM", 143), ("SIGHUP", 129), ("SIGINT", 130)])
def test_the_exit_code_names_the_signal(aevb, table, monkeypatch, name, code):
    interrupt_after(monkeypatch, epoch=2, number=getattr(signal, name))
    stopped = aevb("fit", table, "--out", "cut", "--epochs", 6, *SMALL)
    assert stopped.code == code and "aevb fit --resume --out cut" in stopped.out
    assert aevb("fit", "--resume", "--out", "cut", "--no-report").code == 0


def test_a_finished_run_goes_on(aevb, table):
    aevb("fit", table, "--out", "run", "--epochs", 2, *SMALL)
    done = aevb("fit", "--resume", "--out", "run", "--epochs", 5, "--no-report")
    assert done.code == 0, done.err
    assert len(Path("run/history.jsonl").read_text().splitlines()) == 5
    assert tomllib.loads(Path("run/config.toml").read_text())["epochs"] == 5


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no child processes by fork")
def test_killed_runs_are_resumed_to_the_same_weights(aevb, table, monkeypatch):
    """At any time: while files are opened, and later."""
    options = ["--epochs", 12, *SMALL]
    assert aevb("fit", table, "--out", "whole", *options).code == 0
    monkeypatch.setattr("aevb.training._run.CHECKPOINT_SECONDS", 0.0)
    for number, delay in enumerate((0.05, 0.3)):
        child = os.fork()
        if child == 0:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            main(["fit", str(table), "--out", f"cut{number}", *map(str, options)])
            os._exit(0)
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        out = f"cut{number}"
        begun = Path(out, "config.toml").exists()
        again = ["--resume", "--no-report"] if begun else [table, *options]
        done = aevb("fit", *again, "--out", out)
        assert done.code == 0, done.err
        assert (
            Path(out, "model.safetensors").read_bytes()
            == Path("whole/model.safetensors").read_bytes()
        )
        names = {path.name for path in Path(out).iterdir()}
        assert names == {path.name for path in Path("whole").iterdir()}


def test_sources_of_parts_are_options_and_quiet_keeps_warnings(aevb, refused, tmp_path):
    rng = np.random.default_rng(0)
    for name, n in {"a": 60, "b": 20, "c": 10}.items():
        np.save(tmp_path / f"{name}.npy", rng.random((n, 3)))
    short = ["--hidden", 4, "--epochs", 1, "--no-report", "--quiet"]
    sources = ["--train", "a.npy", "--validation", "b.npy", "--test", "c.npy"]
    done = aevb("fit", *sources, "--out", "run", *short)
    assert (done.code, done.out) == (0, "run\n")
    assert json.loads(aevb("evaluate", "run", "--samples", 2, "--json").out)["n"] == 10
    assert aevb("fit", "--resume", "--out", "run", "--epochs", 2, "--no-report").code == 0
    assert refused("fit", "a.npy", "--train", "b.npy").startswith("error: --train is")
    np.save(tmp_path / "marks.npy", 255 * rng.integers(0, 2, (60, 4, 4), np.uint8))
    done = aevb("fit", "marks.npy", "--out", "marks", *short)
    # the warning that 0 and 255 could be read as 0 and 1, and no other note
    assert done.out == "marks\n" and done.err.count("note: ") == 1
    assert "--binarise fixed" in done.err


@pytest.fixture
def many_rows(tmp_path):
    path = tmp_path / "many.npy"
    np.save(path, np.random.default_rng(0).normal(size=(200, 3)))
    return path


def test_tuning_prints_the_candidates(aevb, many_rows):
    done = aevb("fit", many_rows, "--tune", "--candidates", 2, "--epochs", 2, *SMALL, "--json")
    record = json.loads(done.out)
    assert done.code == 0 and len(record["tuning"]["candidates"]) == 2
    assert record["tuning"]["candidates"][0]["chosen"]
    again = aevb("fit", "--resume", "--tune", "--out", record["run"])
    assert again.code == 2 and "--tune" in again.err
    report = aevb("report", record["run"])
    page = Path(record["run"], "report.html").read_text(encoding="utf-8")
    assert report.code == 0 and 'id="tuning"' in page and "chosen" in page


def test_an_interrupted_ensemble_is_kept_and_can_be_begun_again(aevb, table, monkeypatch):
    interrupt_after(monkeypatch, 2)
    arguments = ("fit", table, "--epochs", 9, "--ensemble", 2, "--out", "runs/two", *SMALL)
    done = aevb(*arguments)
    assert done.code == 130 and "--config runs/two/config.toml --force --out runs/two" in done.out
    assert json.loads(Path("runs/two/model.json").read_text())["state"] == "interrupted"
    refused = aevb("fit", "--resume", "--out", "runs/two")
    assert refused.code != 0 and "--force" in refused.err
    again = aevb("fit", "--config", "runs/two/config.toml", "--force", "--out", "runs/two")
    assert again.code == 0
