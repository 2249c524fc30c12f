"""Normalised expression of counts."""

import numpy as np
import pytest
import torch

import aevb
from aevb.errors import ArgumentError, IncompatibleError
from aevb.inference import normalised_expression
from aevb.runs import Run

BATCH = np.array(["a", "b"] * 60)


@pytest.fixture(scope="module")
def run():
    """Return a fitted model of counts, of which one gene is of batch b alone."""
    rng = np.random.default_rng(0)
    x = rng.poisson(rng.gamma(2.0, 3.0, (120, 1)) * np.array([1.0, 2.0, 0.5, 0.0]))
    x[1::2, 3] = rng.poisson(5.0, 60)
    condition = {"batch": BATCH, "library_size": None}
    data = aevb.data.load(x, likelihood="negative_binomial", condition=condition)
    torch.manual_seed(0)
    recipe = aevb.presets.count_vae(data.spec, latent=2, hidden=[16])
    return Run.from_fit(aevb.fit(recipe, data, epochs=60, batch_size=8, progress=False), data)


def test_rows_sum_to_the_library_size(run):
    found = run.normalised_expression(library=200.0, samples=3)
    assert found.shape == (12, 4)
    assert found.sum(1).numpy() == pytest.approx(200.0, rel=1e-4)  # float32 sums


def test_rows_depend_on_their_own_values_only(run):
    rows = run.data().test
    whole, part = (run.normalised_expression(x, samples=2) for x in (rows, rows.subset([3, 1])))
    assert torch.allclose(whole[[3, 1]], part, rtol=1e-4)


def test_rows_are_decoded_as_another_batch(run):
    own = run.normalised_expression(library=1.0)
    as_a, as_b = (run.normalised_expression(library=1.0, label={"batch": b}) for b in "ab")
    of_a = run.data().test.context[:, 0] == 1
    assert torch.allclose(own[of_a], as_a[of_a])
    assert torch.allclose(own[~of_a], as_b[~of_a])
    assert as_b[:, 3].mean() > 2 * as_a[:, 3].mean()


@pytest.mark.parametrize(
    "arguments",
    [{"library": 0.0}, {"samples": 0}, {"label": {"batch": "c"}}, {"label": {"donor": "a"}}],
)
def test_wrong_arguments_are_refused(run, arguments):
    with pytest.raises(ArgumentError) as caught:
        run.normalised_expression(**arguments)
    assert caught.value.argument == next(iter(arguments))


def test_other_numbers_than_counts_have_no_expression():
    data = aevb.data.load(np.random.default_rng(0).normal(size=(30, 2)))
    model = aevb.presets.vae(data.spec, latent=1, hidden=[4]).model
    with pytest.raises(IncompatibleError):
        normalised_expression(model, data.test)


def test_baselines_say_that_they_are_not_given_the_library_size(run):
    assert all(each.caveat for each in run.baselines.members)
