"""Stacked models have separate steps, draws, learning rates, skipped steps and stopping."""

import os
import signal
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import RMSprop

import aevb
from aevb import gradients, likelihoods, networks, objectives, posteriors, priors
from aevb._random import seed_scope
from aevb.data import Rows
from aevb.errors import ArgumentError, IncompatibleError, RunError
from aevb.training import adam

DATA = torch.randn(64, 6, generator=torch.Generator().manual_seed(0)) @ torch.diag(
    torch.linspace(0.2, 2.0, 6)
)
HELD_OUT = torch.randn(40, 6, generator=torch.Generator().manual_seed(1))
# Five epochs of 4 steps. Rounding differs by 1e-5 of a nat at most.
STEPS = {"epochs": 5, "batch_size": 16, "validation": HELD_OUT, "progress": False}
SAME = 1e-5


def tiny(seed: int = 0, latent: int = 2, network: nn.Module | None = None) -> aevb.VAE:
    with seed_scope(seed):
        encoder = networks.MLP(6, [8]) if network is None else network
        return aevb.VAE(
            priors.Normal(latent),
            posteriors.Normal(encoder, latent),
            likelihoods.Normal(networks.MLP(latent, [8]), [6], "per_element"),
        )


def dropping() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Dropout(0.5))


def alone(model, objective, gradient, rate, seed, data=DATA, **options) -> aevb.FitResult:
    options = STEPS | options
    return aevb.fit(
        model,
        data,
        objective=objective,
        gradient=gradient,
        optimizer=adam(rate),
        seed=seed,
        **options,
    )


def test_relative_updates_are_those_of_single_runs():
    """The change of all weights in each epoch, measured from outside, and in a stack."""
    model, before, expected = tiny(), [], []

    def measure(epoch: aevb.training.Epoch, trained: aevb.VAE) -> None:
        now = nn.utils.parameters_to_vector(trained.parameters()).detach().clone()
        expected.append(((now - before[-1]).norm() / before[-1].norm()).item())
        before.append(now)

    before.append(nn.utils.parameters_to_vector(model.parameters()).detach().clone())
    single = alone(model, None, None, 1e-2, 0, callbacks=[measure])
    found = [epoch.relative_update for epoch in single.history]
    assert found == pytest.approx(expected, rel=1e-5)  # rounding of float32 sums
    models = [tiny(), tiny(1)]
    stack = aevb.fit_many(models, DATA, optimizer=adam(1e-2), seed=[0, 1], **STEPS)
    assert together(stack[0])
    updates = [epoch.relative_update for epoch in stack[0].history]
    assert updates == pytest.approx(found, rel=1e-3)  # five epochs of rounding
    assert [epoch.relative_update for epoch in stack[1].history] != updates


def together(result: aevb.FitResult) -> bool:
    return any(note.code == "stacked" for note in result.notes)


def numbers(result: aevb.FitResult) -> np.ndarray:
    kept = (
        "bound",
        "log_likelihood",
        "kl",
        "target",
        "validation",
        "validation_kl",
        "learning_rate",
    )
    return np.array([[getattr(epoch, name) for name in kept] for epoch in result.history])


METHODS = {
    "elbo": (lambda i: objectives.ELBO(beta=(0.5, 1.0, 4.0)[i]), gradients.Pathwise),
    "warmed up": (
        lambda i: objectives.ELBO(beta=objectives.Linear(steps=5 * i + 3)),
        gradients.Pathwise,
    ),
    "dreg": (lambda i: objectives.IWAE(3), gradients.DoublyReparameterised),
    "rloo": (lambda i: objectives.ELBO(samples=3), gradients.LeaveOneOut),
}


@pytest.mark.parametrize("method", METHODS)
def test_first_twenty_stacked_steps_equal_separate_training(method):
    objective, gradient = METHODS[method]
    rates, seeds = (1e-2, 3e-3, 1e-3), (5, 6, 7)
    separate_results = [
        alone(tiny(i), objective(i), gradient(), rates[i], seeds[i]) for i in range(3)
    ]
    models = [tiny(i) for i in range(3)]
    optimizers = [adam(rate) for rate in rates]
    many = aevb.fit_many(
        models,
        DATA,
        objective=[objective(i) for i in range(3)],
        gradient=gradient(),
        optimizer=optimizers,
        seed=seeds,
        **STEPS,
    )
    for separate, stacked, model in zip(separate_results, many, models, strict=True):
        assert together(stacked)
        assert stacked.model is model
        assert stacked.best_epoch == separate.best_epoch
        np.testing.assert_allclose(numbers(stacked), numbers(separate), rtol=SAME, atol=SAME)
        for a, b in zip(separate.model.parameters(), model.parameters(), strict=True):
            torch.testing.assert_close(
                a, b, rtol=1e-3, atol=1e-5
            )  # Adam divides by roots of squares near 0


def test_loop_options_agree_with_separate_training():
    """Clipping, EMA, dropout, dynamic binarisation, left-over rows, several validation blocks."""
    data = aevb.data.load(np.arange(70 * 6, dtype=np.uint8).reshape(70, 6) % 17, binarise="dynamic")
    held_out = (torch.rand(300, 6, generator=torch.Generator().manual_seed(2)) < 0.5).float()

    def binary(seed: int) -> aevb.VAE:
        with seed_scope(seed):
            return aevb.VAE(
                priors.Normal(2),
                posteriors.Normal(dropping(), 2),
                likelihoods.Bernoulli(networks.MLP(2, [8]), [6]),
            )

    options = {"clip_norm": 0.5, "ema": 0.9, "validation": held_out}
    separate_results = [
        alone(binary(i), objectives.ELBO(), gradients.Pathwise(), 1e-2, i, data, **options)
        for i in range(2)
    ]
    many = aevb.fit_many(
        [binary(0), binary(1)], data, optimizer=adam(1e-2), seed=range(2), **STEPS | options
    )
    for separate, stacked in zip(separate_results, many, strict=True):
        assert together(stacked)
        np.testing.assert_allclose(numbers(stacked), numbers(separate), rtol=SAME, atol=SAME)


def test_every_model_can_have_its_own_data():
    folds = [Rows.from_array(DATA[i::2].clone()) for i in range(2)]
    separate_results = [
        alone(tiny(i), objectives.ELBO(), gradients.Pathwise(), 1e-2, i, folds[i]) for i in range(2)
    ]
    many = aevb.fit_many([tiny(0), tiny(1)], folds, optimizer=adam(1e-2), seed=range(2), **STEPS)
    for separate, stacked in zip(separate_results, many, strict=True):
        assert together(stacked)
        np.testing.assert_allclose(numbers(stacked), numbers(separate), rtol=SAME, atol=SAME)


def test_each_architecture_is_a_stack_and_the_order_is_kept():
    results = aevb.fit_many([tiny(0, 2), tiny(1, 3), tiny(2, 2), tiny(3, 3)], DATA, **STEPS)
    assert [result.model.latent_shape[0] for result in results] == [2, 3, 2, 3]
    assert all(result.notes[0].data["models"] == 2 for result in results)


def test_compiled_stacked_steps_equal_eager_steps(monkeypatch):
    """Traced by the compiler's front end and run without code generation, to save time."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager", options=None))
    eager = aevb.fit_many([tiny(0), tiny(1)], DATA, compile=False, **STEPS)
    compiled = aevb.fit_many([tiny(0), tiny(1)], DATA, compile=True, **STEPS)
    for separate, second in zip(eager, compiled, strict=True):
        assert not any(note.code == "not_compiled" for note in second.notes)
        np.testing.assert_allclose(numbers(separate), numbers(second), rtol=SAME, atol=SAME)


def test_diverging_model_stops_without_the_others():
    bad = tiny(0)
    with torch.no_grad():
        next(iter(bad.posterior.parameters())).fill_(torch.inf)
    good = alone(tiny(1), objectives.ELBO(), gradients.Pathwise(), 1.5e-3, 0)
    lost, stacked = aevb.fit_many([bad, tiny(1)], DATA, **STEPS)
    assert lost.stop_reason == "not finite"
    assert len(lost.history) == 0
    assert stacked.stop_reason == "epochs"
    np.testing.assert_allclose(numbers(stacked), numbers(good), rtol=SAME, atol=SAME)


def test_patience_applies_to_each_model_separately():
    """A rate of 10 ruins the second model at once; its patience is two epochs."""
    options = STEPS | {"epochs": 12, "patience": 2}
    steady, ruined = aevb.fit_many(
        [tiny(0), tiny(1)], DATA, optimizer=[adam(1e-3), adam(10.0)], **options
    )
    assert (steady.stop_reason, len(steady.history)) == ("epochs", 12)
    assert ruined.stop_reason == "patience"
    assert len(ruined.history) == ruined.best_epoch + 2


@pytest.mark.parametrize(
    "models, options, why",
    [
        (lambda: [tiny(0), tiny(1)], {"optimizer": partial(RMSprop, lr=1e-3)}, "Adam"),
        (lambda: [tiny(0), tiny(1)], {"precision": "bfloat16"}, "bfloat16"),
        (
            lambda: [tiny(i, network=networks.MLP(6, [400, 400])) for i in range(2)],
            {},
            "160,000 weights",
        ),
    ],
)
def test_unstackable_models_are_trained_separately_with_a_note(models, options, why):
    for result in aevb.fit_many(models(), DATA, **STEPS | {"epochs": 1} | options):
        assert result.notes[0].code == "trained_separately"
        assert why in result.notes[0].data["reason"]
        assert result.stop_reason == "epochs"


def test_differences_between_custom_networks_are_detected():
    """Custom networks with equal shapes and other activations: their first steps differ."""
    models = [
        tiny(0, network=nn.Sequential(nn.Linear(6, 8), act)) for act in (nn.Tanh(), nn.ReLU())
    ]
    results = aevb.fit_many(models, DATA, **STEPS)
    assert all("differs from the separate" in result.notes[0].data["reason"] for result in results)
    relu = alone(
        tiny(0, network=nn.Sequential(nn.Linear(6, 8), nn.ReLU())),
        objectives.ELBO(),
        gradients.Pathwise(),
        1.5e-3,
        0,
    )
    assert results[1].stop_reason == relu.stop_reason


def test_run_folders_are_written_and_resumed(tmp_path):
    results = aevb.fit_many([tiny(0), tiny(1)], DATA, names=["a", "b"], out=tmp_path, **STEPS)
    loaded = aevb.load(tmp_path / "b")
    assert all(
        torch.equal(p, q)
        for p, q in zip(loaded.parameters(), results[1].model.parameters(), strict=True)
    )
    (tmp_path / "a" / "model.json").unlink()
    again = aevb.fit_many(
        [tiny(0), tiny(1)], DATA, names=["a", "b"], out=tmp_path, resume=True, **STEPS
    )
    assert again[1].notes[0].code == "already_finished"
    assert again[1].history == results[1].history
    np.testing.assert_allclose(numbers(again[0]), numbers(results[0]), rtol=SAME, atol=SAME)
    with pytest.raises(RunError, match="exists"):
        aevb.fit_many([tiny(0), tiny(1)], DATA, names=["a", "b"], out=tmp_path, **STEPS)


@pytest.mark.usefixtures("foreground")
def test_interrupt_stops_all_models_and_keeps_results(tmp_path):
    def stop(step: int, total: float) -> float:
        if step == 9:
            os.kill(os.getpid(), signal.SIGINT)
        return 1.0

    results = aevb.fit_many([tiny(0), tiny(1)], DATA, lr_schedule=stop, out=tmp_path, **STEPS)
    assert [result.stop_reason for result in results] == ["interrupted"] * 2
    assert [len(result.history) for result in results] == [2, 2]
    resumed = aevb.fit_many(
        [tiny(0), tiny(1)],
        DATA,
        lr_schedule=lambda step, total: 1.0,
        out=tmp_path,
        resume=True,
        **STEPS,
    )
    assert [len(result.history) for result in resumed] == [5, 5]


@pytest.mark.usefixtures("foreground")
def test_interrupt_skips_remaining_stacks_and_keeps_finished_runs(tmp_path):
    """Two architectures, trained in turn: the first finishes, the second stops in epoch 3."""
    steps = iter(range(100))

    def stop(step: int, total: float) -> float:
        if next(steps) == 29:
            os.kill(os.getpid(), signal.SIGINT)
        return 1.0

    options = STEPS | {"optimizer": partial(RMSprop, lr=1e-3), "out": tmp_path}
    results = aevb.fit_many(
        [tiny(0), tiny(1), tiny(2, latent=3)], DATA, lr_schedule=stop, **options
    )
    assert [result.stop_reason for result in results] == ["epochs", "interrupted", "interrupted"]
    assert [note.code for note in results[2].notes] == ["not_started"]
    resumed = aevb.fit_many(
        [tiny(0), tiny(1), tiny(2, latent=3)],
        DATA,
        lr_schedule=lambda step, total: 1.0,
        resume=True,
        **options,
    )
    assert resumed[0].notes[0].code == "already_finished"
    assert [len(result.history) for result in resumed] == [5, 5, 5]


def test_global_generator_is_left_unchanged():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    aevb.fit_many([tiny(0), tiny(1)], DATA, **STEPS)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    "options, argument",
    [({"seed": [1]}, "seed"), ({"names": ["a", "a"]}, "names"), ({"epochs": 0}, "epochs")],
)
def test_invalid_arguments_are_named(options, argument):
    with pytest.raises(ArgumentError) as caught:
        aevb.fit_many([tiny(0), tiny(1)], DATA, **STEPS | options)
    assert caught.value.argument == argument


def test_one_model_is_trained_and_none_is_refused():
    (result,) = aevb.fit_many([tiny(0)], DATA, **STEPS)
    single = aevb.fit(tiny(0), DATA, **STEPS)
    assert numbers(result) == pytest.approx(numbers(single), rel=SAME)
    with pytest.raises(ArgumentError) as caught:
        aevb.fit_many([], DATA, **STEPS)
    assert caught.value.argument == "models"


def test_compatibility_is_checked_before_training():
    model = tiny(0)
    with pytest.raises(ArgumentError, match="same model twice"):
        aevb.fit_many([model, model], DATA, **STEPS)
    with pytest.raises(IncompatibleError, match="at least 2 samples"):
        aevb.fit_many([tiny(0), tiny(1)], DATA, gradient=gradients.LeaveOneOut(), **STEPS)
