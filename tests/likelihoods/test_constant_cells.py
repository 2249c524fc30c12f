"""Constant cells: they add exactly 0 to every log p, and are put back on output."""

import copy

import numpy as np
import pandas as pd
import pytest
import torch

import aevb
from aevb import data, inference, likelihoods, metrics, networks, posteriors, priors
from aevb.errors import IncompatibleError
from aevb.likelihoods._location_scale import LocationScale
from aevb.runs import Run


def table(n=120, constant=7.0):
    rng = np.random.default_rng(0)
    a = rng.normal(size=n)
    return pd.DataFrame({"a": a, "c": constant, "b": a + rng.normal(size=n)})


def build(loaded, **options):
    torch.manual_seed(0)
    return aevb.presets.vae(loaded.spec, latent=1, hidden=[4], **options).model.eval()


@pytest.fixture(scope="module")
def loaded():
    return data.load(table())


@pytest.fixture(scope="module")
def model(loaded):
    return build(loaded)


def with_scale_of_constant(model, raw):
    """A copy whose decoder has another scale for the constant column."""
    other = copy.deepcopy(model)
    (noise,) = (part for part in other.modules() if isinstance(part, LocationScale))
    noise.raw.data[1] = raw
    return other


@pytest.mark.parametrize("numbers", [["log_likelihood", "elbo", "distortion"]])
def test_scale_of_a_constant_column_changes_no_number(loaded, model, numbers):
    found, other = (
        metrics.evaluate(each, loaded, samples=20, seed=1)
        for each in (model, with_scale_of_constant(model, -100.0))
    )
    for key in numbers:
        assert found[key].value == other[key].value, key
    assert torch.equal(found.log_likelihood.per_datum, other.log_likelihood.per_datum)


def test_log_prob_is_that_of_the_other_cells(model):
    z, x = torch.randn(5, 1), torch.randn(5, 3)
    inner = model.likelihood.likelihood(z)
    cells = torch.distributions.Normal(inner.mean, inner.stddev).log_prob(x)
    torch.testing.assert_close(model.likelihood(z).log_prob(x), cells[:, [0, 2]].sum(1))


def test_training_moves_no_parameter_of_a_constant_column(loaded):
    recipe = aevb.presets.vae(loaded.spec, latent=1, hidden=[4])
    model = aevb.fit(recipe, loaded, epochs=5, progress=False, seed=0).model
    (noise,) = (part for part in model.modules() if isinstance(part, LocationScale))
    assert noise.raw[1] == 0 and noise.raw[0] != 0


OUTPUTS = {
    "sample": lambda run, rows: run.sample(4),
    "mean": lambda run, rows: run.sample(4, mean=True),
    "decode": lambda run, rows: run.decode(torch.randn(4, 1)),
    "reconstruct": lambda run, rows: run.reconstruct(rows),
    "path": lambda run, rows: run.interpolate(rows, 0, 1, steps=3, path="geodesic").x,
    "augment": lambda run, rows: inference.augment(run.model, rows.tensor(), copies=1).x,
}


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("constant", [7.0, 1.7e9 + 0.5], ids=["near", "far"])
def test_constants_are_put_back_on_output(output, constant):
    loaded = data.load(table(constant=constant))
    x = OUTPUTS[output](Run(build(loaded), loaded.spec, {}, dataset=loaded), loaded.test)
    assert (x[:, 1] == constant).all() and len(x[:, 0].unique()) > 1


def test_other_values_in_new_data_are_counted_and_do_not_move_the_others(loaded, model):
    changed = table()
    changed.loc[3:5, "c"] = 8.0
    same, rows = (data.load_as(each, loaded.spec) for each in (table(), changed))
    found = metrics.evaluate(model, rows, samples=5, spec=loaded.spec)
    (note,) = (note for note in found.notes if note.code == "constant_changed")
    assert note.data == {"columns": {"c": 3}}
    expected = metrics.evaluate(model, same, samples=5, spec=loaded.spec)
    assert "constant_changed" not in {note.code for note in expected.notes}
    assert torch.equal(found.log_likelihood.per_datum, expected.log_likelihood.per_datum)


@pytest.mark.parametrize("likelihood", ["normal", "laplace", "continuous_bernoulli"])
def test_constant_pixels_of_densities(likelihood):
    images = np.random.default_rng(0).integers(0, 256, (40, 4, 4)).astype(np.uint8)
    images[:, 0] = 0
    loaded = data.load(images, likelihood=likelihood)
    (note,) = (note for note in loaded.spec.notes if note.code == "constant_pixels")
    assert note.data == {"constant": 4, "values": 16}
    model = build(loaded)
    x, other = loaded.test.tensor(), loaded.test.tensor()
    other[:, 0] = 1.0
    p = model.likelihood(torch.zeros(len(x), 1))
    assert torch.equal(p.log_prob(x), p.log_prob(other))
    assert not model.sample(3)[:, 0].any()


def test_constants_have_probabilities_where_other_values_may_occur():
    assert data.load("digits").spec.constants is None
    bits = np.random.default_rng(0).integers(0, 2, (40, 5))
    bits[:, 2] = 0
    assert data.load(bits).spec.constants is None


def test_a_constant_column_of_counts_adds_nothing():
    counts = pd.DataFrame(np.random.default_rng(0).poisson(3, (60, 2)), columns=["x", "y"])
    loaded = data.load(counts.assign(c=7), likelihood="poisson")
    model = build(loaded)
    z, x = torch.zeros(4, 1), torch.tensor([[1.0, 2.0, 7.0]]).expand(4, 3)
    free = torch.distributions.Poisson(model.likelihood(z).mean[:, :2]).log_prob(x[:, :2]).sum(1)
    torch.testing.assert_close(model.likelihood(z).log_prob(x), free)
    assert (model.sample(5)[:, 2] == 7).all()


def test_exact_likelihood_without_the_constant_column(loaded):
    torch.manual_seed(0)
    linear = aevb.presets.vae(loaded.spec, latent=1, hidden=[]).model
    truth = metrics.linear_gaussian(linear)
    free = [0, 2]
    evidence = torch.distributions.MultivariateNormal(
        truth.offset[free], truth.weight[free] @ truth.weight[free].T + truth.variance[free].diag()
    )
    x = loaded.test.tensor()
    expected = evidence.log_prob(x[:, free].double())
    torch.testing.assert_close(metrics.exact_log_likelihood(linear, x), expected)
    parts = metrics.decomposition(linear, x)
    torch.testing.assert_close(parts.elbo + parts.gap, expected)


def test_imputation_puts_constants_back():
    inner = likelihoods.Normal(networks.MLP(1), (2,))
    model = aevb.VAE(
        priors.Normal(1),
        posteriors.Normal(networks.FillMissing(networks.MLP(4)), 1),
        likelihoods.Missing(likelihoods.ConstantCells(inner, [None, 7.0])),
    )
    found = inference.impute(model, torch.tensor([[0.0, torch.nan]]), samples=5, draws=2)
    assert found.x[0, 1] == 7 and (found.draws[:, 0, 1] == 7).all() and found.spread[0, 1] == 0


def test_doctor_examines_the_other_columns(loaded, model):
    assert metrics.doctor(model, loaded).n_rows == len(loaded.test)
    frame = pd.DataFrame({"a": np.ones(60), "b": np.zeros(60)})
    constant = data.load(frame, likelihood="normal")  # without it there is nothing to model
    assert metrics.doctor(build(constant), constant).n_rows == 6


def test_a_run_folder_keeps_the_constants(loaded, model, tmp_path):
    aevb.save(model, tmp_path / "run", spec=loaded.spec)
    again = Run.open(tmp_path / "run", device="cpu")
    assert again.spec.constants == (None, 7.0, None)
    torch.testing.assert_close(again.model.constant_cells, model.constant_cells, equal_nan=True)


def test_unsuitable_likelihoods_are_refused():
    normal = likelihoods.Normal(networks.MLP(1), (2,))
    for inner in (likelihoods.Missing(normal), likelihoods.Autoregressive(networks.MLP(1), (2,))):
        with pytest.raises(IncompatibleError) as error:
            likelihoods.ConstantCells(inner, [None, 1.0])
        assert error.value.argument == "likelihood"
