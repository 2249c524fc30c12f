"""`aevb compare`: output, groups, excluded runs, pages and refusals."""

import json
import re
import shutil
from pathlib import Path

import pytest

import aevb as library
from aevb.cli import main
from aevb.metrics import log_likelihood

SMALL = ["--hidden", "8", "--epochs", "2", "--split-seed", "0", "--no-report", "--quiet"]
RUNS = {
    "small-0": ["--latent", "1", "--seed", "0"],
    "small-1": ["--latent", "1", "--seed", "1"],
    "large-0": ["--latent", "3", "--seed", "0"],
    "large-1": ["--latent", "3", "--seed", "1"],
    "densities": ["--latent", "1", "--likelihood", "normal"],
    "codes": ["--latent", "1", "--preset", "autoencoder"],
    "binary": ["--latent", "1", "--binarise", "fixed"],
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Runs on the digits by name, in a folder."""
    folder = tmp_path_factory.mktemp("compared")
    for name, options in RUNS.items():
        assert main(["fit", "digits", "--out", str(folder / name), *SMALL, *options]) == 0
    return folder


@pytest.fixture
def compared(aevb, runs):
    """Compare runs by name with two importance samples."""
    return lambda *names, more=(): aevb(
        "compare", *(runs / name for name in names), "--samples", 2, *more
    )


def parse_record(done):
    assert done.code == 0, done.err
    return json.loads(done.out)


def test_comparison_fits_80_columns(compared):
    done = compared("small-0", "large-0")
    lines = done.out.splitlines()
    head = next(place for place, line in enumerate(lines) if "log-likelihood" in line)
    assert lines[head].split() == [
        "log-likelihood",
        "ELBO",
        "rate",
        "distortion",
        "bits/dim",
        "active",
    ]
    assert [line.split()[0] for line in lines[head + 1 : head + 3]] == ["A", "B"]
    assert max(map(len, lines[head : head + 8])) <= 80 and done.err == ""
    assert "180 test rows of digits, the same for all; 2 importance samples each." in done.out
    assert re.search(r"A +\S+small-0 +latent 1\n", done.out) and "another seed" in done.out


def test_compared_numbers_equal_the_metrics(compared, runs):
    record = parse_record(compared("small-0", "large-0", more=["--json"]))
    rows = library.data.load("digits").test
    models = [library.load(runs / name) for name in ("small-0", "large-0")]
    each = [log_likelihood(model, rows, 2).per_datum for model in models]
    apart = library.metrics.Estimate.from_values(each[0] - each[1])
    assert (
        record["comparison"]["ranking_metric"] == "log_likelihood"
        and record["comparison"]["standard_error_over"] == "paired rows"
    )
    (side, difference), *_ = record["comparison"]["differences"]["log_likelihood"].items()
    sign = 1 if side == "A" else -1
    # the same draws in the same order; float64 sums
    assert difference["mean"] == pytest.approx(sign * apart.mean, rel=1e-9)
    assert difference["standard_error"] == pytest.approx(apart.standard_error, rel=1e-9)
    terms = log_likelihood(models[1], rows, 2).rate_distortion
    assert record["runs"][1]["rate"]["mean"] == pytest.approx(terms.rate.mean, rel=1e-9)
    assert record["differing_settings"] == {"latent": ["1", "3"]}


def test_seeds_of_a_configuration_are_grouped(compared):
    done = compared("small-0", "large-0", "small-1", "large-1", more=["--json"])
    record = parse_record(done)
    assert [run["name"] for run in record["runs"]] == ["A1", "B1", "A2", "B2"]
    assert [side["runs"] for side in record["comparison"]["configurations"]] == [
        ["A1", "A2"],
        ["B1", "B2"],
    ]
    means = {run["name"]: run["log_likelihood"]["mean"] for run in record["runs"]}
    (difference,) = record["comparison"]["differences"]["log_likelihood"].values()
    between = abs(means["A1"] + means["A2"] - means["B1"] - means["B2"]) / 2
    assert abs(difference["mean"]) == pytest.approx(between, rel=1e-9)
    assert record["comparison"]["standard_error_over"] == "seeds"
    assert "With so few seeds only large differences" in " ".join(record["comparison"]["notes"])


def test_seeds_alone_are_compared_by_rows_with_a_note(compared):
    done = compared("small-0", "small-1")
    assert "differ in their seed alone" in done.out


def test_a_run_is_not_compared_with_itself(compared, runs, refused):
    assert "this run occurs twice" in refused(
        "compare", runs / "small-0", runs / "large-0", runs / "small-0"
    )
    shutil.copytree(runs / "small-0", "copy")
    same = parse_record(compared("small-0", Path.cwd() / "copy", more=["--json"]))["comparison"]
    assert [side["verdict"] for side in same["configurations"]] == ["best", "noise"]
    assert same["differences"]["elbo"]["B"] == {
        "mean": 0.0,
        "standard_error": 0.0,
        "p_value": 1.0,
        "significant": False,
    }
    assert not any("still rise" in sentence for sentence in same["notes"])


def test_data_are_identified_by_rows_not_by_file_name(aevb, table):
    """A copy under another name is the same data; other rows under the same name are not."""
    lines = table.read_text().splitlines()
    for name, rows in {"copy.csv": lines, "other/flowers.csv": [lines[0], *lines[:15:-1]]}.items():
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text("\n".join(rows) + "\n")
    for source, out in ((table, "own"), ("copy.csv", "copied"), ("other/flowers.csv", "others")):
        assert aevb("fit", source, "--latent", 1, "--out", out, *SMALL).code == 0
    assert (
        "is not compared" not in (done := aevb("compare", "own", "copied", "--samples", 2)).err
        and "the same for all;" in done.out
    )
    done = aevb("compare", "own", "others", "copied", "--samples", 2)
    assert "others is not compared: it has other data (flowers with other rows)." in done.err
    assert "the same for all that are compared" in done.out and re.search(
        r"active +rows\n", done.out
    )
    assert (
        "no two of these runs can be compared"
        in aevb("compare", "own", "others", "--samples", 2).out
    )


@pytest.mark.parametrize(
    "odd, why",
    [
        ("densities", "it gives densities, and the others probabilities"),
        ("codes", "it is an autoencoder, which has no likelihood"),
        ("binary", "it has another binarisation (fixed; the others: none)"),
    ],
)
def test_incomparable_runs_are_listed_with_a_reason(compared, odd, why):
    done = compared(odd, "small-0", "large-0")
    assert done.code == 0 and f"{odd} is not compared: {why}." in done.err
    assert re.search(r"\nA +(-|\S+ ± )", done.out) and not re.search(
        r"\nA.*(best|worse|noise)\n", done.out
    )


def test_runs_on_other_data_are_not_compared(compared, aevb, table):
    assert (
        aevb("fit", table, "--labels", "colour", "--latent", 1, "--out", "flowers", *SMALL).code
        == 0
    )
    assert (
        "is not compared: it has events of shape (3,), and the others (8, 8)"
        in compared("small-0", "large-0", Path.cwd() / "flowers").err
    )


def test_different_rows_are_not_paired_and_noted(aevb, table):
    for seed in (0, 1):
        aevb(
            "fit",
            table,
            "--seed",
            seed,
            "--epochs",
            1,
            "--hidden",
            4,
            "--latent",
            1 + seed,
            "--out",
            f"run{seed}",
            "--no-report",
        )
    done = aevb("compare", "run0", "run1", "--samples", 2)
    assert (
        "train them with one --split-seed, or give --source" in done.err
        and "differences are not paired" in done.out
    )
    same = aevb("compare", "run0", "run1", "--source", table, "--samples", 2)
    assert f"60 rows of {table}, the same for all" in same.out and "row by row" in same.out


def test_evaluation_on_training_rows_is_noted(aevb, table):
    aevb("fit", table, "--epochs", 1, "--hidden", 4, "--latent", 1, "--out", "run", "--no-report")
    for command in ("evaluate", "quality"):
        assert (
            f"48 of 60 rows of {table} also occur among the training rows of run"
            in aevb(command, "run", table).err
        )
    assert "training rows" in aevb("compare", "run", "--source", table, "--samples", 2).err
    assert "training rows" not in aevb("evaluate", "run").err


def test_comparison_page_is_self_contained(compared, runs):
    done = compared("small-0", "large-0", "codes", more=["--out", "compare.html"])
    page = Path("compare.html").read_text()
    assert done.out.endswith("Page     compare.html\n") and not re.search(
        r"<(script|link)|https?:|@import|url\(", page
    )
    verdict = re.search(r"Verdict +(.) has the highest log p\(x\): (\S+)", done.out)
    assert f"{verdict[1]} (" in page and verdict[2].replace("-", "−") in page
    for words in (
        "Settings",
        "autoencoder, which has no likelihood",
        "Samples",
        "Reconstructions",
        str(runs / "large-0"),
    ):
        assert words in page
    # differences and validation in light and dark, then three reconstructions and two samples
    assert page.count("data:image/png;base64,") == 2 * 2 + 3 + 2


def test_the_page_of_tables(aevb, table):
    for latent in (1, 2):
        assert (
            aevb(
                "fit",
                table,
                "--labels",
                "colour",
                "--latent",
                latent,
                "--out",
                f"run{latent}",
                *SMALL,
            ).code
            == 0
        )
    assert aevb("compare", "run1", "run2", "--samples", 2, "--out", "page.html").code == 0
    page = Path("page.html").read_text()
    assert "econstructions" in page and "bits/dim" not in page
    assert "--force" in aevb("compare", "run1", "run2", "--out", "page.html").err
    assert (
        aevb("compare", "run1", "run2", "--samples", 2, "--out", "page.html", "--force").code == 0
    )


def test_runs_trained_from_python_are_labelled_by_recorded_settings(aevb):
    data = library.data.load("digits")
    for samples in (1, 2):
        recipe = library.presets.preset("vae", data.spec, latent=1, hidden=[4], samples=samples)
        library.fit(recipe, data, epochs=1, out=f"run{samples}", device="cpu", progress=False)
    done = aevb("compare", "run1", "run2", "--source", "digits", "--samples", 2)
    assert done.code == 0 and "objective ELBO(samples=2" in done.out


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        ([], "RUN is missing. Give run folders"),
        (["run", "--out", "page.pdf"], "the ending .pdf does not fit; write one of .html"),
        (["gone"], "gone"),
    ],
)
def test_invalid_comparisons_are_refused(refused, arguments, sentence):
    assert sentence in refused("compare", *arguments)
