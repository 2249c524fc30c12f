"""Invalid input: a single error message with a suggestion, and no files lost or left over."""

import json
import shutil

import numpy as np
import pytest

Image = pytest.importorskip("PIL.Image")


@pytest.fixture
def files(tmp_path):
    """Unusable data files and a valid array."""
    good = np.random.default_rng(0).normal(size=(30, 3))
    broken = good.copy()
    broken[3, 1] = np.nan
    arrays = {"ok": good, "nan": broken, "empty": good[:0], "one": good[:1]}
    for name, values in arrays.items():
        np.save(tmp_path / f"{name}.npy", values)
    np.save(tmp_path / "pickled.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "two.npz", first=good, second=good)
    np.savez(tmp_path / "pickled.npz", x=np.array([{"a": 1}], dtype=object), allow_pickle=True)
    (tmp_path / "stray.csv").write_text(
        "a,b\n" + "".join(f"1,{i}.5\n" for i in range(9)) + "3,oops\n"
    )
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
        (["gone.csv"], 'SOURCE is "gone.csv"; there is no such file'),
        (["minst"], "Did you mean mnist?"),
        (["empty.npy"], "Give at least one row"),
        (["head.csv"], "holds no rows"),
        (["one.npy"], "Give at least 3 rows"),
        (["nan.npy"], "the first in row 3, column 1"),
        (["stray.csv"], 'row 10 holds "oops"'),
        (["stray.csv"], "--kinds b=categorical"),
        (["broken"], 'broken/b.png" cannot be decoded'),
        (["sizes"], "images have different sizes"),
        (["two.npz"], "Choose one with --key"),
        (
            ["two.npz", "--key", "secnd"],
            'file "two.npz" holds first, second. Did you mean --key second?',
        ),
        (["pickled.npy"], "pickled Python objects, which can run code"),
        (["pickled.npz"], "pickled Python objects, which can run code"),
        (["ok.npy", "--latent", "0"], "is 0; give a"),
        (["ok.npy", "--beta", "-1"], "--beta is -1.0; give 0 or more"),
        (["ok.npy", "--free-bits", "-1"], "--free-bits is -1.0"),
        (["ok.npy", "--samples", "0"], "--samples is 0"),
        (["ok.npy", "--epochs", "0"], "is 0; give a"),
        (["ok.npy", "--batch-size", "0"], "is 0; give a"),
        (["ok.npy", "--lr", "nan"], "is nan; give a"),
        (["ok.npy", "--ema", "1"], "is 1.0; give a"),
        (["ok.npy", "--seed", "-1"], "--seed is -1"),
        (["ok.npy", "--ensemble", "0"], "--ensemble is 0"),
        (["ok.npy", "--candidates", "5"], "it belongs to --tune"),
        (["ok.npy", "--tune", "--candidates", "1"], "--candidates is 1"),
        (["ok.npy", "--tune", "--resume", "--out", "runs/1"], "it holds no run to resume"),
        (["ok.npy", "--tune"], "validation rows, and there are 3"),
        (
            ["ok.npy", "--tune", "--split", "0.4,0.4,0.2", "--minutes", "0.0001"],
            "too short for one candidate",
        ),
        (["ok.npy", "--split", "1,2"], "Write --split 0.8,0.1,0.1"),
        (["ok.npy", "--preset", "vea"], "Write --preset vae"),
        (
            ["ok.npy", "--objective", "elbow"],
            "Write --objective ciwae, --objective cubo, --objective elbo",
        ),
        (
            ["ok.npy", "--set", "alpha"],
            '--set is "alpha"; it is not KEY=VALUE. Write --set alpha=0.5',
        ),
        (["ok.npy", "--set", "posterior.rank=2"], "there is no such argument; preset"),
        (["ok.npy", "--set", "alhpa=0.5", "--objective", "renyi"], 'Did you mean "alpha"?'),
        (
            ["ok.npy", "--set", "gradient.alpha=0.5", "--objective", "renyi"],
            "gradient `DoublyReparameterised` takes nothing",
        ),
        (["ok.npy", "--set", "alpha=big", "--objective", "renyi"], "'big' is not a number"),
        (["ok.npy", "--set", "groups=2.5", "--preset", "miwae"], "2.5 is not a whole number"),
        (
            ["ok.npy", "--set", "beta=Steps(3)"],
            "`Steps` is not a schedule; use one of Constant, Cyclical, Exponential",
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
            '--set update is "dream"',
        ),
        (
            ["ok.npy", "--objective", "iwae", "--beta", "2"],
            "--beta is 2.0; objective `IWAE` does not take it",
        ),
        (["ok.npy", "--preset", "vae", "--gradient", "leave-one-out"], "needs at least 2 samples"),
        (["ok.npy", "--likelihood", "bernouli"], "Write --likelihood bernoulli"),
        (["ok.npy", "--likelihood", "bernoulli"], "Write --likelihood normal"),
        (["ok.npy", "--network", "conv"], "Write --network mlp"),
        (["ok.npy", "--device", "abacus"], "abacus"),
        (["ok.npy", "--config", "gone.toml"], '--config is "gone.toml"; there is no such file'),
        (["ok.npy", "--config", "head.csv"], "cannot be read as TOML"),
        (["ok.npy", "--latent", "9" * 25], "is out of range"),
        (["ok.npy", "--latent", "99999999999"], "is out of range"),
        (["ok.npy", "--hidden", "9" * 25], "is out of range"),
        (["ok.npy", "--hidden", ""], "empty"),
        (["ok.npy", "--hidden", "1000000000,1000000000"], "memory"),
        (["ok.npy", "--device", "meta"], "meta"),
        (["ok.npy", "--device", "cuda:99999999999"], "cuda:99999999999"),
        (["ok.npy", "--out", "x" * 5000], "too long"),
        (["x" * 5000], "too long"),
        (["--config", "x" * 5000], "too long"),
        (["--resume"], "--resume needs --out"),
        (["--resume", "--out", "gone"], '--out is "gone"; it holds no run to resume'),
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
        (lambda run: (run / "model.json").unlink(), "--resume"),
        (lambda run: (run / "model.json").write_text('{"form'), "model.json"),
        (lambda run: (run / "model.json").write_text('{"a": 1}'), "`format`"),
        (lambda run: changed(run, format=99), "pip install --upgrade aevb"),
        (lambda run: changed(run, model={"class": "os.system", "arguments": {}}), "`os.system`"),
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


def test_run_without_its_data_requires_a_source(aevb, refused, table, tmp_path):
    shutil.copy(table, tmp_path / "here.csv")
    aevb("fit", "here.csv", "--epochs", 1, "--hidden", 4, "--out", "run", "--no-report")
    (tmp_path / "here.csv").rename(tmp_path / "there.csv")
    sentence = refused("evaluate", "run")
    assert (
        "the data of `run` cannot be read again" in sentence
        and "Give other data as SOURCE" in sentence
    )
    assert aevb("evaluate", "run", "there.csv", "--samples", 2).code == 0


def test_data_that_changed_are_noted(aevb, table, tmp_path):
    shutil.copy(table, tmp_path / "here.csv")
    aevb("fit", "here.csv", "--epochs", 1, "--hidden", 4, "--out", "run", "--no-report")
    (tmp_path / "here.csv").write_text((tmp_path / "here.csv").read_text() + "1,2,3,red\n")
    done = aevb("evaluate", "run", "--samples", 2)
    assert done.code == 0 and "here.csv has changed since" in done.err


def test_data_of_another_shape_are_refused(refused, digits, files):
    assert "rows of shape (3,), and the model was made for shape (8, 8)" in refused(
        "evaluate", digits, "ok.npy"
    )


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (
            ["sample", "--out", "x.jpg"],
            "the ending .jpg does not fit; write one of .png, .npz, .npy, .csv, .parquet",
        ),
        (["encode", "digits", "--out", "x"], "the ending (none) does not fit"),
        (["encode", "digits", "--out", "x.png"], "write one of .npz, .npy, .csv, .parquet"),
        (["sample", "--out", "ok.npy"], "Choose another --out, or give --force"),
        (["sample", "-n", "0", "--out", "x.npy"], "at least 1"),
        (["decode", "ok.npy", "--out", "x.npy"], "has 3 numbers per row, and the model"),
        (
            ["interpolate", "digits", "--from", "0", "--to", "999", "--out", "x.npy"],
            "--to is 999; the rows are 0 to 179",
        ),
        (
            ["interpolate", "digits", "--from", "0", "--to", "1", "--steps", "1", "--out", "x.npy"],
            "is 1; an interpolation",
        ),
        (["evaluate", "--samples", "0"], "--samples is 0"),
        (["evaluate", "--max-rows", "0"], "--max-rows is 0"),
        (["evaluate", "--samples", "1000000000000"], "is out of range"),
        (["evaluate", "--bracket", "1000000000000"], "is out of range"),
        (["evaluate", "x" * 5000], "too long"),
        (["sample", "--out", "d/" * 3000 + "x.csv"], "too long"),
        (["quality", "--features", "nothing"], '--features is "nothing"'),
        (["evaluate", "--method", "exact"], "exact likelihoods need "),
        (["evaluate", "--method", "annealing", "--defensive", "0.1"], "0.1; it belongs to"),
        (
            ["evaluate", "--temperatures", "9"],
            "--temperatures is 9; it belongs to --method annealing or --bracket 32",
        ),
        (["evaluate", "--bracket", "-1"], "--bracket is -1; give the number"),
    ],
)
def test_impossible_outputs_are_refused(refused, digits, files, arguments, sentence):
    before = (files / "ok.npy").read_bytes()
    assert sentence in refused(arguments[0], digits, *arguments[1:])
    assert (files / "ok.npy").read_bytes() == before and not list(files.glob("x*"))


def test_images_of_tables_are_refused(aevb, refused, table):
    aevb("fit", table, "--epochs", 1, "--hidden", 4, "--out", "run", "--no-report")
    assert "write one of .csv, .parquet" in refused("sample", "run", "--out", "x.png")
