"""Tuning: candidates trained side by side, and a choice by validation rows."""

from dataclasses import fields, replace

import pytest
import torch
from tests.refusals import refused

import aevb
from aevb import metrics
from aevb.errors import ArgumentError, DataError, IncompatibleError, RunError
from aevb.runs import DataSettings, ModelSettings, Run, RunSettings, TrainingSettings, _tune, tune
from aevb.runs._candidates import CANDIDATES, DEFAULT, candidates_for
from aevb.runs._set_values import parse_set_value

QUICK = TrainingSettings(epochs=4, batch_size=32)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "mixed.csv"
    generator = torch.Generator().manual_seed(0)
    kind = torch.randint(3, (400,), generator=generator)
    number = kind + torch.randn(400, generator=generator)
    lines = [f"{x:.6f},{'abc'[k]}" for x, k in zip(number.tolist(), kind.tolist(), strict=True)]
    path.write_text("\n".join(["number,kind", *lines]) + "\n")
    return str(path)


@pytest.fixture(scope="module")
def settings(source):
    model = ModelSettings(hidden=(8,), set=("linear=False",))
    return RunSettings(source, DataSettings(split=(0.6, 0.2, 0.2)), model, QUICK)


@pytest.fixture(scope="module")
def run(settings, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "tuned"
    return tune(settings, candidates=3, out=out, progress=False)


def test_the_best_candidate_is_trained_in_full(run, settings):
    tuning = run.tuning
    assert len(tuning.candidates) == 3 and tuning.n_rows == 80 and tuning.candidates[0].chosen
    assert sum(each.chosen for each in tuning.candidates) == 1
    last = [each for each in tuning.candidates if each.steps == run.history[-1].step]
    assert len(last) in (1, 2) and max(each.bound for each in last) == tuning.chosen.bound
    assert "default" in [each.name for each in last]
    for name, value in tuning.chosen.changes.items():
        record = run.settings.model if hasattr(run.settings.model, name) else run.settings.training
        assert getattr(record, name) == (tuple(value) if isinstance(value, list) else value)
    assert run.settings.training.epochs == settings.training.epochs


def test_the_bound_is_that_of_the_validation_rows_with_common_noise(run):
    found = metrics.log_likelihood(run.model, run.data().validation, run.tuning.samples, seed=0)
    # the refit takes the steps of the stack, to rounding
    assert run.tuning.chosen.bound == pytest.approx(found.mean, abs=0.01)
    default = next(each for each in run.tuning.candidates if each.name == "default")
    if not default.chosen:
        assert default.difference == pytest.approx(default.bound - run.tuning.chosen.bound)
        assert default.difference_error < default.standard_error  # paired over rows


def test_the_record_is_kept_in_the_folder(run):
    assert Run.open(run.path).tuning == run.tuning
    assert RunSettings.read(run.path).model == run.settings.model
    damaged = replace(run, training={"tuning": {"candidates": 3}})
    with pytest.raises(RunError):
        _ = damaged.tuning


def test_the_choice_depends_on_the_seed_alone(run, settings):
    found = _tune.search(settings, run.data(), candidates=3, progress=False)

    def without_seconds(tuning):
        return [replace(each, seconds=0.0) for each in tuning.candidates]

    assert without_seconds(found.tuning) == without_seconds(run.tuning)


def test_no_candidate_sees_the_test_rows(settings):
    loaded = settings.load_data()
    nan = loaded.test.subset(slice(0))
    found = _tune.search(settings, replace(loaded, test=nan), candidates=2, progress=False)
    assert found.tuning.n_rows == 80


def test_what_the_user_sets_is_not_varied(source):
    model = ModelSettings(hidden=(8,), latent=2, prior="normal")
    own = RunSettings(source, model=model, training=TrainingSettings(lr=1e-3))
    data = own.load_data()
    found = candidates_for(own, data.spec, len(data.train), 16)
    assert {each.model.latent for _, each, _ in found} == {2}
    assert {each.model.hidden for _, each, _ in found} == {(8,)}
    assert {each.model.prior for _, each, _ in found} == {"normal"}
    assert {each.training.lr for _, each, _ in found} == {1e-3}


@pytest.mark.parametrize("kind", CANDIDATES)
def test_candidates_name_settings(kind):
    names = {each.name for each in (*fields(ModelSettings), *fields(TrainingSettings))}
    listed = CANDIDATES[kind]
    assert listed[0] is DEFAULT and 8 <= len(listed) <= 16
    for each in listed:
        assert {*each.model, *each.training} <= names
        for text in each.model.get("set", ()):
            parse_set_value(text)


def test_an_interrupted_search_keeps_the_best_so_far(settings, tmp_path, monkeypatch):
    calls = []

    def interrupted(models, *args, **options):
        calls.append(len(models))
        results = aevb.fit_many(models, *args, **options)
        return [replace(each, stop_reason="interrupted", signal=2) for each in results]

    monkeypatch.setattr(_tune, "fit_many", interrupted)
    run = tune(settings, candidates=2, out=tmp_path / "run", progress=False)
    assert len(calls) == 1  # the others are not begun
    assert run.result is not None and run.result.stop_reason == "interrupted"
    opened = Run.open(run.path)
    assert opened.status.state == "interrupted" and opened.tuning == run.tuning
    assert torch.isfinite(opened.log_likelihood(samples=10).per_datum).all()
    resumed = opened.settings.fit(run.path, resume=True, progress=False)
    assert resumed.tuning == run.tuning and resumed.result.stop_reason == "epochs"


def test_an_ensemble_of_the_best_candidate(settings):
    own = replace(settings, model=replace(settings.model, ensemble=2))
    run = tune(own, candidates=2, progress=False)
    assert run.capabilities.members == 2 and run.tuning is not None


def test_a_time_too_short_for_one_candidate_is_refused(settings):
    with refused(ArgumentError, "minutes", "1e-05") as caught:
        tune(settings, minutes=1e-5, progress=False)
    assert caught.value.suggestions


def test_time_limits_the_search_and_the_training(settings, monkeypatch):
    monkeypatch.setattr(_tune, "_seconds_per_step", lambda *arguments: 0.01)
    long = replace(settings, training=replace(QUICK, epochs=1000, minutes=2.0))
    data = long.load_data()
    steps = len(data.train) // 32
    plan = _tune._Plan((250, 1000), 8)
    timed = _tune._plan_time(None, data, plan, steps, 2.0, 1, None)
    assert timed.candidates == 8 and timed.refit_minutes == pytest.approx(1.0)
    work = sum(
        epochs * steps * 0.01 * count for epochs, count in zip(timed.epochs, (8, 3), strict=True)
    )
    assert work <= 60  # seconds: half of the time
    few = _tune._plan_time(None, data, plan, steps, 0.1, 1, None)
    assert 2 <= few.candidates < 8 and len(few.epochs) == 1


@pytest.mark.parametrize("candidates", [1, 0, 2.5, True])
def test_impossible_numbers_are_refused_before_data_are_read(candidates):
    with refused(ArgumentError, "candidates"):
        tune("no such file", candidates=candidates)
    with refused(ArgumentError, "minutes"):
        tune("no such file", minutes=0)


def test_what_cannot_be_compared_is_refused(source, settings, tmp_path):
    with refused(IncompatibleError, "tune"):
        tune(RunSettings("digits", model=ModelSettings(preset="autoencoder")), progress=False)
    few = replace(settings, data=DataSettings(split=(0.97, 0.01, 0.02)))
    with refused(DataError, "tune", "10"):
        tune(few, progress=False)
    private = replace(settings, training=replace(QUICK, epsilon=1.0))
    with refused(ArgumentError, "tune"):
        tune(private)
    (tmp_path / "model.json").write_text("{}")
    with refused(RunError, "out"):
        tune(settings, out=tmp_path)
