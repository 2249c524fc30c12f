"""Output and files of the other commands."""

import json
import math
import shutil
from dataclasses import replace

import numpy as np
import polars
import pytest

from aevb.cli._demo import DEMO_TRAINING

Image = pytest.importorskip("PIL.Image")


def parse_strict(text):
    """Parse JSON that must not contain NaN."""
    return json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} in JSON"))


def size_of(path):
    with Image.open(path) as image:
        return image.size


def test_json_of_evaluate_is_a_single_object(aevb, digits):
    record = parse_strict(aevb("evaluate", digits, "--samples", 5, "--json").out)
    assert record["n"] == 180 and record["active_units"] in (0, 1, 2)
    assert (
        record["log_likelihood"]["samples"] == 5
        and 1 <= record["log_likelihood"]["effective_sample_size"] <= 5
    )
    assert record["elbo"]["mean"] == pytest.approx(
        -record["rate"]["mean"] - record["distortion"]["mean"]
    )
    assert (
        record["elbo"]["mean"] < record["log_likelihood"]["mean"]
    )  # of the same draws: never above
    assert record["bits_per_dimension"]["mean"] == pytest.approx(
        -record["log_likelihood"]["mean"] / (64 * math.log(2))
    )


def test_named_data_set_is_evaluated_on_its_test_split(aevb, table, digits):
    alone, named = (
        parse_strict(aevb("evaluate", digits, *source, "--samples", 2, "--json").out)
        for source in ([], ["digits"])
    )
    assert alone["elbo"] == named["elbo"]


def test_evaluate_prints_numbers_with_units_and_then_their_meanings(aevb, digits):
    done = aevb("evaluate", digits, "--samples", 2)
    numbers, meanings = done.out.split("\n\n")[1:]
    labels = [
        "log-likelihood", "effective samples", "upper bound", "baseline: independent columns",
        "baseline: Gaussian", "baseline: 8 latent classes", "baseline: Chow-Liu tree",
        "above the best baseline",
        "bits per dimension", "ELBO", "rate", "distortion", "active units",
    ]  # fmt: skip
    for table in (numbers, meanings):
        assert [line.split("  ")[0] for line in table.splitlines()] == labels
    assert max(map(len, numbers.splitlines())) <= 80
    assert done.err == ""


def test_evaluate_brackets_the_likelihood(aevb, digits):
    """Real data have no upper bound; rows drawn from the model have both bounds."""
    annealed = (
        "evaluate",
        digits,
        "--method",
        "annealing",
        "--samples",
        2,
        "--temperatures",
        3,
        "--max-rows",
        5,
        "--bracket",
        3,
    )
    record = parse_strict(aevb(*annealed, "--json").out)
    assert (
        record["n"] == 5
        and record["log_likelihood"]["method"] == "annealing"
        and record["upper_bound"] is None
    )
    assert record["lower_bound"]["mean"] < record["log_likelihood"]["mean"]
    assert record["bracket"]["n"] == 3 and record["bracket"]["gap"]["mean"] > 0
    lines = aevb(*annealed).out.split("\n\n")[1].splitlines()
    assert any(line.startswith("upper bound") and "not available" in line for line in lines)
    assert [line.split("  ")[0] for line in lines[-3:]] == [
        "bracket: lower",
        "bracket: upper",
        "bracket: width",
    ]
    assert max(map(len, lines)) <= 80


def test_evaluate_reports_reliability_of_importance_samples(aevb, digits):
    record = parse_strict(
        aevb("evaluate", digits, "--samples", 30, "--max-rows", 20, "--json").out
    )["log_likelihood"]
    assert 0 <= record["pareto_k"]["reliable_fraction"] <= 1 and record["zero_density_rows"] == []
    assert [point["samples"] for point in record["curve"]] == [1, 2, 4, 8, 16, 30]
    done = aevb("evaluate", digits, "--samples", 30, "--max-rows", 20, "--defensive", 0.1)
    lines = done.out.split("\n\n")[1].splitlines()
    assert any(line.startswith("Pareto k") for line in lines) and max(map(len, lines)) <= 80


def test_an_autoencoder_has_no_likelihood(aevb, table):
    aevb(
        "fit",
        table,
        "--preset",
        "autoencoder",
        "--epochs",
        1,
        "--hidden",
        4,
        "--out",
        "run",
        "--no-report",
    )
    record = parse_strict(aevb("evaluate", "run", "--json").out)
    assert record["log_likelihood"] is None and record["elbo"] is None and record["rate"] is None
    assert record["reconstruction_log_likelihood"]["mean"] == -record["distortion"]["mean"]
    assert "An autoencoder has no likelihood" in aevb("evaluate", "run").out
    assert any(
        line.split()[:3] == ["A", "-", "-"] for line in aevb("compare", "run").out.splitlines()
    )


def test_a_single_row_has_no_error_bar(aevb, digits, tmp_path):
    np.save(tmp_path / "one.npy", np.ones((1, 8, 8), np.uint8))
    assert (
        parse_strict(aevb("evaluate", digits, "one.npy", "--samples", 2, "--json").out)["elbo"][
            "standard_error"
        ]
        is None
    )


def test_a_run_can_be_moved(aevb, digits, tmp_path):
    shutil.copytree(digits, tmp_path / "elsewhere")
    assert aevb("evaluate", "elsewhere", "--samples", 2).code == 0


def test_samples_are_data_of_the_same_kind_and_follow_the_seed(aevb, digits):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert aevb("sample", digits, "-n", 5, "--seed", seed, "--out", f"{name}.npz").code == 0
    a, b, c = (np.load(f"{name}.npz")["x"] for name in "abc")
    assert a.shape == (5, 8, 8) and a.dtype == np.uint8 and a.max() <= 16
    assert (a == b).all() and (a != c).any()


def test_pictures(aevb, digits):
    assert "s.png: 6 samples." in aevb("sample", digits, "-n", 6, "--mean", "--out", "s.png").out
    assert aevb("reconstruct", digits, "digits", "--out", "r.png").code == 0
    assert (
        aevb(
            "interpolate",
            digits,
            "digits",
            "--from",
            0,
            "--to",
            3,
            "--steps",
            5,
            "--path",
            "spherical",
            "--out",
            "i.png",
        ).code
        == 0
    )
    assert size_of("s.png") == (3 * 58 + 2, 2 * 58 + 2)
    assert size_of("r.png") == (16 * 58 + 2, 8 * 58 + 2)
    assert size_of("i.png") == (5 * 58 + 2, 58 + 2)


def test_geodesic_and_straight_path_have_the_same_ends(aevb, table):
    """Table columns are scaled by their standard deviations."""
    fitted = (
        "--labels",
        "colour",
        "--latent",
        2,
        "--hidden",
        8,
        "--epochs",
        2,
        "--no-report",
        "--out",
        "runs/x",
    )
    assert aevb("fit", table, *fitted).code == 0
    for path in ("linear", "geodesic"):
        assert (
            aevb(
                "interpolate",
                "runs/x",
                table,
                "--from",
                0,
                "--to",
                3,
                "--path",
                path,
                "--out",
                f"{path}.npz",
            ).code
            == 0
        )
    straight, shortest = (np.load(f"{path}.npz")["x"] for path in ("linear", "geodesic"))
    np.testing.assert_allclose(shortest[[0, -1]], straight[[0, -1]], rtol=1e-5)


def test_results_are_overwritten_by_force(aevb, digits):
    assert [
        aevb("sample", digits, "--out", "s.npy", *force).code for force in ([], [], ["--force"])
    ] == [0, 2, 0]


@pytest.mark.parametrize("ending", ["csv", "parquet", "npz", "npy"])
def test_encoded_latents_are_decoded_from_a_file(aevb, digits, ending):
    assert aevb("encode", digits, "digits", "--out", f"codes.{ending}").code == 0
    assert aevb("decode", digits, f"codes.{ending}", "--out", "decoded.npy").code == 0
    assert aevb("reconstruct", digits, "digits", "--out", "both.npz").code == 0
    both = np.load("both.npz")
    assert both["original"].shape == (180, 8, 8)
    np.testing.assert_allclose(np.load("decoded.npy"), both["x"], atol=1e-4)


def test_encoded_latents_include_labels(aevb, digits):
    aevb("encode", digits, "digits", "--out", "codes.csv")
    frame = polars.read_csv("codes.csv")
    assert frame.columns == ["z0", "z1", "label"] and set(frame["label"]) == set(range(10))


def test_posterior_sample_differs_from_posterior_mean(aevb, digits):
    aevb("encode", digits, "digits", "--out", "mean.npy")
    aevb("encode", digits, "digits", "--draw", "--out", "draw.npy")
    assert np.abs(np.load("mean.npy") - np.load("draw.npy")).max() > 0.1


def test_generated_tables_have_the_original_columns(aevb, table):
    aevb(
        "fit",
        table,
        "--labels",
        "colour",
        "--epochs",
        1,
        "--hidden",
        4,
        "--out",
        "run",
        "--no-report",
    )
    aevb("sample", "run", "-n", 7, "--out", "new.csv")
    frame = polars.read_csv("new.csv")
    assert frame.columns == ["width", "height", "depth"] and len(frame) == 7
    assert aevb("reconstruct", "run", "new.csv", "--out", "again.parquet").code == 0
    assert polars.read_parquet("again.parquet").columns == frame.columns


def test_report_of_a_run(aevb, digits, tmp_path, monkeypatch):
    seen = {}

    def write(run, data, *, samples, seed, **_):
        seen.update(run=run.path, rows=len(getattr(data, "test", data)), samples=samples, seed=seed)
        return run.path / "report.html"

    monkeypatch.setattr("aevb.report.write_report", write)
    assert (
        aevb("report", digits, "--samples", 7, "--seed", 2).out
        == f"Report   {digits}/report.html\n"
    )
    assert seen == {"run": digits, "rows": 180, "samples": 7, "seed": 2}
    np.save(tmp_path / "other.npy", np.ones((4, 8, 8), np.uint8))
    assert aevb("report", digits, "other.npy", "--quiet").out == f"{digits}/report.html\n"
    assert seen["rows"] == 4


def test_fit_succeeds_when_the_report_cannot_be_written(aevb, table, monkeypatch):
    from aevb.errors import missing_extra

    def write(*_, **__):
        raise missing_extra("plot", "drawing pictures")

    monkeypatch.setattr("aevb.report.write_report", write)
    done = aevb("fit", table, "--epochs", 1, "--hidden", 4, "--out", "run")
    assert (
        done.code == 0
        and "no report was written: drawing pictures needs an optional dependency" in done.err
    )
    assert aevb("report", "run").code == 2


def test_data_list_shows_available_data_sets(aevb, refused, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("AEVB_DATA", raising=False)
    assert "digits" in aevb("data", "list").out
    record = {
        line["name"]: line["path"]
        for line in parse_strict(aevb("data", "list", "--json").out)["data_sets"]
    }
    assert record["digits"] and record["mnist"] is None
    assert "digits is in" in aevb("data", "get", "digits").out
    assert "Did you mean mnist?" in refused("data", "get", "minst")


def test_data_get_without_network_is_refused(refused, monkeypatch, tmp_path):
    import urllib.request

    def fail(*_, **__):
        raise OSError("Name or service not known")

    monkeypatch.setattr(urllib.request, "urlopen", fail)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("AEVB_DATA", raising=False)
    sentence = refused("data", "get", "fashion-mnist")
    assert (
        "fashion_mnist/train-images-idx3-ubyte.gz" in sentence
        and str(tmp_path) in sentence
        and "AEVB_DATA" in sentence
    )


def test_info(aevb, monkeypatch):
    record = parse_strict(aevb("info", "--json").out)
    assert (
        record["versions"]["torch"]
        and "cpu" in record["devices"]
        and record["extras"]["images"]["installed"]
    )
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert (
        '[plot]      pictures and the report: missing: pip install "aevb[plot]"' in aevb("info").out
    )


def test_presets(aevb, refused):
    record = {line["name"]: line for line in parse_strict(aevb("presets", "--json").out)["presets"]}
    assert (
        record["piwae"]["bound_kind"] == "lower bound"
        and record["autoencoder"]["bound_kind"] == "reconstruction"
    )
    assert set(record["vimco"]) == {
        "name",
        "paper",
        "components",
        "bound_kind",
        "use_when",
        "cost",
        "avoid_when",
        "options",
    }
    done = aevb("presets")
    assert done.code == 0 and all(name in done.out for name in record)
    assert (
        "samples=5" in aevb("presets", "vimco").out
        and parse_strict(aevb("presets", "vimco", "--json").out)["name"] == "vimco"
    )
    assert "Write --preset piwae" in refused("presets", "piwea")


def test_demo_prints_every_step(aevb, monkeypatch):
    monkeypatch.setattr("aevb.cli._demo.DEMO_TRAINING", replace(DEMO_TRAINING, epochs=1))
    monkeypatch.setattr("aevb.report.write_report", lambda run, data, **_: run.path / "report.html")
    done = aevb("demo")
    assert done.code == 0
    last = done.out.splitlines()[-2:]
    assert (
        last[0].startswith("Held-out log-likelihood: -")
        and "± " in last[0]
        and last[0].endswith("over 180 images.")
    )
    assert last[1] == "Report: runs/demo-1/report.html"
