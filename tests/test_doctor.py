"""The doctor on models made sick on purpose, and on a healthy one."""

from __future__ import annotations

import functools
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import aevb
from aevb import likelihoods, networks, posteriors, priors
from aevb._random import seed_scope
from aevb.cli import main
from aevb.cli._messages import to_command_line
from aevb.data import Rows
from aevb.data._temporal_order import TemporalOrder, measure_temporal_order
from aevb.errors import ArgumentError, IncompatibleError
from aevb.metrics import doctor
from aevb.metrics._doctor._data_checks import (
    kolmogorov_smirnov_distance,
    kolmogorov_smirnov_p_value,
)
from aevb.metrics._doctor._training_checks import (
    FALL_SHARE_THRESHOLD,
    FALL_STEEPNESS_THRESHOLD,
    largest_fall,
)
from aevb.training import adam


def steps_of(rows: np.ndarray) -> TemporalOrder:
    found = measure_temporal_order(len(rows), lambda index: rows[index])
    assert found is not None
    return found


@functools.cache
def digits():
    return aevb.data.load("digits", likelihood="normal")


@functools.cache
def trained(preset: str = "vae", lr: float = 1.5e-3, **options):
    with seed_scope(0):
        recipe = aevb.presets.preset(preset, digits().spec, latent=4, hidden=(32,), **options)
    return aevb.fit(recipe, digits(), epochs=40, optimizer=adam(lr), progress=False)


def examined(result: aevb.FitResult, **options):
    return doctor(result.model, digits(), history=result.history, **options)


@functools.cache
def healthy():
    """A model of grey levels, trained until little more is gained."""
    data = aevb.data.load("digits")
    with seed_scope(0):
        recipe = aevb.presets.preset("vae", data.spec, latent=4, hidden=(64,))
    return data, aevb.fit(recipe, data, epochs=80, progress=False)


def test_nothing_is_found_on_a_healthy_model():
    data, result = healthy()
    found = doctor(result.model, data, history=result.history)
    assert found.is_healthy and found.findings == ()
    assert len(found.results) >= 10
    assert str(found).startswith("nothing found")


@pytest.mark.parametrize(
    "make, cause, change",
    [
        (lambda: trained("beta_vae", beta=30.0), "The divergence weighs too much", "beta=1"),
        (lambda: trained(scale=5.0), "The decoder's scale is too large", 'scale="per_element"'),
        (lambda: trained(lr=0.3), "The learning rate is too high", "lr=0.03"),
    ],
    ids=["beta", "scale", "rate"],
)
def test_the_cause_comes_first(make, cause, change):
    found = examined(make())
    assert [finding.name for finding in found.findings] == [
        cause
    ]  # what follows from it is said, and is no finding of its own
    assert change in found.findings[0].recommendation


def test_held_out_rows_among_the_training_rows():
    data = digits()
    train = torch.cat([data.train.tensor(), data.test.tensor()])
    found = doctor(trained().model, data.test, train=train, history=trained().history)
    assert found.findings[0].name == "Rows on both sides of the split"
    assert found.findings[0].observation.startswith("100.0% of the 180 rows")


def test_copies_among_data_that_repeat_themselves_are_no_finding():
    """Rows of three bits: every held-out row is among the training rows, as it must be, since these repeat each other as often."""
    bits = (torch.rand(400, 3, generator=torch.Generator().manual_seed(0)) < 0.5).float()
    with seed_scope(0):
        model = aevb.VAE(
            priors.Normal(1),
            posteriors.Normal(networks.MLP(3, [4]), 1),
            likelihoods.Bernoulli(networks.MLP(1, [4]), (3,)),
        )
    found = doctor(model, bits[300:], train=bits[:300])
    assert "Rows on both sides of the split" not in [finding.name for finding in found.findings]


def test_shifted_digits_are_drift_and_the_same_digits_are_not():
    model, data = trained().model, digits()
    shifted = torch.roll(data.test.tensor(), 1, -1)
    assert "Drift" in [
        finding.name for finding in doctor(model, shifted, train=data.train).findings
    ]
    assert "Drift" not in [
        finding.name for finding in doctor(model, data.validation, train=data.train).findings
    ]


def test_frames_of_a_film_split_at_random_are_said_at_the_door():
    film = np.random.default_rng(0).normal(size=(300, 5)).cumsum(0)
    assert any("follow one another" in sentence for sentence in aevb.data.load(film).spec.notes)
    assert not any(
        "follow one another" in sentence
        for sentence in aevb.data.load(film, order="time").spec.notes
    )
    rows = np.random.default_rng(0).permutation(film)
    assert not any("follow one another" in sentence for sentence in aevb.data.load(rows).spec.notes)


def test_frey_faces_are_a_film():
    """As an array, of which nobody said that it is a film; split at random."""
    try:
        faces = aevb.data.load("frey-faces")
    except aevb.errors.DataError:
        pytest.skip("the Frey faces are not at hand")
    frames = torch.cat(
        [faces.train.tensor(), faces.validation.tensor(), faces.test.tensor()]
    ).numpy()
    assert any("follow one another" in sentence for sentence in aevb.data.load(frames).spec.notes)


def test_rows_that_are_sorted_are_not_taken_for_a_film():
    """Flowers in order of their species, and rows in order of a column: neighbours are alike, and no more so than rows further apart."""
    flowers = pytest.importorskip("sklearn.datasets").load_iris().data
    column = np.random.default_rng(0).normal(size=(300, 2)) * [5.0, 1.0]
    for rows in (flowers, column[column[:, 0].argsort()]):
        found = steps_of(rows)
        assert found.von_neumann_ratio < 0.5
        assert not found.is_ordered
        assert not any(
            "follow one another" in sentence for sentence in aevb.data.load(rows).spec.notes
        )


def test_succession_of_independent_rows_and_of_a_walk():
    """The ratio is 1 for independent rows (standard error 0.01 of 10,000 numbers) and the share 1/2 (0.016 of 1,000); of a walk 0 and 1."""
    rows = np.random.default_rng(1).normal(size=(1001, 10))
    alone, walk = steps_of(rows), steps_of(rows.cumsum(0))
    assert (alone.von_neumann_ratio, alone.next_closer_fraction) == (
        pytest.approx(1.0, abs=0.05),
        pytest.approx(0.5, abs=0.08),
    )
    assert (walk.von_neumann_ratio, walk.next_closer_fraction) == (
        pytest.approx(0.0, abs=0.05),
        pytest.approx(1.0, abs=0.05),
    )
    assert measure_temporal_order(10, lambda index: rows[index]) is None


def test_rows_with_noise_are_drift_by_their_density_too():
    """Noise of half a deviation of the pixels: codes may look alike, the ELBO does not."""
    model, data = trained().model, digits()
    noisy = data.test.tensor() + 2 * torch.randn(
        data.test.tensor().shape, generator=torch.Generator().manual_seed(0)
    )
    found = {
        finding.name: finding
        for finding in doctor(model, noisy, train=data.train, reference=data.validation).findings
    }
    assert "ELBO" in found["Drift"].observation
    assert "Drift" not in {
        finding.name
        for finding in doctor(
            model, data.test, train=data.train, reference=data.validation
        ).findings
    }


def test_kolmogorov_smirnov_against_scipy():
    stats = pytest.importorskip("scipy.stats")
    a, b = (
        torch.randn(300, generator=torch.Generator().manual_seed(0)),
        torch.randn(200, generator=torch.Generator().manual_seed(1)) + 0.1,
    )
    distance = stats.ks_2samp(a.numpy(), b.numpy(), method="asymp").statistic
    assert kolmogorov_smirnov_distance(a, b) == pytest.approx(distance, abs=1e-12)
    for one in (0.05, distance, 0.3):  # scipy's limit distribution: the same series
        assert kolmogorov_smirnov_p_value(one, 300, 200) == pytest.approx(
            stats.kstwobign.sf(one * 120**0.5), abs=1e-12
        )


def test_the_drift_test_keeps_its_level():
    """Of 400 pairs of samples from one distribution about 5 % have p < 0.05; 10 % would be more than 4 standard errors away."""
    generator = torch.Generator().manual_seed(0)
    pairs = [
        (torch.randn(200, generator=generator), torch.randn(300, generator=generator))
        for _ in range(400)
    ]
    rejected = np.mean(
        [
            kolmogorov_smirnov_p_value(kolmogorov_smirnov_distance(a, b), 200, 300) < 0.05
            for a, b in pairs
        ]
    )
    assert 0.01 < rejected < 0.1


def test_an_autoencoder_is_examined_too():
    with seed_scope(0):
        model = aevb.presets.autoencoder(digits().spec, latent=2, hidden=(8,)).model
    assert doctor(model, digits()).n_rows == 180


def test_parameters_per_datum_are_refused_with_what_to_do():
    with seed_scope(0):
        model = aevb.presets.svi(
            digits().spec, latent=2, hidden=(8,), rows=len(digits().train)
        ).model
    with pytest.raises(IncompatibleError, match="refine"):
        doctor(model, digits())


# what is no finding


@functools.cache
def flowers(lr: float = 1.5e-3, beta: float = 1.0):
    """A small table, trained by one or two steps an epoch, whose bound goes up and down by itself."""
    data = aevb.data.load(pytest.importorskip("sklearn.datasets").load_wine().data)
    with seed_scope(0):
        recipe = aevb.presets.preset("beta_vae", data.spec, latent=4, hidden=(32,), beta=beta)
    return data, aevb.fit(recipe, data, epochs=150, optimizer=adam(lr), progress=False)


@pytest.mark.parametrize("lr", [1.5e-3, 1.5e-4])
def test_the_noise_of_few_steps_is_no_fall(lr):
    data, result = flowers(lr)
    assert "The learning rate is too high" not in [
        finding.name for finding in doctor(result.model, data, history=result.history).findings
    ]


def test_a_fall_is_large_and_steep():
    noise = 0.3 * torch.randn(200, generator=torch.Generator().manual_seed(0))
    calm = (-10 + 9 * torch.linspace(0, 1, 200) + noise).tolist()
    assert largest_fall(calm)[1] < FALL_STEEPNESS_THRESHOLD
    lost, steep = largest_fall([*calm[:150], *(value - 30 for value in calm[150:])])
    assert lost > FALL_SHARE_THRESHOLD and steep > FALL_STEEPNESS_THRESHOLD
    assert largest_fall([1.0, 0.0]) == (0.0, 0.0)


def test_a_tighter_bound_wants_no_tight_elbo():
    """The ELBO of a model that climbs an importance-weighted bound lies low by design; no richer posterior is advised."""
    with seed_scope(0):
        recipe = aevb.presets.iwae(digits().spec, latent=4, hidden=(32,), samples=20)
    result = aevb.fit(recipe, digits(), epochs=40, progress=False)
    assert "The posterior is too poor" not in [
        finding.name for finding in examined(result).findings
    ]


def test_a_run_that_ended_before_its_schedules():
    with seed_scope(0):
        recipe = aevb.presets.preset(
            "vamp_vae", digits().spec, latent=4, hidden=(32,), components=10
        )
    result = aevb.fit(recipe, digits(), epochs=6, progress=False)
    found = examined(result)
    assert (
        found.findings[0].name == "The schedules did not end"
        and not result.history[-1].schedules_finished
    )
    assert "The codes do not look like the prior" not in [
        finding.name for finding in found.findings
    ]


def test_a_run_that_had_just_begun():
    with seed_scope(0):
        recipe = aevb.presets.preset("vae", digits().spec, latent=4, hidden=(32,))
    found = examined(aevb.fit(recipe, digits(), epochs=6, progress=False))
    assert [finding.name for finding in found.findings] == [
        "The run was too short"
    ] and "epochs=50" in found.findings[0].recommendation


# data


def test_copies_are_found_among_rows_that_repeat_themselves():
    """A third of the training rows are copies of each other; all of the others are among them, where a third would be by chance."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(300, 3, generator=generator)
    train = torch.cat([rows, rows[:75]])
    model = tiny(3)
    names = {
        kind: [finding.name for finding in doctor(model, part, train=train).findings]
        for kind, part in (
            ("copied", rows[100:200]),
            ("alone", torch.randn(100, 3, generator=generator)),
        )
    }
    assert (
        "Rows on both sides of the split" in names["copied"]
        and "Rows on both sides of the split" not in names["alone"]
    )


def test_the_column_that_drifted_is_named():
    frame = pytest.importorskip("pandas").DataFrame(
        np.random.default_rng(0).normal(size=(400, 3)), columns=["age", "height", "weight"]
    )
    data = aevb.data.load(frame)
    moved = data.test.tensor().clone()
    moved[:, 1] += 2 * data.train.tensor()[:, 1].std()
    found = doctor(tiny(3), replace(data, test=Rows.from_array(moved)))
    assert (
        "values of height are not distributed"
        in {f.name: f for f in found.findings}["Drift"].observation
    )


def test_a_film_that_was_split_at_random_is_found_where_its_rows_are_shuffled():
    film = np.random.default_rng(0).normal(size=(300, 5)).cumsum(0)
    torn, kept = aevb.data.load(film), aevb.data.load(film, order="time")
    assert "A film, split at random" in [finding.name for finding in doctor(tiny(5), torn).findings]
    found = {finding.name: finding for finding in doctor(tiny(5), kept).findings}
    assert "order=" not in found["Rows in order of time"].recommendation


def test_under_drift_the_model_is_not_blamed():
    data, result = healthy()
    found = doctor(
        result.model,
        torch.roll(data.test.tensor(), 1, -1),
        train=data.train,
        history=result.history,
    )
    assert [finding.name for finding in found.findings] == ["Drift"]
    assert any(one.explained_by == "Drift" for one in found.results)


# doors


def tiny(size: int) -> aevb.VAE:
    with seed_scope(0):
        return aevb.VAE(
            priors.Normal(1),
            posteriors.Normal(networks.MLP(size), 1),
            likelihoods.Normal(networks.MLP(1), (size,)),
        )


def test_weights_that_are_not_finite_are_the_only_finding():
    model = tiny(3)
    with torch.no_grad():
        next(model.likelihood.parameters()).fill_(float("nan"))
    (finding,) = doctor(model, torch.randn(50, 3)).findings
    assert finding.name == "Weights are not finite" and "likelihood" in finding.observation


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_few_rows_are_no_illness_of_the_model(rows):
    data, result = healthy()
    found = doctor(result.model, data.test[:rows], train=data.train, history=result.history)
    assert found.n_rows == rows and found.is_healthy


def test_what_is_no_model_and_no_history():
    with pytest.raises(
        ArgumentError, match=r"`model` is FitResult; give the model itself, as `result.model`"
    ):
        doctor(trained(), digits())
    with pytest.raises(ArgumentError, match=r"`history` is FitResult; give the epochs"):
        doctor(trained().model, digits(), history=trained())
    assert doctor(trained().model, digits(), history=None).n_rows == 180


def test_the_record_holds_numbers():
    record = examined(trained()).to_dict()
    table = {one["what"]: one for one in record["examined"]}
    assert len(table["latent variables in use"]["kl_per_dimension"]) == 4
    assert table["drift from the training rows"]["codes_p"] > 1e-3 and json.dumps(record)


@pytest.mark.parametrize(
    "advice",
    [
        "Begin with a small weight of the divergence, beta=Linear(steps=5000), or with free bits, free_bits=0.1.",
        'Lower the scale of the likelihood, or let it be learnt, scale="per_element".',
        "Lower the learning rate, to lr=0.00015 for a start.",
        "Train for longer, epochs=50.",
        "Lower the weight, to beta=1 for a bound of log p(x).",
        'Split by time, order="time".',
        "or climb a bound of several draws, objective=iwae.",
    ],
)
def test_advice_can_be_typed(advice, tmp_path):
    """Each option that a finding names is parsed by the command that it is for, and by its preset."""
    options = [word.rstrip(".,") for word in to_command_line(advice).split()]
    places = [place for place, word in enumerate(options) if word.startswith("--")]
    assert places
    small = ["--likelihood", "normal", "--hidden", "4", "--latent", "2", "--no-report", "--quiet"]
    for place in places:
        length = [] if options[place] == "--epochs" else ["--epochs", "1"]
        out = ["--out", str(tmp_path / f"run{place}")]
        assert (
            main(["fit", "digits", *small, *length, *out, options[place], options[place + 1]]) == 0
        )
