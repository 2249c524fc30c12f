"""What a run resolves before its first step, and a run with many settings by recorded numbers."""

import math
import time
from types import SimpleNamespace

import pytest
import torch

import aevb
from aevb import VAE, Recipe, gradients, likelihoods, networks, objectives, posteriors, priors
from aevb._random import seed_scope
from aevb._recipe import TrainingDefaults
from aevb.data import Rows
from aevb.errors import DataError, IncompatibleError
from aevb.training import WarmupCosine, adam
from aevb.training._checkpoint import RunProgress
from aevb.training._trainer import (
    SINGLE_THREAD_MULTIPLICATIONS,
    Trainer,
    has_small_steps,
    resolve_epochs,
    resolve_recipe,
    resolve_validation_rows,
)

CPU = torch.device("cpu")
X = torch.randn(43, 3, generator=torch.Generator().manual_seed(0)) @ torch.diag(
    torch.tensor([0.5, 1.0, 2.0])
)


def tiny(seed: int = 0, posterior=posteriors.Normal) -> VAE:
    with seed_scope(seed):
        return VAE(
            priors.Normal(2),
            posterior(networks.MLP(3, [4]), 2),
            likelihoods.Normal(networks.MLP(2, [4]), [3]),
        ).double()


@pytest.mark.parametrize(
    "epochs, minutes, steps, expected",
    [
        (7, None, 3, 7),
        (7, 2.0, 3, 7),
        (None, 2.0, 3, math.inf),
        (None, None, None, 10),
        (None, None, 1, 500),
        (None, None, 20, 500),
        (None, None, 21, 476),
        (None, None, 499, 20),
        (None, None, 501, 20),
        (None, None, 476, 21),
        (None, None, 20_000, 20),
    ],
)
def test_about_ten_thousand_steps_between_20_and_500_epochs(epochs, minutes, steps, expected):
    assert resolve_epochs(epochs, minutes, steps, TrainingDefaults()) == expected


def test_threads_pay_from_a_number_of_multiplications():
    model = tiny()
    count = sum(parameter.numel() for parameter in model.parameters())
    samples = 3
    size = SINGLE_THREAD_MULTIPLICATIONS // (count * samples)
    assert has_small_steps(model, size, samples)
    assert not has_small_steps(model, size + 1, samples)
    assert has_small_steps(model, None, samples)  # counted as one row
    assert not has_small_steps(model, None, SINGLE_THREAD_MULTIPLICATIONS)


def test_parts_that_are_not_given_have_defaults():
    model, objective, gradient = tiny(), objectives.IWAE(2), gradients.LeaveOneOut()
    plain = resolve_recipe(model, None, None)
    assert plain.model is model
    assert type(plain.objective) is objectives.ELBO and type(plain.gradient) is gradients.Pathwise
    dirac = resolve_recipe(tiny(posterior=posteriors.Dirac), None, None)
    assert type(dirac.objective) is objectives.Reconstruction
    own = Recipe(model, objective, gradient)
    assert resolve_recipe(own, None, None) == own
    other = resolve_recipe(own, objectives.ELBO(), gradients.Pathwise())
    assert type(other.objective) is objectives.ELBO and type(other.gradient) is gradients.Pathwise
    assert resolve_recipe(model, objective, gradient) == own


def test_rows_that_choose_the_weights():
    model, data = tiny(), aevb.data.load(X.numpy())
    assert resolve_validation_rows(model, X, None, CPU) is None
    from_data = resolve_validation_rows(model, data, None, CPU)
    assert torch.equal(from_data.tensor(), data.validation.tensor())
    assert torch.equal(resolve_validation_rows(model, data, X[:4], CPU).tensor(), X[:4])
    assert torch.equal(resolve_validation_rows(model, X, X[4:9], CPU).tensor(), X[4:9])
    with pytest.raises(DataError) as caught:
        resolve_validation_rows(model, X, X[:0], CPU)
    assert caught.value.argument == "validation"


def test_a_posterior_with_parameters_per_row_has_no_other_rows():
    rows = posteriors.NonAmortised(posteriors.Normal(networks.MLP(3, [4]), 2), n_rows=43)
    model = VAE(priors.Normal(2), rows, likelihoods.Normal(networks.MLP(2, [4]), [3]))
    data = aevb.data.load(X.numpy())
    assert resolve_validation_rows(model, data, None, CPU) is None
    assert resolve_validation_rows(model, X, None, CPU) is None
    with pytest.raises(IncompatibleError) as caught:
        resolve_validation_rows(model, data, X[:4], CPU)
    assert caught.value.argument == "validation"


def trainer(data=X, **settings) -> Trainer:
    config = aevb.training.TrainingConfig(**{"batch_size": 8, "epochs": 6} | settings)
    recipe = resolve_recipe(tiny(), None, None)
    return Trainer(recipe, data, config, adam(), None, CPU, None, {})


@pytest.mark.parametrize(
    "patience, minutes, without, seconds, reason",
    [
        (None, None, 99, 1e9, "epochs"),
        (3, None, 2, 1e9, "epochs"),
        (3, None, 3, 0.0, "patience"),
        (3, None, 4, 0.0, "patience"),
        (None, 2.0, 99, 120.0, "epochs"),
        (None, 2.0, 99, 121.0, "minutes"),
        (3, 2.0, 3, 121.0, "patience"),
        (3, 2.0, 2, 121.0, "minutes"),
    ],
)
def test_a_resumed_run_may_be_finished(patience, minutes, without, seconds, reason):
    resumed = trainer(patience=patience, minutes=minutes)
    resumed.run.progress = RunProgress(epoch=6, epochs_without_improvement=without, seconds=seconds)
    result = resumed.fit(resume=False, overwrite=False, callbacks=(), progress=False)
    assert (result.stop_reason, result.history) == (reason, ())


def test_compilation_is_planned_by_steps_and_not_by_the_clock(monkeypatch):
    seen = []

    class Compiler:
        enabled, notes = False, ()

        def __init__(self, option, steps, skip_guards=False):
            seen.append((option, steps, skip_guards))

        def __call__(self, function):
            return function

    monkeypatch.setattr("aevb.training._trainer.StepCompiler", Compiler)
    trainer()
    trainer(minutes=1.0, compile=False)
    trainer([X[:8]], compile=True)
    assert seen == [("auto", 30, True), (False, 0, True), (True, 0, False)]


def test_callbacks_patience_and_the_end_of_the_data_end_a_run():
    run = {"batch_size": 8, "epochs": 6, "progress": False, "validation": X[:6]}
    seen = []

    def stop(epoch, model):
        seen.append((epoch.epoch, epoch.step, model.training))
        return epoch.epoch == 2

    result = aevb.fit(tiny(), X, callbacks=[stop, lambda *anything: None], **run)
    assert (result.stop_reason, len(result.history)) == ("callback", 2)
    assert [each[:2] for each in seen] == [(1, 5), (2, 10)]
    assert not result.model.training and result.signal is None and result.out is None
    frozen = {"lr_schedule": lambda step, total: 0.0, "patience": 2}
    result = aevb.fit(tiny(), X, **run | frozen)
    assert (result.stop_reason, result.best_epoch, len(result.history)) == ("patience", 1, 3)
    # a callback comes before patience
    result = aevb.fit(tiny(), X, callbacks=[lambda epoch, model: epoch.epoch == 3], **run | frozen)
    assert (result.stop_reason, len(result.history)) == ("callback", 3)
    result = aevb.fit(tiny(), iter([X[:8], X[8:16]]), **run)
    assert (result.stop_reason, len(result.history), result.history[0].step) == ("data", 1, 2)


def test_seconds_and_time_limit(monkeypatch):
    """A clock of one second per reading: the run ends with the first epoch."""
    clock = iter(range(10_000))
    monkeypatch.setattr("aevb._loop.time", SimpleNamespace(monotonic=lambda: float(next(clock))))
    result = aevb.fit(tiny(), X, batch_size=8, minutes=3.5 / 60, progress=False)
    assert result.stop_reason == "minutes" and len(result.history) == 1
    assert result.history[0].step == 4  # the first beyond 3.5 s
    assert result.history[0].seconds == 5.0


def unusual(**options) -> aevb.FitResult:
    """A schedule, accumulation, clipping, EMA, patience and a left-over row."""
    objective = objectives.ELBO(beta=objectives.Linear(0.25, 1.5, steps=7))
    settings = {
        "epochs": 4,
        "batch_size": 10,
        "micro_batches": 2,
        "clip_norm": 2.0,
        "ema": 0.8,
        "patience": 3,
        "seed": 11,
        "validation": X[:7],
        "lr_schedule": WarmupCosine(3, 0.1),
        "optimizer": adam(0.02, (0.8, 0.9), 1e-3),
        "progress": False,
    }
    return aevb.fit(tiny(2), X, objective=objective, **settings | options)


def test_a_run_with_many_settings_has_its_recorded_numbers():
    """Recorded from this run in double precision; the rates and betas follow by formula."""
    result = unusual()
    history = result.history
    assert [epoch.step for epoch in history] == [4, 8, 12, 16]
    schedule = WarmupCosine(3, 0.1)
    rates = [0.02 * schedule(4 * i + 3, 16) for i in range(4)]
    assert [epoch.learning_rate for epoch in history] == pytest.approx(rates, rel=1e-12)
    betas = [0.25 + 1.25 * min((4 * i + 3) / 7, 1) for i in range(4)]
    assert [epoch.beta for epoch in history] == pytest.approx(betas, rel=1e-6)
    assert [epoch.schedules_finished for epoch in history] == [False, True, True, True]
    norm = math.sqrt(sum(p.square().sum().item() for p in result.model.parameters()))
    found = [*(epoch.bound for epoch in history), *(epoch.validation for epoch in history), norm]
    assert found == pytest.approx(RECORDED, rel=1e-5)


RECORDED = [
    *(-8.631807, -6.066918, -5.850425, -5.762680),
    *(-6.143999, -5.264478, -5.045263, -4.986687),
    3.351760,
]


def test_clock_is_that_of_the_run():
    start = time.monotonic()
    result = unusual(epochs=1)
    assert 0 < result.history[0].seconds <= time.monotonic() - start


def test_rows_are_moved_once():
    rows = Rows.from_array(X)
    assert trainer(rows).source.rows.stored_values is rows.stored_values
