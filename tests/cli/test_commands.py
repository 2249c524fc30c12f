"""What the other commands print and write."""

import json
import math
import shutil
from dataclasses import replace

import numpy as np
import polars
import pytest

from aevb.cli._demo import DEMO_TRAINING

Image = pytest.importorskip("PIL.Image")


def strictly(text):
    """JSON without NaN."""
    return json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} in JSON"))


def size_of(path):
    with Image.open(path) as image:
        return image.size


def test_evaluate_prints_one_object(aevb, digits):
    found = strictly(aevb("evaluate", digits, "--samples", 5, "--json").out)
    assert found["n"] == 180 and found["active_units"] in (0, 1, 2)
    assert (
        found["log_likelihood"]["samples"] == 5
        and 1 <= found["log_likelihood"]["effective_sample_size"] <= 5
    )
    assert found["elbo"]["mean"] == pytest.approx(
        -found["rate"]["mean"] - found["distortion"]["mean"]
    )
    assert found["elbo"]["mean"] < found["log_likelihood"]["mean"]  # of the same draws: never above
    assert found["bits_per_dimension"]["mean"] == pytest.approx(
        -found["log_likelihood"]["mean"] / (64 * math.log(2))
    )


def test_a_named_set_stands_for_its_test_rows_as_they_were_split(aevb, table, digits):
    alone, named = (
        strictly(aevb("evaluate", digits, *source, "--samples", 2, "--json").out)
        for source in ([], ["digits"])
    )
    assert alone["elbo"] == named["elbo"]


def test_evaluate_prints_a_table(aevb, digits):
    done = aevb("evaluate", digits, "--samples", 2)
    assert [line.split("  ")[0] for line in done.out.splitlines()[-8:]] == [
        "log-likelihood", "effective samples", "bits per dimension", "upper bound", "ELBO", "rate", "distortion", "active units",
    ]  # fmt: skip
    assert done.err == ""


def test_evaluate_brackets_the_likelihood(aevb, digits):
    """Three numbers with three names: on real data no upper bound, and both bounds on data that the model made up."""
    annealed = (
        "evaluate",
        digits,
        "--method",
        "ais",
        "--samples",
        2,
        "--temperatures",
        3,
        "--rows",
        5,
        "--bracket",
        3,
    )
    found = strictly(aevb(*annealed, "--json").out)
    assert (
        found["n"] == 5
        and found["log_likelihood"]["method"] == "ais"
        and found["upper_bound"] is None
    )
    assert found["lower_bound"]["mean"] < found["log_likelihood"]["mean"]
    assert found["bracket"]["n"] == 3 and found["bracket"]["gap"]["mean"] > 0
    lines = aevb(*annealed).out.splitlines()
    assert any(line.startswith("upper bound") and "not available" in line for line in lines)
    assert [line.split("  ")[0] for line in lines[-3:]] == [
        "bracket: lower",
        "bracket: upper",
        "bracket: width",
    ]
    assert max(map(len, lines[lines.index("") :])) <= 80


def test_evaluate_says_how_far_importance_samples_can_be_trusted(aevb, digits):
    found = strictly(aevb("evaluate", digits, "--samples", 30, "--rows", 20, "--json").out)[
        "log_likelihood"
    ]
    assert 0 <= found["pareto_k"]["reliable"] <= 1 and found["impossible_rows"] == []
    assert [point["samples"] for point in found["curve"]] == [1, 2, 4, 8, 16, 30]
    lines = aevb(
        "evaluate", digits, "--samples", 30, "--rows", 20, "--defensive", 0.1
    ).out.splitlines()
    assert (
        any(line.startswith("Pareto k") for line in lines)
        and max(map(len, lines[lines.index("") :])) <= 80
    )


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
    found = strictly(aevb("evaluate", "run", "--json").out)
    assert found["log_likelihood"] is None and found["elbo"] is None and found["rate"] is None
    assert found["reconstruction_log_likelihood"]["mean"] == -found["distortion"]["mean"]
    assert "an autoencoder has no likelihood" in aevb("evaluate", "run").out
    assert any(
        line.split()[:3] == ["A", "-", "-"] for line in aevb("compare", "run").out.splitlines()
    )


def test_a_single_row_has_no_error_bar(aevb, digits, tmp_path):
    np.save(tmp_path / "one.npy", np.ones((1, 8, 8), np.uint8))
    assert (
        strictly(aevb("evaluate", digits, "one.npy", "--samples", 2, "--json").out)["elbo"][
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


def test_the_shortest_walk_ends_where_the_straight_one_does(aevb, table):
    """Of a table each column counts in units of its deviation."""
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
def test_codes_go_out_and_come_back(aevb, digits, ending):
    assert aevb("encode", digits, "digits", "--out", f"codes.{ending}").code == 0
    assert aevb("decode", digits, f"codes.{ending}", "--out", "decoded.npy").code == 0
    assert aevb("reconstruct", digits, "digits", "--out", "both.npz").code == 0
    both = np.load("both.npz")
    assert both["original"].shape == (180, 8, 8)
    np.testing.assert_allclose(np.load("decoded.npy"), both["x"], atol=1e-4)


def test_codes_carry_the_labels(aevb, digits):
    aevb("encode", digits, "digits", "--out", "codes.csv")
    frame = polars.read_csv("codes.csv")
    assert frame.columns == ["z0", "z1", "label"] and set(frame["label"]) == set(range(10))


def test_a_draw_from_the_posterior_is_not_its_mean(aevb, digits):
    aevb("encode", digits, "digits", "--out", "mean.npy")
    aevb("encode", digits, "digits", "--draw", "--out", "draw.npy")
    assert np.abs(np.load("mean.npy") - np.load("draw.npy")).max() > 0.1


def test_a_table_comes_out_with_its_columns(aevb, table):
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

    def write(run, data, *, samples, seed, rows, diagnosis, advance):
        seen.update(run=run, rows=rows, samples=samples, seed=seed)
        return run / "report.html"

    monkeypatch.setattr("aevb.report.write", write)
    assert (
        aevb("report", digits, "--samples", 7, "--seed", 2).out
        == f"Report   {digits}/report.html\n"
    )
    assert seen == {"run": digits, "rows": 180, "samples": 7, "seed": 2}
    np.save(tmp_path / "other.npy", np.ones((4, 8, 8), np.uint8))
    assert aevb("report", digits, "other.npy", "--quiet").out == f"{digits}/report.html\n"
    assert seen["rows"] == 4


def test_fit_goes_on_where_the_report_cannot_be_written(aevb, table, monkeypatch):
    from aevb.errors import missing_extra

    def write(*_, **__):
        raise missing_extra("plot", "drawing pictures")

    monkeypatch.setattr("aevb.report.write", write)
    done = aevb("fit", table, "--epochs", 1, "--hidden", 4, "--out", "run")
    assert (
        done.code == 0
        and 'no report was written: drawing pictures needs an optional dependency: pip install "aevb[plot]"'
        in done.err
    )
    assert aevb("report", "run").code == 2


def test_the_sets(aevb, refused, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("AEVB_DATA", raising=False)
    assert "digits" in aevb("data", "list").out
    found = {line["name"]: line["found"] for line in strictly(aevb("data", "list", "--json").out)}
    assert found["digits"] and found["mnist"] is None
    assert "digits is in" in aevb("data", "get", "digits").out
    assert 'Did you mean "mnist"?' in refused("data", "get", "minst")


def test_no_network(refused, monkeypatch, tmp_path):
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
    found = strictly(aevb("info", "--json").out)
    assert (
        found["versions"]["torch"]
        and "cpu" in found["devices"]
        and found["extras"]["images"]["installed"]
    )
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert (
        '[plot]      pictures and the report: missing: pip install "aevb[plot]"' in aevb("info").out
    )


def test_presets(aevb, refused):
    found = {line["name"]: line for line in strictly(aevb("presets", "--json").out)}
    assert (
        found["piwae"]["kind"] == "lower bound" and found["autoencoder"]["kind"] == "reconstruction"
    )
    assert set(found["vimco"]) == {"name", "paper", "arguments", "kind", "when", "options"}
    done = aevb("presets")
    assert done.code == 0 and all(name in done.out for name in found)
    assert (
        "samples=5" in aevb("presets", "vimco").out
        and strictly(aevb("presets", "vimco", "--json").out)["name"] == "vimco"
    )
    assert "did you mean `piwae`?" in refused("presets", "piwea")


def test_help_names_every_objective_and_gradient(aevb):
    from aevb.cli._recipe import classes_by_name

    text = " ".join(aevb("fit", "--help").out.split())
    assert all(name in text for name in classes_by_name("objectives"))
    assert all(
        name in text
        for name in (
            "pathwise",
            "doubly-reparameterised",
            "score-function",
            "leave-one-out",
            "relaxed",
        )
    )


def test_demo_tells_the_story(aevb, monkeypatch):
    monkeypatch.setattr("aevb.cli._demo.TRAINING", replace(DEMO_TRAINING, epochs=1))
    monkeypatch.setattr("aevb.report.write", lambda run, data, **_: run / "report.html")
    done = aevb("demo")
    assert done.code == 0
    last = done.out.splitlines()[-2:]
    assert (
        last[0].startswith("Held-out log-likelihood: -")
        and "± " in last[0]
        and last[0].endswith("over 180 images.")
    )
    assert last[1] == "Report: runs/demo-1/report.html"
