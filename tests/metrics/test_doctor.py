"""The doctor on deliberately broken models and on a healthy model."""

from __future__ import annotations

import copy
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
from aevb.data import Rows
from aevb.data._temporal_order import TemporalOrder, measure_temporal_order
from aevb.errors import ArgumentError, IncompatibleError
from aevb.metrics import CheckRegistration, DoctorThresholds, doctor
from aevb.metrics._doctor._data_checks import (
    kolmogorov_smirnov_distance,
    kolmogorov_smirnov_p_value,
)
from aevb.metrics._doctor._training_checks import largest_fall, largest_update
from aevb.notes import Argument, Part, PythonStyle
from aevb.training import adam


def temporal_order_of(rows: np.ndarray) -> TemporalOrder:
    report = measure_temporal_order(len(rows), lambda index: rows[index])
    assert report is not None
    return report


@functools.cache
def digits():
    return aevb.data.load("digits", likelihood="normal")


@functools.cache
def trained(preset: str = "vae", lr: float = 1.5e-3, **options):
    with seed_scope(0):
        recipe = aevb.presets.preset(preset, digits().spec, latent=4, hidden=(32,), **options)
    return aevb.fit(recipe, digits(), epochs=40, optimizer=adam(lr), progress=False)


def diagnose(result: aevb.FitResult, **options):
    return doctor(result.model, digits(), history=result.history, **options)


@functools.cache
def healthy():
    """A model of grey levels, trained close to convergence."""
    data = aevb.data.load("digits")
    with seed_scope(0):
        recipe = aevb.presets.preset("vae", data.spec, latent=8, hidden=(128,))
    return data, aevb.fit(recipe, data, epochs=60, optimizer=adam(2e-3), progress=False)


def test_healthy_model_has_no_findings():
    data, result = healthy()
    report = doctor(result.model, data, history=result.history)
    assert report.is_healthy and report.findings == ()
    assert len(report.checks) >= 10
    assert str(report).startswith("nothing found")


@pytest.mark.parametrize(
    "make, cause, change",
    [
        (lambda: trained("beta_vae", beta=30.0), "kl_weight_too_large", "beta=1"),
        (lambda: trained(scale=5.0), "decoder_scale_too_large", 'scale="per_element"'),
        (lambda: trained(lr=0.3), "learning_rate_too_high", "lr=0.03"),
    ],
    ids=["beta", "scale", "rate"],
)
def test_cause_is_reported_before_its_consequences(make, cause, change):
    report = diagnose(make())
    assert [finding.code for finding in report.findings] == [
        cause
    ]  # consequences are listed with their cause, not as separate findings
    assert change in str(report.findings[0].recommendation)


def test_held_out_rows_among_the_training_rows():
    data = digits()
    train = torch.cat([data.train.tensor(), data.test.tensor()])
    report = doctor(trained().model, data.test, train=train, history=trained().history)
    finding = {each.code: each for each in report.findings}["duplicates_across_split"]
    assert finding.observation.startswith("100.0% of the 180 rows")


def test_expected_duplicates_are_not_a_finding():
    """Rows of three bits: every held-out row is among the training rows, as it must be, since these
    repeat each other as often.
    """
    bits = (torch.rand(400, 3, generator=torch.Generator().manual_seed(0)) < 0.5).float()
    with seed_scope(0):
        model = aevb.VAE(
            priors.Normal(1),
            posteriors.Normal(networks.MLP(3, [4]), 1),
            likelihoods.Bernoulli(networks.MLP(1, [4]), (3,)),
        )
    report = doctor(model, bits[300:], train=bits[:300])
    assert "duplicates_across_split" not in [finding.code for finding in report.findings]


def test_shifted_digits_are_drift_and_the_same_digits_are_not():
    model, data = trained().model, digits()
    shifted = torch.roll(data.test.tensor(), 1, -1)
    assert "drift" in [
        finding.code for finding in doctor(model, shifted, train=data.train).findings
    ]
    assert "drift" not in [
        finding.code for finding in doctor(model, data.validation, train=data.train).findings
    ]


def test_random_split_of_video_frames_is_noted_on_load():
    film = np.random.default_rng(0).normal(size=(300, 5)).cumsum(0)
    assert any(note.code == "temporal_order" for note in aevb.data.load(film).spec.notes)
    assert not any(
        note.code == "temporal_order" for note in aevb.data.load(film, order="time").spec.notes
    )
    rows = np.random.default_rng(0).permutation(film)
    assert not any(note.code == "temporal_order" for note in aevb.data.load(rows).spec.notes)


def test_temporal_order_of_frey_faces_is_detected():
    """Video frames, loaded as a plain array and split at random."""
    try:
        faces = aevb.data.load("frey-faces")
    except aevb.errors.DataError:
        pytest.skip("the Frey faces are not at hand")
    frames = torch.cat(
        [faces.train.tensor(), faces.validation.tensor(), faces.test.tensor()]
    ).numpy()
    assert any(note.code == "temporal_order" for note in aevb.data.load(frames).spec.notes)


def test_sorted_rows_are_not_reported_as_temporal_order():
    """Flowers sorted by species, and rows sorted by a column.

    Adjacent rows are similar, but not more than rows further apart; the column by which the rows
    are sorted does not count.
    """
    flowers = pytest.importorskip("sklearn.datasets").load_iris().data
    column = np.random.default_rng(0).normal(size=(300, 2)) * [5.0, 1.0]
    assert temporal_order_of(flowers).von_neumann_ratio < 0.5
    for rows in (flowers, column[column[:, 0].argsort()]):
        report = temporal_order_of(rows)
        assert not report.is_ordered
        assert not any(note.code == "temporal_order" for note in aevb.data.load(rows).spec.notes)


def test_temporal_order_of_independent_rows_and_random_walk():
    """The ratio is 1 for independent rows (standard error 0.01 of 10,000 numbers) and the share 1/2
    (0.016 of 1,000); of a walk 0 and 1.
    """
    rows = np.random.default_rng(1).normal(size=(1001, 10))
    alone, walk = temporal_order_of(rows), temporal_order_of(rows.cumsum(0))
    assert (alone.von_neumann_ratio, alone.next_closer_fraction) == (
        pytest.approx(1.0, abs=0.05),
        pytest.approx(0.5, abs=0.08),
    )
    assert (walk.von_neumann_ratio, walk.next_closer_fraction) == (
        pytest.approx(0.0, abs=0.05),
        pytest.approx(1.0, abs=0.05),
    )
    assert measure_temporal_order(10, lambda index: rows[index]) is None


def test_added_noise_is_detected_as_drift_by_the_elbo():
    """Noise with half the pixel deviation: latents may look similar, but the ELBO differs."""
    model, data = trained().model, digits()
    noisy = data.test.tensor() + 2 * torch.randn(
        data.test.tensor().shape, generator=torch.Generator().manual_seed(0)
    )
    report = {
        finding.code: finding
        for finding in doctor(model, noisy, train=data.train, reference=data.validation).findings
    }
    assert "ELBO" in report["drift"].observation
    assert "drift" not in {
        finding.code
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
    for x in (0.05, distance, 0.3):  # scipy's limit distribution: the same series
        assert kolmogorov_smirnov_p_value(x, 300, 200) == pytest.approx(
            stats.kstwobign.sf(x * 120**0.5), abs=1e-12
        )


def test_drift_test_has_nominal_level():
    """Of 400 pairs of samples from one distribution about 5 % have p < 0.05.

    10 % would be more than 4 standard errors away.
    """
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


def test_doctor_accepts_autoencoders():
    with seed_scope(0):
        model = aevb.presets.autoencoder(digits().spec, latent=2, hidden=(8,)).model
    assert doctor(model, digits()).n_rows == 180


def test_per_row_parameters_are_refused_with_a_suggestion():
    with seed_scope(0):
        model = aevb.presets.svi(
            digits().spec, latent=2, hidden=(8,), rows=len(digits().train)
        ).model
    with pytest.raises(IncompatibleError, match="refine"):
        doctor(model, digits())


# cases without a finding


@functools.cache
def flowers(lr: float = 1.5e-3, beta: float = 1.0):
    """A small table, trained with one or two steps per epoch, so that its bound is noisy."""
    data = aevb.data.load(pytest.importorskip("sklearn.datasets").load_wine().data)
    with seed_scope(0):
        recipe = aevb.presets.preset("beta_vae", data.spec, latent=4, hidden=(32,), beta=beta)
    return data, aevb.fit(recipe, data, epochs=150, optimizer=adam(lr), progress=False)


@pytest.mark.parametrize("lr", [1.5e-3, 1.5e-4])
def test_noise_of_short_epochs_is_not_reported_as_decrease(lr):
    data, result = flowers(lr)
    assert "learning_rate_too_high" not in [
        finding.code for finding in doctor(result.model, data, history=result.history).findings
    ]


def test_large_steep_decrease_is_reported():
    noise = 0.3 * torch.randn(200, generator=torch.Generator().manual_seed(0))
    calm = (-10 + 9 * torch.linspace(0, 1, 200) + noise).tolist()
    assert largest_fall(calm)[1] < DoctorThresholds().fall_steepness
    lost, steep = largest_fall([*calm[:150], *(value - 30 for value in calm[150:])])
    assert lost > DoctorThresholds().fall_share and steep > DoctorThresholds().fall_steepness
    assert largest_fall([1.0, 0.0]) == (0.0, 0.0)


def test_loose_elbo_is_accepted_for_tighter_objectives():
    """Models trained on an importance-weighted bound have a loose ELBO by design.

    The doctor does not recommend a richer posterior.
    """
    with seed_scope(0):
        recipe = aevb.presets.iwae(digits().spec, latent=4, hidden=(32,), samples=20)
    result = aevb.fit(recipe, digits(), epochs=40, progress=False)
    assert "posterior_too_simple" not in [finding.code for finding in diagnose(result).findings]


def test_run_ended_before_its_schedules_is_reported():
    """The warm-up takes 3 of 6 epochs, and the run is stopped in the second."""
    with seed_scope(0):
        recipe = aevb.presets.preset(
            "vamp_vae", digits().spec, latent=4, hidden=(32,), components=10
        )
    stop = [lambda epoch, model: epoch.epoch == 2]
    result = aevb.fit(recipe, digits(), epochs=6, callbacks=stop, progress=False)
    report = diagnose(result)
    assert (
        report.findings[0].code == "schedules_unfinished"
        and not result.history[-1].schedules_finished
    )
    assert "latents_unlike_prior" not in [finding.code for finding in report.findings]


def test_very_short_run_is_reported():
    with seed_scope(0):
        recipe = aevb.presets.preset("vae", digits().spec, latent=4, hidden=(32,))
    report = diagnose(aevb.fit(recipe, digits(), epochs=6, progress=False))
    assert [finding.code for finding in report.findings] == ["baseline_better", "run_too_short"]
    assert "epochs=50" in str(report.findings[1].recommendation)


@pytest.mark.parametrize("seed", range(3))
def test_a_rate_far_too_high_is_named_where_the_bound_never_falls(seed):
    """A run of few steps that begins far below any model and only gains from there."""
    data = aevb.data.load(pytest.importorskip("sklearn.datasets").load_breast_cancer().data)
    with seed_scope(seed):
        recipe = aevb.presets.preset("vae", data.spec, latent=4, hidden=(32,))
    result = aevb.fit(recipe, data, epochs=4, optimizer=adam(1.0), seed=seed, progress=False)
    report = doctor(result.model, data, history=result.history)
    assert report.findings[0].code == "learning_rate_too_high"
    assert report.findings[0].recommendation.references["lr"].value == pytest.approx(0.1, rel=0.3)


@pytest.mark.parametrize("update, blamed", [(0.01, False), (0.3, True), (None, True)])
def test_dead_units_are_blamed_on_the_rate_only_where_updates_were_not_small(update, blamed):
    """All hidden units of the decoder are dead; the bound rises, and no step was skipped."""
    model = copy.deepcopy(trained().model)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.shape == (32,):  # the biases of hidden units
                parameter.fill_(-1e3)
    history = [replace(epoch, relative_update=update) for epoch in trained().history]
    codes = [each.code for each in doctor(model, digits(), history=history).findings]
    assert ("learning_rate_too_high" in codes) == blamed


def test_updates_are_judged_by_the_number_of_steps():
    """Weights that move at random: twice the change in four times the steps is no worse."""
    epochs = [
        replace(trained().history[0], step=step, relative_update=change)
        for step, change in ((100, 4.0), (500, 8.0), (510, 3.0))
    ]
    assert largest_update(epochs) == (3.0, 10)
    assert largest_update([replace(epoch, relative_update=None) for epoch in epochs])[0] == 0
    assert largest_update([]) == (0.0, 1)


# data


def test_excess_duplicates_are_reported_in_repetitive_data():
    """A third of the training rows are copies of each other.

    All of the others are among them, where a third would be by chance.
    """
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(300, 3, generator=generator)
    train = torch.cat([rows, rows[:75]])
    model = tiny(3)
    names = {
        kind: [finding.code for finding in doctor(model, part, train=train).findings]
        for kind, part in (
            ("copied", rows[100:200]),
            ("alone", torch.randn(100, 3, generator=generator)),
        )
    }
    assert (
        "duplicates_across_split" in names["copied"]
        and "duplicates_across_split" not in names["alone"]
    )


def test_drift_names_the_column():
    frame = pytest.importorskip("pandas").DataFrame(
        np.random.default_rng(0).normal(size=(400, 3)), columns=["age", "height", "weight"]
    )
    data = aevb.data.load(frame)
    moved = data.test.tensor().clone()
    moved[:, 1] += 2 * data.train.tensor()[:, 1].std()
    report = doctor(tiny(3), replace(data, test=Rows.from_array(moved)))
    assert (
        "values of height are not distributed"
        in {f.code: f for f in report.findings}["drift"].observation
    )


def test_random_split_of_a_time_series_is_detected_in_shuffled_rows():
    film = np.random.default_rng(0).normal(size=(300, 5)).cumsum(0)
    torn, kept = aevb.data.load(film), aevb.data.load(film, order="time")
    assert "temporal_order_split_at_random" in [
        finding.code for finding in doctor(tiny(5), torn).findings
    ]
    report = {finding.code: finding for finding in doctor(tiny(5), kept).findings}
    assert "order=" not in str(report["rows_in_order_of_time"].recommendation)


def test_drift_suppresses_findings_about_the_model():
    data, result = healthy()
    report = doctor(
        result.model,
        torch.roll(data.test.tensor(), 1, -1),
        train=data.train,
        history=result.history,
    )
    assert [finding.code for finding in report.findings] == ["drift"]
    assert any(check.caused_by == report.findings[0] for check in report.checks)


# doors


def tiny(size: int) -> aevb.VAE:
    with seed_scope(0):
        return aevb.VAE(
            priors.Normal(1),
            posteriors.Normal(networks.MLP(size), 1),
            likelihoods.Normal(networks.MLP(1), (size,)),
        )


def test_non_finite_weights_are_the_only_finding():
    model = tiny(3)
    with torch.no_grad():
        next(model.likelihood.parameters()).fill_(float("nan"))
    (finding,) = doctor(model, torch.randn(50, 3)).findings
    assert finding.code == "weights_not_finite" and "likelihood" in finding.observation


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_few_evaluation_rows_are_the_only_finding(rows):
    data, result = healthy()
    report = doctor(result.model, data.test[:rows], train=data.train, history=result.history)
    assert report.n_rows == rows
    assert [finding.code for finding in report.findings] == ["too_few_rows"]


def test_invalid_model_and_history_are_refused():
    with pytest.raises(ArgumentError, match=r"`model` is a FitResult. Pass the model itself"):
        doctor(trained(), digits())
    with pytest.raises(ArgumentError, match=r"`history` is a FitResult. Pass the epochs"):
        doctor(trained().model, digits(), history=trained())
    assert doctor(trained().model, digits(), history=None).n_rows == 180


def test_json_record_contains_numbers():
    record = diagnose(trained()).to_dict()
    table = {check["name"]: check for check in record["checks"]}
    assert len(table["latent variables in use"]["kl_per_dimension"]) == 4
    assert table["drift from the training rows"]["latents_p"] > 1e-3 and json.dumps(record)


def test_causes_are_checked_before_their_consequences():
    """A finding explains only later findings: every cause is the code of an earlier check."""
    checks = sorted(CheckRegistration.all().values(), key=lambda check: check.order)
    assert len({check.order for check in checks}) == len(checks) == 22
    position = {check.name: number for number, check in enumerate(checks)}
    owner = {
        "drift": "distribution_drift",
        "schedules_unfinished": "unfinished_schedules",
        "run_too_short": "run_length",
        "learning_rate_too_high": "learning_rate",
        "kl_weight_too_large": "kl_weight",
        "decoder_scale_too_large": "decoder_scale",
        "training_rows_memorised": "overfitting",
        "repeated_rows": "duplicate_rows",
        "density_unbounded": "unbounded_density",
    }
    for check in checks:
        for code in check.causes:
            assert position[owner[code]] < position[check.name], (check.name, code)


def test_thresholds_decide_what_is_a_finding():
    data, result = healthy()
    strict = DoctorThresholds(late_gain_share=0.0, late_gain_nats=0.0)
    report = doctor(result.model, data, history=result.history, thresholds=strict)
    assert [finding.code for finding in report.findings] == ["run_too_short"]
    few = doctor(result.model, data, thresholds=DoctorThresholds(max_rows=50))
    assert few.n_rows == 50


class Recorder(PythonStyle):
    """Python's style, which keeps every argument that it renders."""

    def __init__(self) -> None:
        self.arguments: list[Argument] = []

    def argument(self, argument: Argument) -> str:
        self.arguments.append(argument)
        return super().argument(argument)


@pytest.mark.parametrize(
    "make, argument",
    [
        (lambda: trained("beta_vae", beta=30.0), Argument("beta", 1)),
        (lambda: trained(scale=5.0), Argument("scale", "per_element")),
        (lambda: trained(lr=0.3), Argument("lr", 0.03)),
    ],
    ids=["beta", "scale", "rate"],
)
def test_recommendations_hold_the_argument_to_change(make, argument):
    style = Recorder()
    (finding,) = diagnose(make()).findings
    text = finding.render(style)
    assert style.arguments == [argument]
    assert text.startswith(f"{finding.title}: ") and finding.to_dict()["recommendation"] in text


@pytest.mark.parametrize(
    "argument",
    [
        Argument("beta", Part("Linear", {"steps": 5000})),
        Argument("free_bits", 0.1),
        Argument("scale", "per_element"),
        Argument("lr", 0.00015),
        Argument("epochs", 50),
        Argument("order", "time"),
        Argument("objective", "iwae"),
        Argument("preset", "vamp_vae"),
    ],
    ids=lambda argument: argument.name,
)
def test_recommendations_can_be_typed(argument, tmp_path):
    """Each option that a finding names is parsed by the command and by its preset."""
    style = pytest.importorskip("aevb.cli._style").STYLE
    small = ["--likelihood", "normal", "--hidden", "4", "--latent", "2", "--no-report", "--quiet"]
    epochs = [] if argument.name == "epochs" else ["--epochs", "1"]
    options = style.argument(argument).split()
    assert options[0].startswith("--")
    assert main(["fit", "digits", *small, *epochs, "--out", str(tmp_path / "run"), *options]) == 0
