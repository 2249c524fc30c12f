"""What a model's numbers measure: the key of a model, and which keys are refused."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

import aevb
from aevb import likelihoods, networks, posteriors, priors
from aevb.errors import IncompatibleError
from aevb.metrics._comparability import ComparabilityKey, check_comparable

KEY = ComparabilityKey(True, "probability", (6,), ("a",), "mnist", "fixed", ("x", "y"), "70000-1")
CHANGES = {
    "has_elbo": False,
    "measure": "density",
    "event_shape": (7,),
    "condition_names": (),
    "binarisation": "dynamic",
    "columns": ("x",),
    "rows_fingerprint": "1-1",
}


@pytest.mark.parametrize("name", CHANGES)
def test_every_property_must_be_shared(name):
    other = replace(KEY, **{name: CHANGES[name]})
    assert KEY.reason_incomparable(other) and other.reason_incomparable(KEY)
    with pytest.raises(IncompatibleError) as caught:
        check_comparable({"first": KEY, "second": KEY, "third": other})
    assert caught.value.argument == "models" and len(caught.value.suggestions) == 1
    assert "third" in str(caught.value) and "first" in str(caught.value)
    assert "second" not in str(caught.value)


def test_names_of_data_need_not_be_shared():
    other = replace(KEY, data_name="a copy")
    assert KEY.reason_incomparable(other) is None and other == KEY
    check_comparable({"first": KEY, "second": other})
    check_comparable({"only": KEY})


def test_two_autoencoders_can_be_compared():
    own = replace(KEY, has_elbo=False)
    assert own.reason_incomparable(replace(own, data_name="a copy")) is None


def model(posterior=posteriors.Normal, likelihood=likelihoods.Bernoulli):
    return aevb.VAE(
        priors.Normal(2), posterior(networks.MLP(6, [4]), 2), likelihood(networks.MLP(2, [4]), (6,))
    )


@pytest.mark.parametrize(
    "build, has_elbo, measure",
    [
        (model, True, "probability"),
        (lambda: model(posteriors.Dirac), False, "probability"),
        (lambda: model(likelihood=likelihoods.Normal), True, "density"),
    ],
)
def test_the_key_of_a_model(build, has_elbo, measure):
    key = ComparabilityKey.from_model(build(), rows_fingerprint="5-2")
    assert key == ComparabilityKey(has_elbo, measure, (6,), rows_fingerprint="5-2")
    assert key.data_name is None
    spec = replace(aevb.data.load("digits").spec, binarisation="fixed", columns=("x", "y"))
    key = ComparabilityKey.from_model(build(), spec)
    assert (key.data_name, key.binarisation, key.columns) == (spec.name, "fixed", ("x", "y"))
    assert (key.has_elbo, key.measure, key.rows_fingerprint) == (has_elbo, measure, None)


@pytest.mark.parametrize("optional, names", [(False, ("digit", "age")), (True, ())])
def test_variables_that_a_model_needs_belong_to_its_key(optional, names):
    variables = [SimpleNamespace(name=name) for name in ("digit", "age")]
    conditional = SimpleNamespace(
        condition=SimpleNamespace(is_optional=optional, variables=variables),
        posterior=SimpleNamespace(has_density=True),
        likelihood=SimpleNamespace(measure="density"),
        event_shape=torch.Size([6]),
    )
    assert ComparabilityKey.from_model(conditional).condition_names == names
