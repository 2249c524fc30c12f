"""The doctor on models made sick on purpose, and on a healthy one."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch

import aevb
from aevb import likelihoods, networks, posteriors, priors
from aevb.data.order import Succession, succession
from aevb.errors import IncompatibleError
from aevb.metrics import doctor
from aevb.metrics.health.data_checks import kolmogorov, kolmogorov_p
from aevb.random import seeded
from aevb.training import adam


def steps_of(rows: np.ndarray) -> Succession:
    found = succession(len(rows), lambda index: rows[index])
    assert found is not None
    return found


@functools.cache
def digits():
    return aevb.data.load("digits", likelihood="normal")


@functools.cache
def trained(preset: str = "vae", lr: float = 1.5e-3, **options):
    with seeded(0):
        recipe = aevb.presets.preset(preset, digits().spec, latent=4, hidden=(32,), **options)
    return aevb.fit(recipe, digits(), epochs=40, optimizer=adam(lr), progress=False)


def examined(result: aevb.FitResult, **options):
    return doctor(result.model, digits(), history=result.history, **options)


def test_nothing_is_found_on_a_healthy_model():
    found = examined(trained())
    assert found.healthy and found.findings == ()
    assert len(found.examined) >= 10
    assert str(found).startswith("nothing found")


@pytest.mark.parametrize(
    "make, cause, change",
    [
        (lambda: trained("beta_vae", beta=30.0), "The divergence weighs too much", "beta=1"),
        (lambda: trained(scale=5.0), "The decoder's scale is too large", 'scale="shared"'),
        (lambda: trained(lr=0.3), "The learning rate is too high", "lr=0.03"),
    ],
    ids=["beta", "scale", "rate"],
)
def test_the_cause_comes_first(make, cause, change):
    first = examined(make()).findings[0]
    assert first.name == cause
    assert change in first.change


def test_held_out_rows_among_the_training_rows():
    data = digits()
    train = torch.cat([data.train.tensor(), data.test.tensor()])
    found = doctor(trained().model, data.test, train=train, history=trained().history)
    assert found.findings[0].name == "Rows on both sides of the split"
    assert found.findings[0].measured.startswith("100.0% of the 180 rows")


def test_copies_among_data_that_repeat_themselves_are_no_finding():
    """Rows of three bits: every held-out row is among the training rows, as it must be, since these repeat each other as often."""
    bits = (torch.rand(400, 3, generator=torch.Generator().manual_seed(0)) < 0.5).float()
    with seeded(0):
        model = aevb.VAE(priors.Normal(1), posteriors.Normal(networks.MLP(3, [4]), 1), likelihoods.Bernoulli(networks.MLP(1, [4]), (3,)))
    found = doctor(model, bits[300:], train=bits[:300])
    assert "Rows on both sides of the split" not in [finding.name for finding in found.findings]


def test_shifted_digits_are_drift_and_the_same_digits_are_not():
    model, data = trained().model, digits()
    shifted = torch.roll(data.test.tensor(), 1, -1)
    assert "Drift" in [finding.name for finding in doctor(model, shifted, train=data.train).findings]
    assert "Drift" not in [finding.name for finding in doctor(model, data.validation, train=data.train).findings]


def test_frames_of_a_film_split_at_random_are_said_at_the_door():
    film = np.random.default_rng(0).normal(size=(300, 5)).cumsum(0)
    assert any("follow one another" in sentence for sentence in aevb.data.load(film).spec.said)
    assert not any("follow one another" in sentence for sentence in aevb.data.load(film, order="time").spec.said)
    rows = np.random.default_rng(0).permutation(film)
    assert not any("follow one another" in sentence for sentence in aevb.data.load(rows).spec.said)


def test_frey_faces_are_a_film():
    """As an array, of which nobody said that it is a film; split at random."""
    try:
        faces = aevb.data.load("frey-faces")
    except aevb.errors.DataError:
        pytest.skip("the Frey faces are not at hand")
    frames = torch.cat([faces.train.tensor(), faces.validation.tensor(), faces.test.tensor()]).numpy()
    assert any("follow one another" in sentence for sentence in aevb.data.load(frames).spec.said)


def test_rows_that_are_sorted_are_not_taken_for_a_film():
    """Flowers in order of their species, and rows in order of a column: neighbours are alike, and no more so than rows further apart."""
    flowers = pytest.importorskip("sklearn.datasets").load_iris().data
    column = np.random.default_rng(0).normal(size=(300, 2)) * [5.0, 1.0]
    for rows in (flowers, column[column[:, 0].argsort()]):
        found = steps_of(rows)
        assert found.near < 0.5
        assert not found.timely
        assert not any("follow one another" in sentence for sentence in aevb.data.load(rows).spec.said)


def test_succession_of_independent_rows_and_of_a_walk():
    """The ratio is 1 for independent rows (standard error 0.01 of 10,000 numbers) and the share 1/2 (0.016 of 1,000); of a walk 0 and 1."""
    rows = np.random.default_rng(1).normal(size=(1001, 10))
    alone, walk = steps_of(rows), steps_of(rows.cumsum(0))
    assert (alone.near, alone.nearer) == (pytest.approx(1.0, abs=0.05), pytest.approx(0.5, abs=0.08))
    assert (walk.near, walk.nearer) == (pytest.approx(0.0, abs=0.05), pytest.approx(1.0, abs=0.05))
    assert succession(10, lambda index: rows[index]) is None


def test_rows_with_noise_are_drift_by_their_density_too():
    """Noise of half a deviation of the pixels: codes may look alike, the ELBO does not."""
    model, data = trained().model, digits()
    noisy = data.test.tensor() + 2 * torch.randn(data.test.tensor().shape, generator=torch.Generator().manual_seed(0))
    found = {finding.name: finding for finding in doctor(model, noisy, train=data.train).findings}
    assert "ELBO" in found["Drift"].measured


def test_kolmogorov_smirnov_against_scipy():
    stats = pytest.importorskip("scipy.stats")
    a, b = torch.randn(300, generator=torch.Generator().manual_seed(0)), torch.randn(200, generator=torch.Generator().manual_seed(1)) + 0.1
    distance = stats.ks_2samp(a.numpy(), b.numpy(), method="asymp").statistic
    assert kolmogorov(a, b) == pytest.approx(distance, abs=1e-12)
    for one in (0.05, distance, 0.3):  # scipy's limit distribution: the same series
        assert kolmogorov_p(one, 300, 200) == pytest.approx(stats.kstwobign.sf(one * 120**0.5), abs=1e-12)


def test_the_drift_test_keeps_its_level():
    """Of 400 pairs of samples from one distribution about 5 % have p < 0.05; 10 % would be more than 4 standard errors away."""
    generator = torch.Generator().manual_seed(0)
    pairs = [(torch.randn(200, generator=generator), torch.randn(300, generator=generator)) for _ in range(400)]
    rejected = np.mean([kolmogorov_p(kolmogorov(a, b), 200, 300) < 0.05 for a, b in pairs])
    assert 0.01 < rejected < 0.1


def test_an_autoencoder_is_examined_too():
    with seeded(0):
        model = aevb.presets.autoencoder(digits().spec, latent=2, hidden=(8,)).model
    assert doctor(model, digits()).rows == 180


def test_parameters_per_datum_are_refused_with_what_to_do():
    with seeded(0):
        model = aevb.presets.svi(digits().spec, latent=2, hidden=(8,), rows=len(digits().train)).model
    with pytest.raises(IncompatibleError, match="refine"):
        doctor(model, digits())
