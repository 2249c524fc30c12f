"""Every registered likelihood can be selected by name and checks its data."""

import math

import numpy as np
import pytest

import aevb
from aevb.data import load
from aevb.errors import ArgumentError, DataError, IncompatibleError
from aevb.likelihoods import LikelihoodRegistration

RNG = np.random.default_rng(0)
VALUES = {
    "angle": RNG.uniform(-3, 3, (60, 4)),
    "binary": RNG.integers(0, 2, (60, 4)),
    "bounded": RNG.random((60, 4)),
    "categorical": RNG.integers(0, 5, (60, 4)),
    "continuous": RNG.normal(size=(60, 4)) * [1, 10, 100, 1000],
    "count": RNG.poisson(300, (60, 4)),
    "level": RNG.integers(0, 17, (60, 4)),
    "ordinal": RNG.integers(0, 5, (60, 4)),
    "positive": RNG.gamma(2, size=(60, 4)) * [1, 10, 100, 1000],
    "proportion": RNG.uniform(0.01, 0.99, (60, 4)),
}
NAMES = list(LikelihoodRegistration.buildable())


@pytest.mark.parametrize("name", NAMES)
def test_a_likelihood_is_chosen_by_its_name(name):
    entry = LikelihoodRegistration.find(name)
    data = load(VALUES[entry.kinds[0]], likelihood=name.replace("_", "-"))
    assert (data.spec.likelihood, data.spec.measure) == (name, entry.measure)
    recipe = aevb.presets.vae(data.spec, latent=2, hidden=[8])
    result = aevb.fit(recipe, data, epochs=1, batch_size=16, progress=False, compile=False)
    assert all(math.isfinite(epoch.bound) for epoch in result.history)


@pytest.mark.parametrize("name", NAMES)
def test_data_outside_of_the_support_are_refused_with_a_value(name):
    entry = LikelihoodRegistration.find(name)
    if "continuous" in entry.kinds:
        return
    with pytest.raises(DataError, match=r"the data hold -?\d+\.\d") as caught:
        load(RNG.uniform(-9, 9, (60, 4)), likelihood=name)
    assert (caught.value.argument, caught.value.value) == ("likelihood", name)


def test_positive_data_are_scaled_to_mean_one():
    spec = load(VALUES["positive"], likelihood="gamma", order="time").spec
    np.testing.assert_allclose(spec.scale, VALUES["positive"][:48].mean(0), rtol=1e-6)
    assert spec.shift == (0.0,) * 4


def test_a_likelihood_that_wraps_another_is_not_chosen_by_name():
    with pytest.raises(IncompatibleError) as caught:
        load(VALUES["continuous"], likelihood="missing")
    assert (caught.value.argument, caught.value.value) == ("likelihood", "missing")
    with pytest.raises(ArgumentError) as caught:
        load(VALUES["continuous"], likelihood="nromal")
    assert 'likelihood="normal"' in str(caught.value.suggestions[0])
