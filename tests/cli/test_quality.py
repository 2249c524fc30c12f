"""``aevb quality``: text output, JSON output and refusals."""

import json

import numpy as np
import pytest


def parse_strict(text):
    """Parse JSON that must not contain NaN."""
    return json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} in JSON"))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A run on a table of 200 rows."""
    from aevb.cli import main

    folder = tmp_path_factory.mktemp("tiny")
    values = np.random.default_rng(0).normal(size=(200, 3)) @ np.array(
        [[2, 1, 0], [0, 1, 1], [0, 0, 300.0]]
    )
    lines = [f"{a},{b},{c},{'red' if a > 0 else 'blue'}" for a, b, c in values]
    (folder / "flowers.csv").write_text("\n".join(["width,height,depth,colour", *lines]) + "\n")
    options = [
        "--latent",
        "2",
        "--hidden",
        "8",
        "--epochs",
        "2",
        "--no-report",
        "--quiet",
        "--labels",
        "colour",
        "--split",
        "0.6,0.1,0.3",
    ]
    assert main(["fit", str(folder / "flowers.csv"), "--out", str(folder / "run"), *options]) == 0
    return folder / "run"


def test_a_table_of_numbers_in_eighty_columns(aevb, digits):
    done = aevb("quality", digits)
    assert done.code == 0 and done.err == ""
    names = (
        "Frechet distance",
        "without that bias",
        "kernel distance",
        "precision",
        "coverage",
        "PSNR",
        "SSIM",
        "5 neighbours",
        "sampled z",
    )
    assert all(name in done.out for name in names)
    table = [
        line
        for line in done.out.splitlines()
        if not line.startswith(("Run", "Samples", "Codes", " " * 9))
    ]
    assert max(map(len, table)) <= 80
    assert (
        "pixels over 16 (sha256 " in done.out and "180 draws against 180 held-out rows" in done.out
    )


def test_json_output_is_a_single_object(aevb, digits):
    record = parse_strict(aevb("quality", digits, "--json").out)
    frechet = record["generated"]["frechet_distance"]
    assert frechet["distance"]["low"] <= frechet["distance"]["value"] <= frechet["distance"]["high"]
    assert "jackknife" in frechet["distance"]["method"] and len(frechet["features"]["sha256"]) == 12
    assert (
        record["training_baseline"]["frechet_distance"]["distance"]["value"]
        < frechet["distance"]["value"]
    )
    assert record["class_separation"]["n_classes"] == 10 and record["disentanglement"] is None
    assert record["generated"]["classifier_test"] is None  # of tables only


def test_the_seed_decides(aevb, digits):
    first, second, third = (
        aevb("quality", digits, "--json", "--seed", seed).out for seed in (1, 1, 2)
    )
    assert first == second != third


def test_features_of_another_kind(aevb, digits, refused):
    assert "of the encoder (sha256 " in aevb("quality", digits, "--features", "encoder").out
    assert "64 principal components" in aevb("quality", digits, "--features", "pca", "--mean").out
    assert '"pixels", "standardised", "pca"' in refused(
        "quality", digits, "--features", "inception"
    )
    assert "cannot be read" in refused("quality", digits, "--features", "net.pt2")


def test_a_table_is_compared_in_its_own_units_and_by_a_classifier(aevb, tiny):
    done = aevb("quality", tiny)
    assert (
        "standardised values" in done.out
        and "classifier test" in done.out
        and "SSIM" not in done.out
    )


def test_custom_factors_are_scored(aevb, tiny, refused, tmp_path):
    factors = np.stack([np.arange(60) % 2, np.arange(60) % 3], 1)
    np.save("factors.npy", factors)
    done = aevb("quality", tiny, "--factors", "factors.npy")
    assert all(
        name in done.out
        for name in ("MIG", "SAP", "modularity", "FactorVAE score", "DCI complete", "robustness")
    )
    np.save("short.npy", factors[:9])
    assert "a line for each of 60 rows" in refused("quality", tiny, "--factors", "short.npy")
    assert "cannot be read" in refused("quality", tiny, "--factors", "none.npy")


def test_an_autoencoder_has_no_samples(aevb, table):
    aevb(
        "fit",
        table,
        "--preset",
        "autoencoder",
        "--epochs",
        1,
        "--hidden",
        4,
        "--latent",
        2,
        "--out",
        "run",
        "--no-report",
    )
    done = aevb("quality", "run")
    assert (
        done.code == 0
        and "Frechet" not in done.out
        and "squared error" in done.out
        and "no samples were compared" in done.err
    )
    assert parse_strict(aevb("quality", "run", "--json").out)["generated"] is None


def test_a_mixed_table_is_compared_by_column_and_pair(aevb, tmp_path):
    rng = np.random.default_rng(0)
    sex = rng.integers(0, 2, 200)
    rows = [
        f"{'male' if s else 'female'},{rng.poisson(3)},{x:.3f}"
        for s, x in zip(sex, rng.normal(size=200) + sex, strict=True)
    ]
    name = "a_very_long_name_of_a_column"
    (tmp_path / "people.csv").write_text("\n".join([f"sex,visits,{name}", *rows]) + "\n")
    options = ["--hidden", "8", "--epochs", "2", "--no-report", "--quiet"]
    assert aevb("fit", tmp_path / "people.csv", "--out", tmp_path / "run", *options).code == 0
    done = aevb("quality", tmp_path / "run")
    labels = {line.split()[0] for line in done.out.splitlines() if line and line[0].isupper()}
    assert {"Samples", "Columns", "Pairs", "Privacy", "Hidden", "Latents"} <= labels
    table = [line for line in done.out.splitlines() if not line.startswith(("Run", "Samples"))]
    assert max(map(len, table)) <= 80
    record = parse_strict(aevb("quality", tmp_path / "run", "--json").out)
    marginals = record["generated"]["marginals"]["columns"]
    assert [each["name"] for each in marginals] == ["sex", "visits", name]
    assert len(record["training_baseline"]["associations"]["real"]) == 3
    assert record["closest_records"]["n_synthetic"] == 5000
    assert record["generated"]["linear_classifier_test"]["classifier"] == "logistic_regression"
    assert len(record["hidden_cells"]["columns"]) == 3
