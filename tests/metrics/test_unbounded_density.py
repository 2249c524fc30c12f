"""Columns whose values repeat: a decoder that follows them is named before its numbers are used."""

import numpy as np
import pandas as pd
import pytest
import torch

import aevb
from aevb import data, metrics
from aevb.likelihoods._location_scale import LocationScale
from aevb.metrics._unbounded_density import find_unbounded_density


@pytest.fixture(scope="module")
def mixed():
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 3, 600)
    return data.load(pd.DataFrame({"a": kind + rng.normal(size=600), "kind": kind}))


def model_with_scale(loaded, **raw):
    """A model whose decoder scales, in standardised units, are set."""
    torch.manual_seed(0)
    model = aevb.presets.vae(loaded.spec, latent=1, hidden=[8]).model.eval()
    (noise,) = (part for part in model.modules() if isinstance(part, LocationScale))
    for name, value in raw.items():
        noise.raw.data[loaded.spec.columns.index(name)] = value
    return model


# exp(-2) of a deviation of 0.8 is 0.11 of the distance of neighbouring values; exp(6 tanh(-5)) is
# 0.0025, the lower bound
CASES = {
    "start": ({}, ((), ())),
    "repeated": ({"kind": -2.0}, (("kind",), ())),
    "continuous": ({"a": -2.0}, ((), ())),
    "floor": ({"a": -30.0}, ((), ("a",))),
}


@pytest.mark.parametrize("case", CASES)
def test_columns_without_bound(mixed, case):
    raw, expected = CASES[case]
    found = find_unbounded_density(model_with_scale(mixed, **raw), mixed.test, mixed.spec)
    assert (found.repeated, found.at_floor) == expected


def test_finding_follows_a_loss_to_a_baseline_and_notes_say_it(mixed):
    model = model_with_scale(mixed, kind=-2.0)
    loss, first = (each.code for each in metrics.doctor(model, mixed).findings[:2])
    assert (loss, first) == ("baseline_better", "density_unbounded")  # an untrained model loses
    notes = metrics.evaluate(model, mixed, samples=5).notes
    (note,) = (each for each in notes if each.code == "density_unbounded")
    assert note.data == {"repeated": ["kind"], "at_floor": []} and note.level == "warning"
    compared = metrics.compare([model, model_with_scale(mixed)], mixed.test, samples=5)
    assert "density_unbounded" in {each.code for each in compared.notes}
    runs = [
        aevb.Run(each, mixed.spec, {}, dataset=mixed) for each in (model, model_with_scale(mixed))
    ]
    assert "density_unbounded" in {each.code for each in aevb.compare(runs, samples=5).notes}


def test_doctor_names_few_values_where_the_density_is_not_followed_yet(mixed):
    findings = metrics.doctor(model_with_scale(mixed), mixed).findings
    assert "few_values" in {finding.code for finding in findings}


def test_doctor_names_dependent_columns():
    x = np.random.default_rng(0).normal(size=(300, 2))
    loaded = data.load(pd.DataFrame({"close": x[:, 0], "b": x[:, 1], "adjclose": x[:, 0]}))
    codes = [finding.code for finding in metrics.doctor(model_with_scale(loaded), loaded).findings]
    assert codes[:2] == ["baseline_better", "dependent_columns"]  # an untrained model loses


def test_doctor_says_what_it_cannot_see():
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 2)), columns=["a", "b"])
    loaded = data.load(frame.assign(name="x" * 9, city=["Aix", "Ulm"] * 30))
    codes = {finding.code for finding in metrics.doctor(model_with_scale(loaded), loaded).findings}
    assert {"too_few_rows", "columns_set_aside"} <= codes


def test_repeated_rows_are_found_and_no_learning_rate_is_blamed():
    rng = np.random.default_rng(0)
    loaded = data.load(rng.normal(size=(20, 3))[rng.integers(0, 20, 640)])
    recipe = aevb.presets.vae(loaded.spec, latent=1, hidden=[16])
    result = aevb.fit(recipe, loaded, epochs=20, progress=False, seed=0)
    codes = [
        finding.code
        for finding in metrics.doctor(result.model, loaded, history=result.history).findings
    ]
    assert "repeated_rows" in codes and "learning_rate_too_high" not in codes
