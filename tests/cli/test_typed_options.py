"""Refusals and suggestions name options that can be typed, and no option is ignored."""

import json
from pathlib import Path

import pytest

ONE = ["--epochs", "1", "--hidden", "4", "--seeds", "1", "--out", "sweep"]


def test_sweep_of_a_model_with_parameters_per_row(aevb, table):
    done = aevb("sweep", table, "--preset", "svi", "--json", *ONE)
    assert done.code == 0, done.err
    assert json.loads(done.out)["n"] == 6


@pytest.mark.parametrize(
    "options, sentence",
    [
        (
            ["--set", "beta=2", "--beta", "1,2"],
            '--set is "beta=2"; the grid gives it as well, by --beta',
        ),
        (["--posterior", "dirac"], '--posterior is "dirac"; an autoencoder'),
        (["--preset", "autoencoder"], "Write --preset vae"),
    ],
)
def test_sweep_refuses(refused, table, tmp_path, options, sentence):
    assert sentence in refused("sweep", table, *options, *ONE)
    assert not (tmp_path / "sweep").exists()


@pytest.mark.parametrize(
    "options, sentence",
    [
        (["--likelihood", "foo"], '--likelihood is "foo"; this is not one of logistic_mixture, '),
        (["--prior", "foo"], '--prior is "foo"; this is not one of categorical, '),
        (["--prior", "product"], "Build it in Python, by `priors.Product()`"),
        (["--posterior", "dirac"], "Use --objective reconstruction, or --posterior normal"),
        (["--split-seed", "-1"], "--split-seed is -1; give a"),
        (["--beta", "inf"], "--beta is inf; give"),
        (["--device", "meta"], '--device is "meta"; this device'),
    ],
)
def test_fit_refuses(refused, table, tmp_path, options, sentence):
    refusal = refused("fit", table, *options, "--epochs", "1", "--hidden", "4", "--out", "run")
    assert sentence in refusal
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["evaluate", "--method", "exact"], "Use `aevb evaluate --method importance`"),
        (["evaluate", "--key", "x"], '--key is "x"; it says how other data are read'),
        (["evaluate", "--labels", "x"], "Leave it out, or give SOURCE"),
        (["quality", "--features", "foo"], "or `--features encoder`"),
        (["fit-prior", "--key", "x"], '--key is "x"'),
        (["fit-prior", "--components", "99999"], "--components is 99999; the data give"),
        (["compare", "--key", "x"], "or give --source"),
        (["sample", "-n", "0", "--out", "new.npy"], "-n is 0; give a whole number, at least 1"),
    ],
)
def test_commands_of_a_run_refuse(refused, digits, arguments, sentence):
    assert sentence in refused(arguments[0], digits, *arguments[1:])


def test_missing_condition_is_refused_with_the_option_that_gives_it(aevb, refused, table):
    aevb("fit", table, "--condition", "colour", "--out", "run", "--no-report", *ONE[:4])
    assert refused("sample", "run", "--out", "new.npy").endswith("Write --label blue.\n")


def test_prior_of_a_model_with_parameters_per_row(aevb, table):
    aevb("fit", table, "--preset", "svi", "--out", "run", "--no-report", *ONE[:4])
    assert aevb("fit-prior", "run", "--components", "2", "--out", "fitted").code == 0
    numbers = json.loads(aevb("evaluate", "fitted", "--json").out)
    assert numbers["n"] == 6


def test_conditions_are_given_one_by_one_or_as_errors_write_them(aevb):
    lines = [f"{n % 7}.{n},{'ab'[n % 2]},{n % 3 + 1}\n" for n in range(60)]
    Path("t.csv").write_text("x,kind,class\n" + "".join(lines))
    aevb("fit", "t.csv", "--condition", "kind,class", "--out", "run", "--no-report", *ONE[:4])
    draws = []
    for label in (["kind=a,class=3"], ["kind=a", "--label", "class=3"]):
        done = aevb("sample", "run", "-n", 5, "--out", "draws.csv", "--force", "--label", *label)
        assert done.code == 0, done.err
        draws.append(Path("draws.csv").read_text())
    assert draws[0] == draws[1]
