"""Capabilities of models, and the condition that they share with copies."""

import copy

import pytest
import torch
from tests.catalogue import make_quantised, make_vae

import aevb
from aevb.networks import Condition


@pytest.mark.parametrize(
    "posterior, expected",
    [
        ("normal-diagonal", {"has_density": True, "analytic_kl": True, "reparameterised": True}),
        ("student-t", {"has_density": True, "analytic_kl": False}),
        ("bernoulli", {"reparameterised": False, "finite_states": 4}),
        ("categorical", {"reparameterised": False, "finite_states": 9}),
        ("dirac", {"has_density": False, "importance_weights": False, "analytic_kl": False}),
        ("free", {"n_rows": 6, "encodes_new_rows": False}),
        ("ladder", {"analytic_kl": False, "analytic_kl_layers": (True, True)}),
    ],
)
def test_capabilities_follow_from_the_posterior(posterior, expected):
    capabilities = make_vae(posterior).capabilities
    assert {name: getattr(capabilities, name) for name in expected} == expected
    assert capabilities.context == "none" and not capabilities.codebook


def test_codebooks_have_a_density_and_no_importance_weights():
    capabilities = make_quantised("vector").capabilities
    assert capabilities.codebook and capabilities.has_density
    assert not (capabilities.full_support or capabilities.importance_weights)


def test_the_condition_and_the_capabilities_follow_copies_and_files(tmp_path):
    digits = aevb.data.load("digits", condition="label")
    model = aevb.presets.cvae(digits.spec, latent=2, hidden=[8]).model
    assert model.capabilities.context == "required" and not model.capabilities.predicts_labels
    aevb.save(model, tmp_path / "run")
    for other in (copy.deepcopy(model).to(torch.float64), aevb.load(tmp_path / "run")):
        conditions = [part for part in other.modules() if isinstance(part, Condition)]
        assert other.condition is conditions[0] and other.condition is not model.condition
        assert other.capabilities == model.capabilities
