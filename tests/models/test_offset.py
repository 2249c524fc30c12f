"""Data far from 0: the same model and the same numbers as for data near 0, moved back on output."""

import copy

import numpy as np
import pandas as pd
import polars
import pytest
import torch

import aevb
from aevb import data, inference, metrics
from aevb.runs import Run

FAR = 1.7e9
# float32 keeps 6e-8 of the distance to the middle of the column, at most 80 here
CLOSE = 1e-5


def near_table(n=400):
    rng = np.random.default_rng(0)
    u = rng.normal(size=n)
    return np.stack([20 * u, 20 * (0.8 * u + 0.6 * rng.normal(size=n))], 1)


def as_csv(x, folder):
    pd.DataFrame(x, columns=["a", "b"]).to_csv(folder / "x.csv", index=False)
    return folder / "x.csv"


def as_parquet(x, folder):
    polars.DataFrame(x, schema=["a", "b"]).write_parquet(folder / "x.parquet")
    return folder / "x.parquet"


def as_npy(x, folder):
    np.save(folder / "x.npy", x)
    return folder / "x.npy"


def as_mapped_array(x, folder):
    return np.load(as_npy(x, folder), mmap_mode="r")


SOURCES = {
    "array": lambda x, folder: x,
    "tensor": lambda x, folder: torch.tensor(x),
    "frame": lambda x, folder: pd.DataFrame(x, columns=["a", "b"]),
    "csv": as_csv,
    "parquet": as_parquet,
    "npy": as_npy,
    "rows": lambda x, folder: data.load(x, order="time").train,
}


@pytest.mark.parametrize("kind", SOURCES)
def test_columns_far_from_zero_keep_their_digits(kind, tmp_path):
    x = FAR + near_table()
    loaded = data.load(SOURCES[kind](x, tmp_path), order="time")
    rows, spec = loaded.train, loaded.spec
    assert rows.tensor().dtype == torch.float64
    np.testing.assert_allclose(rows.tensor().numpy(), x[: len(rows)], rtol=0, atol=CLOSE)
    batch = rows.batch(torch.arange(len(rows))).x
    assert batch.dtype == torch.float32 and batch.abs().max() < 100
    np.testing.assert_allclose(spec.shift, x[: len(rows)].mean(0), rtol=0, atol=1e-4)
    again = data.load_as(SOURCES[kind](x, tmp_path), spec)
    torch.testing.assert_close(again.tensor()[: len(rows)], rows.tensor(), rtol=0, atol=0)


def test_rows_in_a_file_keep_their_digits(tmp_path):
    x = FAR + near_table()
    loaded = data.load(as_npy(x, tmp_path), memory_map=True)
    in_memory = data.load(x)
    assert loaded.train.is_memory_mapped
    index = torch.arange(len(loaded.train))
    assert torch.equal(loaded.train.batch(index).x, in_memory.train.batch(index).x)
    assert loaded.spec.offset == in_memory.spec.offset
    mapped = data.Rows.in_model_units(as_mapped_array(x, tmp_path), loaded.spec.offset)
    assert torch.equal(mapped.tensor(), data.load_as(x, loaded.spec).tensor())


@pytest.mark.parametrize("suffix", [".npy", ".parquet"])
def test_saved_rows_keep_their_digits(suffix, tmp_path):
    rows = data.load(FAR + near_table(), order="time").train
    data.save(rows, tmp_path / f"x{suffix}")
    again = data.load(tmp_path / f"x{suffix}", order="time").train.tensor()
    assert again.sub(rows.tensor()[: len(again)]).abs().max() < CLOSE


def test_columns_that_float32_holds_have_no_offset():
    years = np.random.default_rng(0).integers(1990, 2021, (100, 2)).astype(float)
    loaded = data.load(years)
    assert loaded.spec.offset is None
    assert loaded.train.tensor().dtype == torch.float32
    assert "imprecise_columns" not in {note.code for note in loaded.spec.notes}


@pytest.mark.parametrize(
    "dtype, far", [(np.float64, 1e15), (np.float32, 1e8)], ids=["float64", "float32"]
)
def test_columns_whose_digits_were_lost_before_are_named(dtype, far):
    x = (near_table() / 5 + [far, 0.0]).astype(dtype)
    notes = {note.code: note for note in data.load(x).spec.notes}
    assert list(notes["imprecise_columns"].data["columns"]) == ["column 0"]


@pytest.fixture(scope="module")
def twins():
    """The same data near 0 and far from 0, and one model for each with the same weights."""
    # multiples of 2^-10 around 0, which both floating-point types hold without rounding: the rows
    # are then equal in model units, bit by bit, and have the same draws
    x = np.round(near_table() * 1024) / 1024
    x -= np.array(data.load(FAR + x).spec.offset) - FAR
    near, far = data.load(x), data.load(FAR + x)
    every = torch.arange(len(near.test))
    assert torch.equal(near.test.batch(every).x, far.test.batch(every).x)
    torch.manual_seed(0)
    models = [aevb.presets.vae(each.spec, latent=2, hidden=[8]).model for each in (near, far)]
    models[1].load_state_dict(copy.deepcopy(models[0].state_dict()))
    return near, far, *(model.eval() for model in models)


def test_evaluation_does_not_depend_on_the_distance_from_zero(twins):
    near, far, model, moved = twins
    expected = metrics.evaluate(model, near, samples=20)
    test_rows = far.test.tensor().numpy()
    for source in (far, far.test, test_rows, torch.tensor(test_rows)):
        found = metrics.evaluate(moved, source, samples=20, spec=far.spec)
        for key in ("log_likelihood", "elbo", "rate", "distortion"):
            assert found[key].value == pytest.approx(expected[key].value, abs=1e-4), key
    assert Run(moved, far.spec, {}).evaluate(FAR + near_table(), samples=5).n == 400


def test_exact_likelihood_of_data_far_from_zero():
    x = FAR + near_table()
    far = data.load(x)
    model = aevb.presets.vae(far.spec, latent=1, hidden=[]).model
    truth = metrics.linear_gaussian(model)
    expected = truth.log_prob(torch.tensor(x) - torch.tensor(far.spec.offset, dtype=torch.double))
    found = metrics.log_likelihood(model, x, method="exact").per_datum
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


OUTPUTS = {
    "sample": lambda run, rows: run.sample(5, seed=1),
    "mean": lambda run, rows: run.sample(5, mean=True, seed=1),
    "reconstruct": lambda run, rows: run.reconstruct(rows),
    "reconstruct-array": lambda run, rows: run.reconstruct(rows.tensor().numpy()),
    "decode": lambda run, rows: run.decode(torch.ones(3, 2)),
    "path": lambda run, rows: run.interpolate(rows, 0, 1, steps=3).x,
    "geodesic": lambda run, rows: run.interpolate(rows, 0, 1, steps=3, path="geodesic").x,
    "augment": lambda run, rows: inference.augment(run.model, rows.tensor(), copies=2, mean=True).x,
    "inference": lambda run, rows: inference.reconstruct(run.model, rows),
    "model": lambda run, rows: run.model.reconstruct(rows[:5]),
}


@pytest.mark.parametrize("output", OUTPUTS)
def test_output_is_in_the_units_of_the_data(twins, output):
    near, far, model, moved = twins
    torch.manual_seed(0)
    expected = OUTPUTS[output](Run(model, near.spec, {}, dataset=near), near.test)
    torch.manual_seed(0)
    found = OUTPUTS[output](Run(moved, far.spec, {}, dataset=far), far.test)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found - FAR, expected.double(), rtol=0, atol=1e-4)


def test_encodings_do_not_depend_on_the_distance_from_zero(twins):
    near, far, model, moved = twins
    expected = model.encode(near.test.tensor())
    for z in (moved.encode(far.test.tensor()), inference.encode(moved, far.test)):
        torch.testing.assert_close(z, expected, rtol=0, atol=1e-5)


def test_completed_rows_keep_the_observed_cells_bit_by_bit():
    x = FAR + near_table()
    scaled = [
        aevb.likelihoods.Scaled(aevb.likelihoods.Normal(aevb.networks.MLP(1), (2,)), *moments)
        for moments in (([0.0], [20.0]), ([0.0], [20.0], [FAR]))
    ]
    models = []
    for likelihood in scaled:
        torch.manual_seed(0)
        network = aevb.networks.FillMissing(aevb.networks.MLP(4))
        models.append(
            aevb.VAE(
                aevb.priors.Normal(1),
                aevb.posteriors.Normal(aevb.networks.Standardise(network, [0.0], [20.0]), 1),
                aevb.likelihoods.Missing(likelihood),
            )
        )
    models[1].load_state_dict(copy.deepcopy(models[0].state_dict()))
    holes = x.copy()
    holes[::2, 1] = np.nan
    near, far = (
        inference.impute(model, table, samples=20, draws=2)
        for model, table in zip(models, (holes - FAR, holes), strict=True)
    )
    observed = ~np.isnan(holes)
    assert far.x.dtype == torch.float64
    assert np.array_equal(far.x.numpy()[observed], holes[observed])
    assert (far.draws.numpy()[:, observed] == holes[observed]).all()
    torch.testing.assert_close(far.x - FAR, near.x, rtol=0, atol=1e-4)


def test_fit_of_an_array_uses_the_offset_of_the_model(twins):
    _, far, _, _ = twins
    recipe = aevb.presets.vae(far.spec, latent=2, hidden=[8])
    results = [
        aevb.fit(copy.deepcopy(recipe), source, epochs=1, batch_size=320, seed=0, progress=False)
        for source in (far.train, far.train.tensor().numpy(), [far.train.tensor()])
    ]
    bounds = [result.history[-1].bound for result in results]
    assert bounds == pytest.approx([bounds[0]] * 3, abs=0.5)  # the order of rows differs


def test_a_run_folder_keeps_the_offset(twins, tmp_path):
    _, far, _, moved = twins
    aevb.save(moved, tmp_path / "run", spec=far.spec)
    again = Run.open(tmp_path / "run", device="cpu")
    assert again.model.data_offset == moved.data_offset == far.spec.offset == again.spec.offset
    assert torch.equal(again.reconstruct(far.test), inference.reconstruct(moved, far.test))
