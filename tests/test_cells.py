"""Single cells in objects with the attributes of AnnData."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse

from aevb import cells
from aevb.errors import ArgumentError, DataError, IncompatibleError
from aevb.runs import Run
from aevb.training import adam

pd = pytest.importorskip("pandas")

GENES, CELLS, MARKERS = 40, 600, 8
SETTINGS = {
    "n_latent": 3,
    "hidden": 24,
    "epochs": 100,
    "batch_size": 64,
    "dropout": 0.0,
    "optimizer": adam(1e-2),
    "progress": False,
}


@dataclass
class AnnotatedData:
    """The attributes of ``AnnData`` that are used."""

    X: Any
    obs: Any
    var_names: Any
    layers: dict = field(default_factory=dict)
    obsm: dict = field(default_factory=dict)
    var: Any = None


def simulate(seed=0, change=2.0, counts=np.uint16):
    """Two types of cells in two batches; the first ``MARKERS`` genes differ between types.

    Rates are those of a log-normal profile; half of the markers are higher and half lower by a
    factor of ``2**change`` in type B. Batch b has twice the library and another profile.
    """
    rng = np.random.default_rng(seed)
    kind, batch = rng.integers(0, 2, CELLS), rng.integers(0, 2, CELLS)
    profile = rng.lognormal(0.0, 0.7, GENES)
    logs = np.log(profile) + 0.3 * batch[:, None] * rng.normal(size=GENES)
    signs = np.where(np.arange(MARKERS) % 2, -1.0, 1.0)
    logs[:, :MARKERS] += kind[:, None] * signs * change * np.log(2)
    rates = np.exp(logs)
    library = rng.gamma(20.0, 25.0, CELLS) * (1 + batch)
    rates = rates / rates.sum(1, keepdims=True) * library[:, None]
    x = rng.negative_binomial(10, 10 / (10 + rates)).astype(counts)
    obs = pd.DataFrame(
        {"kind": np.array(["A", "B"])[kind], "batch": np.array(["a", "b"])[batch]},
        index=[f"cell {number}" for number in range(CELLS)],
    )
    return AnnotatedData(scipy.sparse.csr_matrix(x), obs, [f"g{i}" for i in range(GENES)])


@pytest.fixture(scope="module")
def adata():
    return simulate()


@pytest.fixture(scope="module")
def run(adata):
    return cells.fit(adata, batch_key="batch", **SETTINGS)


def test_the_latent_is_written_and_does_not_depend_on_the_order_of_genes(adata, run):
    latent = cells.embed(run, adata)
    assert latent.shape == (CELLS, 3) and adata.obsm["X_vae"] is latent
    order = np.random.default_rng(1).permutation(GENES)
    other = AnnotatedData(adata.X[:, order], adata.obs, [f"g{place}" for place in order])
    # float32 of the same products in the same order
    assert np.allclose(cells.embed(run, other, key="again"), latent, atol=1e-5)


def test_markers_are_found_and_few_others(adata, run):
    table = cells.differential_expression(run, adata, "kind", "B", "A", delta=0.5, pairs=2000)
    assert isinstance(table, pd.DataFrame) and len(table) == GENES
    found = set(table["gene"][table["found"]])
    markers = {f"g{place}" for place in range(MARKERS)}
    assert found >= markers
    assert len(found - markers) <= 0.05 * len(found) + 1  # the stated rate, and one of chance
    change = table.set_index("gene")["log2_fold_change"]
    signs = [1 if place % 2 == 0 else -1 for place in range(MARKERS)]
    assert [np.sign(change[f"g{place}"]) for place in range(MARKERS)] == signs
    assert abs(np.mean([abs(change[gene]) for gene in markers]) - 2.0) < 0.5
    counts = adata.X.toarray()
    first = counts[(adata.obs["kind"] == "B").to_numpy()]
    means = table.set_index("gene")
    assert means.loc["g3", "mean_1"] == pytest.approx(first[:, 3].mean())
    assert means.loc["g3", "detected_1"] == pytest.approx((first[:, 3] > 0).mean())


def test_halves_of_one_group_do_not_differ(adata, run):
    halves = AnnotatedData(adata.X, adata.obs.assign(half=np.arange(CELLS) % 2), adata.var_names)
    table = cells.differential_expression(run, halves, "half", 0, delta=0.5, pairs=1000)
    assert table["found"].sum() == 0


def test_batches_are_no_difference(adata, run):
    corrected = cells.differential_expression(run, adata, "batch", "b", pairs=1000, delta=0.5)
    plain = cells.differential_expression(
        run, adata, "batch", "b", pairs=1000, delta=0.5, correct_batches=False
    )
    assert corrected["found"].sum() < plain["found"].sum()
    assert corrected["log2_fold_change"].abs().mean() < plain["log2_fold_change"].abs().mean()


def test_types_of_unlabelled_cells_are_predicted(adata):
    rng = np.random.default_rng(0)
    hidden = rng.random(CELLS) > 0.15
    obs = adata.obs.assign(given=np.where(hidden, "Unknown", adata.obs["kind"]))
    given = AnnotatedData(adata.X, obs, adata.var_names)
    run = cells.fit(given, labels_key="given", **SETTINGS)
    probabilities = cells.predict_labels(run, given)
    assert probabilities.shape == (CELLS, 2)
    right = (given.obs["predicted"] == adata.obs["kind"])[hidden].mean()
    assert right > 0.9  # the types differ by a factor of 4 in 8 genes; chance is 0.5
    assert given.obs["predicted_probability"].between(0.5, 1).all()


def test_a_run_is_saved_and_read(adata, run, tmp_path):
    run.save(tmp_path / "run")
    again = Run.open(tmp_path / "run")
    assert np.array_equal(cells.embed(again, adata), cells.embed(run, adata))


def test_what_cannot_be_used_is_refused(adata, run):
    logs = AnnotatedData(np.log1p(adata.X.toarray()), adata.obs, adata.var_names)
    for settings, error, argument in (
        ({"adata": logs}, DataError, None),
        ({"adata": adata.X}, DataError, "adata"),
        ({"adata": adata, "batch_key": "day"}, DataError, "batch_key"),
        ({"adata": adata, "likelihood": "normal"}, ArgumentError, "likelihood"),
    ):
        with pytest.raises(error) as caught:
            cells.fit(**settings, **SETTINGS)
        assert argument in (None, caught.value.argument)
    with pytest.raises(DataError):
        cells.differential_expression(run, adata, "sort", "A")
    with pytest.raises(ArgumentError) as caught:
        cells.differential_expression(run, adata, "kind", "C")
    assert caught.value.argument == "group"
    with pytest.raises(IncompatibleError):
        cells.predict_labels(run, adata)


def test_expression_follows_the_batch_and_the_library(adata, run):
    totals = np.asarray(adata.X.sum(1)).ravel()
    denoised = cells.normalised_expression(run, adata, library_size="observed", n_samples=2)
    np.testing.assert_allclose(denoised.sum(axis=1), totals, rtol=1e-4)  # float32 sums
    assert (denoised.index == adata.obs.index).all()
    chosen = [str(name) for name in adata.var_names][3:1:-1]
    as_a, as_b, mean, own = (
        cells.normalised_expression(run, adata, chosen, transform_batch=batch, n_samples=2)
        for batch in ("a", "b", ["a", "b"], None)
    )
    assert list(own.columns) == chosen
    np.testing.assert_allclose(mean, (as_a + as_b) / 2, rtol=1e-5)
    of_a = (adata.obs["batch"] == "a").to_numpy()
    np.testing.assert_allclose(own[of_a], as_a[of_a], rtol=1e-4)
    assert np.abs(as_a / as_b - 1).to_numpy().max() > 0.01
    for wrong in ({"genes": ["x"]}, {"transform_batch": "c"}):
        with pytest.raises(ArgumentError) as found:
            cells.normalised_expression(run, adata, **wrong)
        assert found.value.argument == next(iter(wrong))


def test_normalised_counts_are_refused():
    adata = simulate()
    sparse = scipy.sparse.csr_matrix(adata.X)
    adata.layers = {"log": sparse.log1p(), "negative": -sparse.astype(np.float32)}
    for layer in ("log", "negative", "absent"):
        with pytest.raises(DataError) as found:
            cells.fit(adata, layer=layer, epochs=1, progress=False)
        assert (found.value.argument, found.value.value) == ("layer", layer)


def test_the_example_of_the_page_runs_with_anndata(monkeypatch):
    anndata = pytest.importorskip("anndata")
    own, page = simulate(), Path(__file__).parents[1] / "docs/counts.md"
    code = page.read_text(encoding="utf-8").split("`aevb.cells`\n")[1].split("```")[1]
    names = ["CD3D", "MS4A1", *map(str, own.var_names[2:])]
    counts = scipy.sparse.csr_matrix(own.X, dtype=np.float32)
    adata = anndata.AnnData(counts, own.obs, pd.DataFrame(index=names), layers={"counts": counts})
    types = np.where(own.obs["kind"] == "A", "B cell", "T cell").astype(object)
    types[::3] = "Unknown"
    adata.obs["cell_type"] = types
    fit = cells.fit
    monkeypatch.setattr(cells, "fit", lambda *a, **k: fit(*a, **k, epochs=1, progress=False))
    exec(code.removeprefix("python"), found := {"adata": adata})
    assert list(found["markers"].columns) == names[:2]
    assert adata.obsm["X_vae"].shape[1] == 10
    assert set(adata.obs["predicted"]) <= {"B cell", "T cell"}
