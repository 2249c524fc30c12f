"""Columns whose values repeat: a decoder that follows them is named before its numbers are used."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

import aevb
from aevb import data, likelihoods, metrics, networks, posteriors, priors
from aevb._random import seed_scope
from aevb.likelihoods._location_scale import LocationScale
from aevb.metrics import _unbounded_density as unbounded
from aevb.metrics._unbounded_density import _gap_of_repeated_values, find_unbounded_density


@pytest.fixture(scope="module")
def mixed():
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 3, 600)
    frame = pd.DataFrame({"a": kind + rng.normal(size=600), "kind": kind})
    return data.load(frame, likelihood="normal")  # by default `kind` has probabilities


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


@pytest.mark.parametrize(
    "values, gap",
    [
        ([0, 0, 3, 3, 10, 10], 3.0),  # the nearest others are 3, 3, 3, 3, 7 and 7 away
        ([10, 3, 0, 3, 10, 0, 10, 10], 3.0),  # 3, 3, 3, 3 and 7 four times; the lower median
        ([5, 5, 5, 9], 4.0),
        ([0, 0, 1, 2], 1.0),  # half of the values repeat
        ([0, 0, 1, 2, 3], 0.0),  # fewer do
        ([0, 0, math.nan, math.nan, math.nan, 2], 2.0),  # missing cells do not count
        ([7, 7, 7, 7], 0.0),  # there is no other value
        ([7], 0.0),
        ([], 0.0),
        ([math.nan, math.nan], 0.0),
    ],
)
def test_distance_of_repeated_values(values, gap):
    found = _gap_of_repeated_values(torch.tensor(values, dtype=torch.float64))
    assert found.shape == () and found.dtype == torch.float64 and found.item() == gap


# of values 1 apart: a narrower normal density exceeds 1 at its centre below 1 / sqrt(2 pi) = 0.3989
@pytest.mark.parametrize("scale, named", [(0.398, True), (0.400, False)])
def test_a_scale_is_compared_with_the_distance_of_values(mixed, scale, named):
    """The raw number of a scale is found by bisection, in units of the data."""
    model = model_with_scale(mixed)
    (noise,) = (part for part in model.modules() if isinstance(part, LocationScale))
    place = mixed.spec.columns.index("kind")
    x = mixed.test.tensor()[:2]
    low, high = -5.0, 5.0
    for _ in range(40):
        noise.raw.data[place] = (low + high) / 2
        with torch.no_grad():
            found = model.likelihood(model.infer(aevb.types.Batch(x)).mean).variance.sqrt()
        low, high = (low, (low + high) / 2) if found[0, place] > scale else ((low + high) / 2, high)
    found = find_unbounded_density(model, mixed.test, mixed.spec)
    assert found.repeated == (("kind",) if named else ())


def table(columns):
    """A model of a table with a narrow scale everywhere, and rows of two values 1 apart."""
    with seed_scope(0):
        model = aevb.VAE(
            priors.Normal(1),
            posteriors.Normal(networks.MLP(columns, [2]), 1),
            likelihoods.Normal(networks.MLP(1, [2]), (columns,), scale="shared"),
        ).eval()
    (noise,) = (part for part in model.modules() if isinstance(part, LocationScale))
    noise.raw.data.fill_(-2.0)
    return model, lambda n: (torch.arange(n) % 2).float()[:, None].expand(n, columns).contiguous()


@pytest.mark.parametrize("raw, at_floor", [(0.0, ()), (-30.0, ("element 0", "element 1"))])
@pytest.mark.parametrize("bound", [6.0, 7.7])
def test_scales_of_whitened_numbers_are_in_units_of_their_columns(raw, at_floor, bound):
    """Columns of deviation 1e-4 are at the floor where the decoder is, and not by their unit."""
    generator = torch.Generator().manual_seed(0)
    x = 1e-4 * torch.randn(200, 2, generator=generator)
    with seed_scope(0):
        inner = likelihoods.Normal(networks.MLP(2, [2]), (2,), "per_element", scale_bound=bound)
        p = likelihoods.Whitened(inner, (2,), [0.0, 0.0], [1e-4, 1e-4])
        model = aevb.VAE(priors.Normal(2), posteriors.Normal(networks.MLP(2, [2]), 2), p).eval()
    model.initialise_from_data(x)
    inner.noise.raw.data.fill_(raw)
    assert found_in(model, x).at_floor == at_floor


def found_in(model, x):
    return find_unbounded_density(model, data.Rows.from_array(x))


def test_columns_without_names_are_counted():
    model, rows = table(2)
    assert found_in(model, rows(9)).repeated == ("element 0", "element 1")


@pytest.mark.parametrize("columns, examined", [(3, True), (4, False)])
def test_wide_tables_are_left_out(monkeypatch, columns, examined):
    monkeypatch.setattr(unbounded, "MAX_COLUMNS", 3)
    model, rows = table(columns)
    assert bool(found_in(model, rows(9))) == examined


@pytest.mark.parametrize("rows_given, found", [(1, False), (4, True)])
def test_one_row_repeats_nothing(rows_given, found):
    model, rows = table(1)
    assert bool(found_in(model, rows(rows_given))) == found


def test_rows_are_examined_from_the_first_to_the_last(monkeypatch):
    """Of 9 rows 3: the first, the middle and the last one have a repeated value and another."""
    monkeypatch.setattr(unbounded, "EXAMINED_ROWS", 3)
    model, _ = table(1)
    x = torch.arange(10.0, 19.0)[:, None]
    assert not found_in(model, x)
    for pair in ((0, 4), (4, 8), (0, 8)):
        changed = x.clone()
        changed[list(pair)] = 5.0
        assert found_in(model, changed).repeated == ("element 0",)


def test_images_and_fixed_scales_are_left_out():
    with seed_scope(0):
        posterior = posteriors.Normal(networks.MLP(4, [2]), 1)
        fixed = likelihoods.Normal(networks.MLP(1, [2]), (4,), scale=1e-3)
        image = likelihoods.Normal(networks.MLP(1, [2]), (2, 2), scale="shared")
        models = [aevb.VAE(priors.Normal(1), posterior, each).eval() for each in (fixed, image)]
    (noise,) = (part for part in models[1].modules() if isinstance(part, LocationScale))
    noise.raw.data.fill_(-30.0)
    x = (torch.arange(8) % 2).float()[:, None].expand(8, 4)
    assert not found_in(models[0], x) and not found_in(models[1], x.reshape(8, 2, 2))


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
    frame = pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "total": x.sum(1)})  # equal ones are derived
    loaded = data.load(frame)
    codes = [finding.code for finding in metrics.doctor(model_with_scale(loaded), loaded).findings]
    assert codes[:2] == ["baseline_better", "dependent_columns"]  # an untrained model loses
    whitened = aevb.presets.table_vae(loaded.spec, latent=1, hidden=[8]).model
    whitened.initialise_from_data(loaded.train.tensor())
    assert whitened.likelihood.dependent_cells == (0, 1, 2)
    (finding,) = metrics.doctor(whitened, loaded).findings
    assert finding.code == "dependent_columns"


def test_doctor_says_what_it_cannot_see():
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 2)), columns=["a", "b"])
    frame = frame.assign(name="x" * 9, city=["Aix", "Ulm"] * 30)
    loaded = data.load(frame, likelihood="normal")
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
