"""Functions of a model take data of any kind, and check them as the command does."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch

import aevb
from aevb import VAE, data, inference, likelihoods, metrics, networks, posteriors, presets, priors
from aevb.errors import ArgumentError, DataError, IncompatibleError
from aevb.inference import _inputs

N, COLUMNS = 6, ["a", "b", "c"]


def table_model() -> VAE:
    torch.manual_seed(0)
    return VAE(
        priors.Normal(2),
        posteriors.Normal(networks.MLP(3, [4]), 2),
        likelihoods.Normal(networks.MLP(2, [4]), (3,)),
    ).eval()


def image_model() -> VAE:
    return VAE(
        priors.Normal(2),
        posteriors.Normal(networks.MLP(4, [4]), 2),
        likelihoods.DiscretisedLogistic(networks.MLP(2, [4]), (2, 2), 256),
    ).eval()


def fill_model() -> VAE:
    torch.manual_seed(0)
    return VAE(
        priors.Normal(2),
        posteriors.Normal(networks.FillMissing(networks.MLP(6, [4])), 2),
        likelihoods.Missing(likelihoods.Normal(networks.MLP(2, [4]), (3,))),
    ).eval()


X = np.random.default_rng(0).normal(size=(N, 3))


@pytest.fixture(scope="module")
def run() -> aevb.Run:
    digits = data.load("digits")
    recipe = presets.vae(digits.spec, latent=2, hidden=[8])
    return aevb.Run.from_fit(aevb.fit(recipe, digits, epochs=1, progress=False), digits)


# functions that take rows -> the values that they return
FUNCTIONS = {
    "encode": inference.encode,
    "draw": lambda model, x: inference.encode(model, x, sample=True, seed=0),
    "reconstruct": inference.reconstruct,
    "augment": lambda model, x: inference.augment(model, x, seed=0).x,
    "refine": lambda model, x: inference.refine(model, x, 1).elbo_after,
    "log_likelihood": lambda model, x: metrics.log_likelihood(model, x, 2).per_datum,
    "rate_distortion": lambda model, x: metrics.rate_distortion(model, x, 2).per_datum,
    "evaluate": lambda model, x: metrics.evaluate(model, x, samples=2).rate_distortion.per_datum,
    "interpolate": lambda model, x: inference.interpolate(model, x[0], x[1], 2).z,
}
OF_ROWS = [name for name in FUNCTIONS if name != "interpolate"]


def kinds(values, folder):
    np.save(folder / "x.npy", values)
    return {
        "tensor": torch.tensor(values),
        "float32": values.astype(np.float32),
        "list": values.tolist(),
        "pandas": pd.DataFrame(values, columns=COLUMNS),
        "polars": pl.DataFrame(values, schema=COLUMNS),
        "rows": data.Rows.from_array(values),
        "dataset": data.Dataset(*[data.Rows.from_array(values)] * 3, data.load(X).spec),
        "path": folder / "x.npy",
        "text": str(folder / "x.npy"),
    }


@pytest.mark.parametrize("name", OF_ROWS)
def test_every_kind_of_data_gives_the_numbers_of_the_array(name, tmp_path):
    model, score = table_model(), FUNCTIONS[name]
    expected = score(model, X)
    for kind, x in kinds(X, tmp_path).items():
        assert torch.equal(score(model, x), expected), kind


def test_imputation_takes_every_kind_of_data(tmp_path):
    model, values = fill_model(), X.copy()
    values[0, 1] = np.nan
    expected = inference.impute(model, values, 5).x
    assert expected.dtype == torch.float64
    for kind, x in kinds(values, tmp_path).items():
        if kind not in ("dataset", "path", "text"):
            assert torch.allclose(inference.impute(model, x, 5).x.double(), expected, atol=1e-6)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_data_that_the_model_cannot_take_are_refused(name):
    """Bytes divided by 255, NaN and infinity; the error names the row and the value."""
    model, score = image_model(), FUNCTIONS[name]
    bytes_ = np.random.default_rng(0).integers(0, 256, (N, 2, 2)).astype(np.float32)
    score(model, bytes_)
    for wrong in (bytes_ / 255, np.where(bytes_ > 200, np.nan, bytes_), bytes_ + np.inf):
        with pytest.raises(DataError) as caught:
            score(model, wrong)
        assert caught.value.argument == "x"
    for method in (model.encode, model.reconstruct):
        with pytest.raises(DataError):
            method(torch.tensor(bytes_ / 255))


@pytest.mark.parametrize("name", OF_ROWS)
def test_what_is_no_data_is_refused(name):
    model, score = table_model(), FUNCTIONS[name]
    text = pd.DataFrame({"a": ["x", "y"], "b": [1.0, 2.0], "c": [3.0, 4.0]})
    for wrong in (text, 5, object(), np.zeros((0, 3)), np.zeros((4, 2)), "no/such/file.npy"):
        with pytest.raises(DataError):
            score(model, wrong)
    for wrong in ("model", aevb.Recipe, None):
        with pytest.raises(ArgumentError) as caught:
            score(wrong, X)
        assert caught.value.argument == "model"


def test_a_model_has_no_rows_of_its_own():
    for function in (inference.encode, metrics.log_likelihood, aevb.evaluate):
        with pytest.raises(ArgumentError) as caught:
            function(table_model())
        assert caught.value.argument in ("x", "data")


def test_latents_are_checked():
    model = table_model()
    z = np.zeros((2, 2))
    expected = inference.decode(model, z)
    for kind in (z.tolist(), torch.tensor(z), pd.DataFrame(z, columns=["z0", "z1"])):
        assert torch.equal(inference.decode(model, kind), expected)
    for wrong in (z * np.nan, z[:, :1], z[:0], object()):
        with pytest.raises(DataError) as caught:
            inference.decode(model, wrong)
    assert caught.value.argument == "z"
    with pytest.raises(DataError):
        model.decode(torch.full((1, 2), torch.nan))
    for n in (0, 1.5):
        with pytest.raises(ArgumentError):
            inference.sample(model, n)


def test_functions_of_a_run_are_its_methods(run):
    x = run.data().test.tensor()[:5]
    pairs = [
        (inference.encode(run), run.encode()),
        (inference.encode(run, x), run.encode(x)),
        (inference.encode(run, x, sample=True, seed=0), run.encode(x, draw=True)),
        (inference.reconstruct(run, x), run.reconstruct(x)),
        (inference.decode(run, torch.zeros(3, 2)), run.decode(torch.zeros(3, 2))),
        (metrics.log_likelihood(run, x, 5).per_datum, run.log_likelihood(x, samples=5).per_datum),
    ]
    for value, other in pairs:
        assert torch.equal(value, other)
    for source in (None, x):
        evaluation, other = aevb.evaluate(run, source, samples=3), run.evaluate(source, samples=3)
        assert str(evaluation.to_dict()) == str(other.to_dict())
        assert evaluation.notes == other.notes
    with pytest.raises(DataError):
        aevb.evaluate(run, x / 16)


def test_a_run_reads_columns_by_name(tmp_path):
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 3)), columns=COLUMNS)
    table = data.load(frame)
    recipe = presets.vae(table.spec, latent=2, hidden=[4])
    run = aevb.Run.from_fit(aevb.fit(recipe, table, epochs=1, progress=False), table)
    expected = inference.encode(run, frame)
    assert torch.equal(inference.encode(run, frame[["c", "a", "b"]]), expected)
    assert torch.equal(inference.encode(run, frame.assign(name="text")), expected)
    assert torch.equal(inference.encode(run.model, frame), expected)


# later blocks of rows


@pytest.mark.parametrize("row", [0, 1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("block", [1, 2, 3, 4096])
def test_a_wrong_row_of_every_block_is_named(row, block, monkeypatch):
    monkeypatch.setattr(_inputs, "INPUT_CHECK_BLOCK_SIZE", block)
    x = np.zeros((7, 3))
    x[row, 1] = np.nan
    with pytest.raises(DataError, match=f"row {row} "):
        inference.encode(table_model(), x)
    levels = np.zeros((7, 2, 2))
    levels[row, 1, 0] = 0.5
    with pytest.raises(DataError, match=f"row {row} "):
        inference.encode(image_model(), levels)


@pytest.mark.parametrize("block, sizes", [(1, [1] * 7), (3, [3, 3, 1]), (7, [7]), (8, [7])])
def test_rows_are_checked_in_blocks(block, sizes, monkeypatch):
    seen = []
    monkeypatch.setattr(_inputs, "INPUT_CHECK_BLOCK_SIZE", block)
    monkeypatch.setattr(
        _inputs, "check_batch", lambda m, batch, name, start: seen.append((len(batch.x), start))
    )
    _inputs.check_data(table_model(), data.Rows.from_array(np.zeros((7, 3))), "x")
    assert seen == [(size, sum(sizes[:n])) for n, size in enumerate(sizes)]


def test_a_block_of_large_rows_fits_into_the_cache(monkeypatch):
    """Of 2^20 numbers at once: 3 rows of 300,000 elements."""
    seen, event = [], (300_000,)
    monkeypatch.setattr(
        _inputs, "check_batch", lambda m, batch, name, start: seen.append(len(batch.x))
    )
    model = SimpleNamespace(event_shape=event)
    _inputs.check_data(model, data.Rows.from_array(np.zeros((4, *event), np.float32)), "x")
    assert seen == [3, 1]


def test_the_check_draws_no_random_numbers_and_keeps_the_mode():
    model = table_model().train()
    before = torch.get_rng_state()
    _inputs.as_model_rows(model, X)
    assert model.training and torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("known", [1.0, 0.5])
@pytest.mark.parametrize("has_context", [False, True])
@pytest.mark.parametrize("needs_context", [False, True])
def test_a_missing_context_is_refused_where_it_is_needed(known, has_context, needs_context):
    condition = networks.Condition([networks.Labels("kind", ["a", "b", "c"], known)])
    conditional = SimpleNamespace(condition=condition)
    rows = data.Rows.from_array(X)
    labelled = rows.with_label(condition, "b")
    given = labelled if has_context else rows
    if needs_context and not has_context and known == 1:
        with pytest.raises(IncompatibleError):
            _inputs._with_model_context(conditional, given, needs_context)
    else:
        found = _inputs._with_model_context(conditional, given, needs_context)
        assert (found.context is not None) == has_context
    plain = SimpleNamespace(condition=None)
    assert _inputs._with_model_context(plain, labelled, needs_context).context is None
