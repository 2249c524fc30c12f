"""Bad input: one sentence that names the argument and says what to do, and nothing is lost or left behind."""

import json
import shutil

import numpy as np
import pytest

Image = pytest.importorskip("PIL.Image")


@pytest.fixture
def files(tmp_path):
    """Data that cannot be used, and one array that can."""
    good = np.random.default_rng(0).normal(size=(30, 3))
    broken = good.copy()
    broken[3, 1] = np.nan
    arrays = {"ok": good, "nan": broken, "empty": good[:0], "one": good[:1]}
    for name, values in arrays.items():
        np.save(tmp_path / f"{name}.npy", values)
    np.save(tmp_path / "pickled.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "two.npz", first=good, second=good)
    np.savez(tmp_path / "pickled.npz", x=np.array([{"a": 1}], dtype=object), allow_pickle=True)
    (tmp_path / "stray.csv").write_text("a,b\n" + "1,2\n" * 9 + "3,oops\n")
    (tmp_path / "head.csv").write_text("a,b\n")
    for folder, second in {"broken": None, "sizes": (9, 8)}.items():
        (tmp_path / folder).mkdir()
        Image.new("L", (8, 8)).save(tmp_path / folder / "a.png")
        (tmp_path / folder / "b.png").write_bytes(b"no image") if second is None else Image.new(
            "L", second
        ).save(tmp_path / folder / "b.png")
    return tmp_path


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["gone.csv"], 'source="gone.csv": there is no such file'),
        (["minst"], 'Did you mean "mnist"?'),
        (["empty.npy"], "give at least one row"),
        (["head.csv"], "holds no rows"),
        (["one.npy"], "give at least 3 rows"),
        (["nan.npy"], "the first in row 3, column 1"),
        (["stray.csv"], 'row 10 (line 11 of the file) says "oops"'),
        (["broken"], 'broken/b.png" cannot be decoded'),
        (["sizes"], "images have different sizes"),
        (["two.npz"], "Choose one with --key"),
        (
            ["two.npz", "--key", "secnd"],
            '--key secnd: file "two.npz" holds first, second. Did you mean "second"?',
        ),
        (["pickled.npy"], "pickled Python objects, which can run code"),
        (["pickled.npz"], "pickled Python objects, which can run code"),
        (["ok.npy", "--latent", "0"], "--latent is 0"),
        (["ok.npy", "--beta", "-1"], "--beta is -1.0; give 0 or more"),
        (["ok.npy", "--free-bits", "-1"], "--free-bits is -1.0"),
        (["ok.npy", "--samples", "0"], "--samples is 0"),
        (["ok.npy", "--epochs", "0"], "--epochs is 0"),
        (["ok.npy", "--batch-size", "0"], "--batch-size is 0"),
        (["ok.npy", "--lr", "nan"], "--lr is nan"),
        (["ok.npy", "--average", "1"], "--average is 1.0"),
        (["ok.npy", "--seed", "-1"], "--seed -1 must be"),
        (["ok.npy", "--split", "1,2"], "write --split 0.8,0.1,0.1"),
        (["ok.npy", "--preset", "vea"], "did you mean `vae`?"),
        (
            ["ok.npy", "--objective", "elbow"],
            "--objective elbow is not known: use one of ciwae, cubo, elbo, iwae, miwae",
        ),
        (["ok.npy", "--set", "alpha"], '--set "alpha": write --set KEY=VALUE'),
        (["ok.npy", "--set", "posterior.rank=2"], "or --set gradient.temperature=0.5"),
        (
            ["ok.npy", "--set", "alhpa=0.5", "--objective", "renyi"],
            '--set alhpa: there is no such argument. Did you mean "alpha"?',
        ),
        (
            ["ok.npy", "--set", "gradient.alpha=0.5", "--objective", "renyi"],
            "Gradient `Pathwise` takes nothing",
        ),
        (
            ["ok.npy", "--set", "alpha=big", "--objective", "renyi"],
            "--set alpha: 'big' is no number",
        ),
        (
            ["ok.npy", "--set", "groups=2.5", "--preset", "miwae"],
            "--set groups: 2.5 is no whole number",
        ),
        (
            ["ok.npy", "--set", "beta=Steps(3)"],
            "`Steps` is no schedule; use one of Constant, Cyclical, Exponential, Linear, Sigmoid",
        ),
        (["ok.npy", "--set", "beta=Linear(end=-1)"], "--beta is -1"),
        (
            ["ok.npy", "--set", "temperature=0.5", "--gradient", "relaxed"],
            "needs independent discrete latent variables",
        ),
        (
            ["ok.npy", "--objective", "iwae", "--gradient", "wake-sleep", "--set", "update=sleep"],
            "gradient `WakeSleep` takes nothing",
        ),
        (
            ["ok.npy", "--gradient", "reweighted", "--set", "update=dream"],
            '`update` is \'dream\'; use "wake", "sleep" or "both"',
        ),
        (["ok.npy", "--objective", "iwae", "--beta", "2"], "objective `IWAE` takes no --beta 2.0"),
        (
            ["ok.npy", "--gradient", "leave-one-out"],
            "Use --objective elbo --samples 4, or --gradient score-function",
        ),
        (["ok.npy", "--likelihood", "bernouli"], 'Did you mean "bernoulli"?'),
        (["ok.npy", "--likelihood", "bernoulli"], "write --likelihood normal"),
        (["ok.npy", "--network", "conv"], "write --network mlp"),
        (["ok.npy", "--device", "abacus"], "--device is 'abacus', which is not there"),
        (["ok.npy", "--config", "gone.toml"], "there is no configuration file `gone.toml`"),
        (["ok.npy", "--config", "head.csv"], "cannot be read as TOML"),
        (["--resume"], "--resume needs --out"),
        (["--resume", "--out", "gone"], "`gone` holds no run to resume"),
    ],
)
def test_fit_refuses(refused, files, arguments, sentence):
    assert sentence in refused("fit", *arguments, "--hidden", "4", "--no-report")
    assert not (files / "runs").exists()


def test_a_config_with_a_misspelt_key_is_refused(refused, files):
    (files / "mine.toml").write_text('source = "ok.npy"\nlatnet = 3\n')
    assert "latnet" in refused("fit", "--config", "mine.toml")


def changed(run, **changes):
    record = json.loads((run / "model.json").read_text()) | changes
    (run / "model.json").write_text(json.dumps(record))


@pytest.mark.parametrize(
    "spoil, sentence",
    [
        (lambda run: shutil.rmtree(run), "there is no run folder"),
        (
            lambda run: (run / "model.json").unlink(),
            "holds a checkpoint but no finished model: continue the run with --resume",
        ),
        (lambda run: (run / "model.json").write_text('{"form'), "truncated or not written by aevb"),
        (lambda run: (run / "model.json").write_text('{"a": 1}'), "was not written by aevb"),
        (lambda run: changed(run, format=99), "pip install --upgrade aevb"),
        (
            lambda run: changed(run, model={"class": "os.system", "arguments": {}}),
            "knows no `os.system`",
        ),
        (
            lambda run: (run / "model.safetensors").write_bytes(
                (run / "model.safetensors").read_bytes()[:99]
            ),
            "truncated",
        ),
        (lambda run: changed(run, data=None), "without a description of its data"),
    ],
)
def test_a_damaged_run_is_refused(refused, digits, tmp_path, spoil, sentence):
    run = tmp_path / "run"
    shutil.copytree(digits, run)
    spoil(run)
    assert sentence in refused("evaluate", run, "--samples", 2)


def test_a_run_without_its_data_asks_for_them(aevb, refused, table, tmp_path):
    shutil.copy(table, tmp_path / "here.csv")
    aevb("fit", "here.csv", "--epochs", 1, "--hidden", 4, "--out", "run", "--no-report")
    (tmp_path / "here.csv").rename(tmp_path / "there.csv")
    sentence = refused("evaluate", "run")
    assert "the data of `run` cannot be read again" in sentence and "give SOURCE" in sentence
    assert aevb("evaluate", "run", "there.csv", "--samples", 2).code == 0


def test_data_that_changed_are_noted(aevb, table, tmp_path):
    shutil.copy(table, tmp_path / "here.csv")
    aevb("fit", "here.csv", "--epochs", 1, "--hidden", 4, "--out", "run", "--no-report")
    (tmp_path / "here.csv").write_text((tmp_path / "here.csv").read_text() + "1,2,3,red\n")
    done = aevb("evaluate", "run", "--samples", 2)
    assert done.code == 0 and "here.csv is not what it was" in done.err


def test_data_of_another_shape_are_refused(refused, digits, files):
    assert "rows of shape (3,), and the model was made for shape (8, 8)" in refused(
        "evaluate", digits, "ok.npy"
    )


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (
            ["sample", "--out", "x.jpg"],
            "the ending .jpg does not fit here; write one of .png, .npz, .npy, .csv, .parquet",
        ),
        (["sample", "--out", "x"], "the ending (none) does not fit"),
        (["encode", "digits", "--out", "x.png"], "write one of .npz, .npy, .csv, .parquet"),
        (["sample", "--out", "ok.npy"], "`ok.npy` exists and is never overwritten unasked"),
        (["sample", "-n", "0", "--out", "x.npy"], "ask for at least 1"),
        (["decode", "ok.npy", "--out", "x.npy"], "has 3 numbers per code, and the model"),
        (
            ["interpolate", "digits", "--from", "0", "--to", "999", "--out", "x.npy"],
            "--to 999: digits has rows 0 to 179",
        ),
        (
            ["interpolate", "digits", "--from", "0", "--to", "1", "--steps", "1", "--out", "x.npy"],
            "--steps is 1",
        ),
        (["evaluate", "--samples", "0"], "--samples is 0"),
        (["evaluate", "--rows", "0"], "`rows` is 0; take at least 1"),
        (["evaluate", "--method", "exact"], "exact likelihoods need `likelihoods.Normal`"),
        (["evaluate", "--method", "ais", "--defensive", "0.1"], "--defensive is 0.1 with"),
        (["evaluate", "--temperatures", "9"], "--temperatures 9 with --method importance"),
        (["evaluate", "--bracket", "-1"], "--bracket -1: give the number"),
    ],
)
def test_results_that_cannot_be_are_refused(refused, digits, files, arguments, sentence):
    before = (files / "ok.npy").read_bytes()
    assert sentence in refused(arguments[0], digits, *arguments[1:])
    assert (files / "ok.npy").read_bytes() == before and not list(files.glob("x*"))


def test_a_table_has_no_picture(aevb, refused, table):
    aevb("fit", table, "--epochs", 1, "--hidden", 4, "--out", "run", "--no-report")
    assert "write one of .npz, .npy, .csv, .parquet" in refused("sample", "run", "--out", "x.png")
