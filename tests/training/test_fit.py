"""The training loop: reproducible, resumable, and safe against non-finite numbers."""

import importlib
import json
import os
import shutil
import signal
from dataclasses import asdict, replace
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import SGD, Adagrad, Adam, RMSprop

import aevb
from aevb import gradients, likelihoods, networks, objectives, posteriors, priors
from aevb._compilation import MIN_STEPS_TO_COMPILE, Compiler
from aevb._files import read_tensors, write_atomically, write_json, write_tensors
from aevb._locks import holder
from aevb._random import seed_scope
from aevb.errors import ArgumentError, DataError, IncompatibleError, NumericalError, RunError
from aevb.inference._batches import seeded_evaluation
from aevb.notes import Note
from aevb.objectives._objective import ValidationCriterion
from aevb.training import WarmupCosine, adam
from aevb.training import _checkpoint as checkpoint
from aevb.training._compatibility import check_training_data
from aevb.training._engine._cuda_graph import CapturedStep, GraphCapture
from aevb.training._history import read_history
from aevb.training._source import make_source
from aevb.training._step import TrainingStep
from aevb.training._validation import score_held_out
from aevb.types import Batch


def tiny(seed: int = 0, latent: int = 2, **posterior) -> aevb.VAE:
    with seed_scope(seed):
        return aevb.VAE(
            priors.Normal(latent),
            posteriors.Normal(networks.MLP(6, [8]), latent, **posterior),
            likelihoods.Bernoulli(networks.MLP(latent, [8]), (6,)),
        )


def bits(rows: int = 64, seed: int = 0) -> torch.Tensor:
    return (
        torch.rand(rows, 6, generator=torch.Generator().manual_seed(seed))
        < torch.linspace(0.1, 0.9, 6)
    ).float()


def run(model: aevb.VAE | None = None, data=None, **options) -> aevb.FitResult:
    options = {
        "epochs": 3,
        "batch_size": 16,
        "progress": False,
        "validation": bits(32, seed=1),
    } | options
    return aevb.fit(tiny() if model is None else model, bits() if data is None else data, **options)


def weights(model: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def numbers(result: aevb.FitResult) -> list[dict]:
    return [epoch.to_reproducible_dict() for epoch in result.history]


def test_history_is_determined_by_the_seed():
    first, second, other = run(seed=3), run(seed=3), run(seed=4)
    assert numbers(first) == numbers(second)
    assert torch.equal(weights(first.model), weights(second.model))
    assert numbers(first) != numbers(other)


def test_fit_is_independent_of_the_global_generator():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = run()
    assert torch.equal(before, torch.get_rng_state())
    torch.rand(7)
    assert numbers(first) == numbers(run())


def test_data_checks_leave_random_state_and_buffers_unchanged():
    """Checks before the first step involve dynamic binarisation, dropout and running means."""
    data = aevb.data.load(np.arange(64 * 6, dtype=np.uint8).reshape(64, 6) % 17, binarise="dynamic")
    with seed_scope(0):
        noisy = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Dropout(0.5))
        model = aevb.VAE(
            priors.Normal(2),
            posteriors.Normal(networks.MLP(6, [8]), 2),
            likelihoods.Bernoulli(noisy, (6,)),
        )
    before = torch.get_rng_state()
    fresh = {name: value.clone() for name, value in model.named_buffers()}
    check_training_data(
        model, make_source(data, 16, 0, torch.device("cpu"), torch.float32), data.validation
    )
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(value, fresh[name]) for name, value in model.named_buffers())
    assert model.training


def test_validation_does_not_change_training_draws():
    with_validation = run(validation=bits(32, seed=1), ema=None)
    without = run(validation=None)
    assert [epoch.bound for epoch in with_validation.history] == [
        epoch.bound for epoch in without.history
    ]


def interrupting(source, after: int):
    """Batches of a source that raises KeyboardInterrupt after a number of batches."""
    original = source.iter_epoch

    def epoch(number: int, skip: int):
        for position, batch in enumerate(original(number, skip), start=skip):
            if number * source.steps + position == after:
                os.kill(os.getpid(), signal.SIGINT)
            yield batch

    return epoch


@pytest.mark.usefixtures("foreground")
@pytest.mark.parametrize(
    "after", [0, 5, 8]
)  # first epoch, middle of an epoch, start of an epoch (4 steps each)
@pytest.mark.parametrize(
    "optimizer",
    [adam(1e-2), partial(SGD, lr=0.1, momentum=0.9), partial(RMSprop, lr=1e-3, centered=True)],
)
def test_resumed_run_is_bit_identical_to_uninterrupted_run(tmp_path, monkeypatch, after, optimizer):
    settings = {
        "epochs": 4,
        "optimizer": optimizer,
        "ema": 0.9,
        "objective": objectives.ELBO(beta=objectives.Linear(steps=10)),
    }
    whole = run(**settings)

    module = importlib.import_module("aevb.training._trainer")
    original = module.make_source

    def source_of(*arguments):
        source = original(*arguments)
        source.iter_epoch = interrupting(source, after)
        return source

    with monkeypatch.context() as patch:
        patch.setattr(module, "make_source", source_of)
        part = run(out=tmp_path / "run", **settings)
    assert part.stop_reason == "interrupted"
    resumed = run(model=tiny(seed=9), out=tmp_path / "run", resume=True, **settings)
    assert resumed.stop_reason == "epochs"
    assert torch.equal(weights(whole.model), weights(resumed.model))
    assert numbers(whole) == numbers(resumed)


def test_a_finished_run_goes_on_with_more_epochs(tmp_path):
    """Without a schedule the longer run is the one that was never stopped."""
    constant = {"lr_schedule": lambda step, total: 1.0, "ema": 0.9}
    whole = run(epochs=5, **constant)
    run(epochs=2, out=tmp_path / "run", **constant)
    longer = run(model=tiny(seed=9), epochs=5, out=tmp_path / "run", resume=True, **constant)
    assert torch.equal(weights(whole.model), weights(longer.model))
    assert numbers(whole) == numbers(longer)
    assert [epoch.epoch for epoch in read_history(tmp_path / "run")] == [1, 2, 3, 4, 5]
    changed = next(note for note in longer.notes if note.code == "epochs_changed")
    assert changed.data == {"before": 2, "epochs": 5}
    again = run(model=tiny(seed=9), epochs=3, out=tmp_path / "run", resume=True, **constant)
    assert (len(again.history), again.stop_reason) == (5, "epochs")


def test_a_longer_run_follows_the_schedule_of_its_new_length(tmp_path):
    run(epochs=2, out=tmp_path / "run")
    longer = run(model=tiny(), epochs=4, out=tmp_path / "run", resume=True)
    rates = [epoch.learning_rate / 1.5e-3 for epoch in longer.history]
    schedule = WarmupCosine()
    steps = [epoch.step - 1 for epoch in longer.history]
    totals = [8, 8, 16, 16]  # four steps in an epoch
    assert rates == pytest.approx([schedule(*pair) for pair in zip(steps, totals, strict=True)])


def test_a_run_without_a_checkpoint_begins_again(tmp_path):
    whole = run()
    run(out=tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoint")
    with pytest.raises(RunError) as caught:  # a finished run is not trained again unasked
        run(out=tmp_path / "run", resume=True)
    assert caught.value.argument == "resume"
    record = json.loads((tmp_path / "run" / "model.json").read_text())
    write_json(tmp_path / "run" / "model.json", record | {"state": "running", "step": 0})
    (tmp_path / "run" / ".model.json.4194305.tmp").touch()
    again = run(out=tmp_path / "run", resume=True)
    assert [note.code for note in again.notes] == ["restarted"]
    assert numbers(again) == numbers(whole) and not list(tmp_path.rglob(".*"))
    (tmp_path / "empty").mkdir()
    assert run(out=tmp_path / "empty", resume=True).notes[0].code == "restarted"


def test_state_checkpoint_and_history_while_a_run_is_trained(tmp_path):
    seen = []

    def look(epoch, model):
        record = json.loads((tmp_path / "run" / "model.json").read_text())
        lines = (tmp_path / "run" / "history.jsonl").read_text().splitlines()
        kept = checkpoint.read_checkpoint(tmp_path / "run").progress.step
        seen.append((record["state"], record["step"], kept, len(lines), holder(tmp_path / "run")))

    result = run(out=tmp_path / "run", callbacks=[look])
    assert [each[:4] for each in seen] == [("running", 1, 1, epoch) for epoch in (1, 2, 3)]
    assert all(each[4]["pid"] == os.getpid() for each in seen)
    record = json.loads((tmp_path / "run" / "model.json").read_text())
    assert (record["state"], record["step"], record["epoch"]) == ("finished", 12, 3)
    assert record["training"]["stopped"] == "epochs"
    assert record["training"]["best_epoch"] == result.best_epoch
    assert holder(tmp_path / "run") is None


def test_the_history_is_not_in_the_header_of_the_checkpoint(tmp_path):
    """Its size does not grow with the epochs, but for digits and the number of the best epoch."""
    sizes = []
    for epochs in (2, 12):
        run(epochs=epochs, out=tmp_path / "run", resume=bool(sizes))
        sizes.append((tmp_path / "run" / checkpoint.CHECKPOINT_FILE).stat().st_size)
    assert abs(sizes[1] - sizes[0]) < 100


def test_the_first_version_kept_its_history_in_the_checkpoint(tmp_path):
    first = run(epochs=2, out=tmp_path / "run")
    path = tmp_path / "run" / checkpoint.CHECKPOINT_FILE
    tensors, metadata = read_tensors(path)
    record = json.loads(metadata["run"])
    record["progress"]["history"] = [asdict(epoch) for epoch in first.history]
    write_tensors(path, tensors, {"run": json.dumps(record)})
    (tmp_path / "run" / "history.jsonl").unlink()
    assert numbers(run(epochs=3, out=tmp_path / "run", resume=True))[:2] == numbers(first)


@pytest.mark.usefixtures("foreground")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_signals_end_a_run_after_the_current_step(tmp_path, name):
    number = getattr(signal, name)
    before = signal.getsignal(number)
    result = run(
        epochs=50,
        out=tmp_path / "run",
        callbacks=[lambda epoch, model: signal.raise_signal(number) if epoch.epoch == 2 else None],
    )
    assert (result.stop_reason, result.signal, len(result.history)) == ("interrupted", number, 2)
    assert signal.getsignal(number) is before
    assert checkpoint.read_checkpoint(tmp_path / "run").progress.step == 9
    assert json.loads((tmp_path / "run" / "model.json").read_text())["state"] == "interrupted"


def test_an_ignored_signal_stays_ignored(tmp_path):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        ended = run(callbacks=[lambda epoch, model: signal.raise_signal(signal.SIGHUP)])
    finally:
        signal.signal(signal.SIGHUP, before)
    assert ended.stop_reason == "epochs"


def test_a_disk_that_vanishes_ends_the_run_with_an_error(tmp_path):
    def vanish(epoch, model):
        (tmp_path / "run").rename(tmp_path / "elsewhere")

    model = tiny()
    with pytest.raises(RunError):
        run(model, out=tmp_path / "run", callbacks=[vanish])
    assert not (tmp_path / "run").exists() and not model.training
    kept = run(tiny(), out=tmp_path / "elsewhere", resume=True)
    assert numbers(kept) == numbers(run())


def test_resume_refuses_other_settings(tmp_path):
    run(out=tmp_path / "run")
    with pytest.raises(RunError, match="seed=0") as caught:
        run(out=tmp_path / "run", resume=True, seed=1)
    assert (caught.value.argument, caught.value.value) == ("seed", 1)
    with pytest.raises(RunError, match="no checkpoint"):
        run(out=tmp_path / "other", resume=True)


@pytest.mark.parametrize(
    "options, argument, value, before",
    [
        ({"model": tiny(latent=3)}, "latent", 3, "latent=2"),
        ({"objective": objectives.IWAE(2)}, "objective", "objectives.IWAE", "objectives.ELBO"),
        ({"objective": objectives.ELBO(beta=2.0)}, "beta", 2.0, "beta=1.0"),
        (
            {"gradient": gradients.DoublyReparameterised()},
            "gradient",
            "gradients.DoublyReparameterised",
            "gradients.Pathwise",
        ),
        ({"micro_batches": 2}, "micro_batches", 2, "micro_batches=1"),
    ],
)
def test_resume_names_the_setting_that_differs(tmp_path, options, argument, value, before):
    run(out=tmp_path / "run")
    with pytest.raises(RunError, match=before) as caught:
        run(out=tmp_path / "run", resume=True, **options)
    assert (caught.value.argument, caught.value.value) == (argument, value)


def test_resume_refuses_other_data_and_incompatible_custom_networks(tmp_path):
    first, second = (
        aevb.data.load(rows.numpy(), name=name)
        for rows, name in ((bits(), "first"), (bits(seed=1), "second"))
    )
    run(data=first, out=tmp_path / "data")
    with pytest.raises(RunError, match="first") as caught:
        run(data=second, out=tmp_path / "data", resume=True)
    assert (caught.value.argument, caught.value.value) == ("name", "second")

    def custom_model(width: int) -> aevb.VAE:
        return aevb.VAE(
            priors.Normal(2),
            posteriors.Normal(nn.Linear(6, width), 2),
            likelihoods.Bernoulli(nn.Linear(2, 4), (6,)),
        )

    run(model=custom_model(4), out=tmp_path / "own")
    with pytest.raises(RunError, match="does not fit the model"):
        run(model=custom_model(5), out=tmp_path / "own", resume=True)


@pytest.mark.parametrize("limit", [{"patience": 1, "optimizer": adam(0.5)}, {"minutes": 1e-4}])
def test_resuming_a_finished_run_changes_nothing(tmp_path, limit):
    ended = run(out=tmp_path / "run", epochs=500, **limit)
    again = run(model=tiny(seed=9), out=tmp_path / "run", epochs=500, resume=True, **limit)
    assert ended.stop_reason == again.stop_reason == next(iter(limit))
    assert numbers(ended) == numbers(again)
    assert torch.equal(weights(ended.model), weights(again.model))


@pytest.mark.parametrize(
    "optimizer",
    [
        partial(SGD, lr=0.1),
        partial(SGD, lr=0.1, fused=True),
        partial(Adagrad, lr=0.1),
        partial(Adam, lr=0.01),
        adam(0.01),
        partial(RMSprop, lr=0.01),
    ],
)
def test_any_torch_optimiser_improves_the_bound(optimizer):
    result = run(optimizer=optimizer, epochs=20)
    assert result.history[-1].bound > result.history[0].bound


@pytest.mark.parametrize(
    "optimizer",
    [
        adam(0.01),
        partial(Adam, lr=0.01),
        partial(RMSprop, lr=0.01),
        partial(SGD, lr=0.1, momentum=0.9, fused=True),
    ],
)
def test_non_finite_step_leaves_weights_and_optimiser_unchanged(optimizer):
    model, x = tiny(), bits(16)
    updates = optimizer(list(model.parameters()))
    take = TrainingStep(model, objectives.ELBO(), gradients.Pathwise(), updates)
    take(Batch(x))
    before = (
        weights(model),
        {
            k: [v.clone() for v in s.values() if torch.is_tensor(v)]
            for k, s in updates.state_dict()["state"].items()
        },
    )
    broken = x.clone()
    broken[3, 2] = torch.nan
    assert torch.equal(take(Batch(broken)), torch.zeros(5))
    assert take.skipped_steps == 1 and take.skip_streak == 1
    assert torch.equal(before[0], weights(model))
    for key, state in updates.state_dict()["state"].items():
        stored = [value for value in state.values() if torch.is_tensor(value)]
        assert all(torch.equal(a, b) for a, b in zip(before[1][key], stored, strict=True))
    take(Batch(x))
    assert take.skip_streak == 0 and not torch.equal(before[0], weights(model))


@pytest.mark.parametrize(
    "options",
    [{"decoupled_weight_decay": True}, {"amsgrad": True}, {"weight_decay": 0.0, "maximize": True}],
)
def test_fused_adam_call_equals_optimizer_step(options):
    """The direct call of the fused kernel respects every option of the optimiser."""
    options = {"lr": 0.05, "weight_decay": 0.5} | options
    fused, plain = (run(optimizer=partial(Adam, fused=way, **options)) for way in (True, False))
    assert torch.allclose(weights(fused.model), weights(plain.model), atol=1e-4)


def test_optimal_scale_is_restored_after_a_skipped_step():
    model = aevb.VAE(
        priors.Normal(1),
        posteriors.Normal(networks.MLP(3), 1),
        likelihoods.Normal(networks.MLP(1), (3,), scale="optimal"),
    )
    take = TrainingStep(
        model, objectives.ELBO(), gradients.Pathwise(), adam()(list(model.parameters()))
    )
    error = model.likelihood.noise.running_error
    take(Batch(torch.full((4, 3), 2.0)))
    stored = error.clone()
    assert stored > 1  # it moved towards the squared error of data at 2
    take(Batch(torch.full((4, 3), torch.inf)))
    assert torch.equal(stored, error)


def batches(broken: set[int], count: int = 12):
    x = bits(16)
    return [torch.full_like(x, torch.nan) if i in broken else x for i in range(count)]


def test_skipped_steps_are_reported_and_three_in_a_row_end_the_run(tmp_path):
    fine = aevb.fit(tiny(), batches({4, 6}), epochs=1, progress=False)
    assert fine.history[0].skipped_steps == 2
    assert [(note.code, note.data["step"], note.data["culprit"]) for note in fine.notes] == [
        ("step_skipped", step, "the data") for step in (5, 7)
    ]
    assert np.isfinite(fine.history[0].bound)
    model = tiny()
    with pytest.raises(NumericalError, match="3 steps in a row"):
        aevb.fit(model, batches({4, 5, 6}), epochs=1, progress=False, out=tmp_path / "run")
    assert weights(model).isfinite().all()
    assert weights(aevb.load(tmp_path / "run")).isfinite().all()


def test_locating_a_non_finite_value_changes_no_state():
    """Running errors and baselines survive the second pass over a broken batch."""
    with seed_scope(0):
        noisy = likelihoods.Normal(networks.MLP(2, [8]), (6,), scale="optimal")
        model = aevb.VAE(priors.Bernoulli(2), posteriors.Bernoulli(networks.MLP(6, [8]), 2), noisy)
    rule = gradients.ScoreFunction("mean")
    result = aevb.fit(model, batches({4}), gradient=rule, epochs=1, progress=False)
    assert result.history[0].skipped_steps == 1
    assert [note.data["culprit"] for note in result.notes] == ["the data"]
    assert (
        noisy.noise.running_error.isfinite()
        and rule.running_mean.isfinite()
        and np.isfinite(result.history[0].bound)
    )


def validation_score(model):
    """The bound of the validation rows, with the draws of the validation."""
    rows = aevb.data.Rows.from_array(bits(32, seed=1))
    return score_held_out(model, rows, ValidationCriterion(), seed=0).bound


def test_best_weights_by_validation_are_returned_and_saved(tmp_path):
    scores = []
    result = run(
        optimizer=adam(0.5), epochs=15, out=tmp_path / "run", lr_schedule=lambda step, total: 1.0
    )
    scores = [epoch.validation for epoch in result.history]
    assert (
        result.best_epoch == 1 + int(np.argmax(scores)) != 15
    )  # with this high rate, the last epoch is not the best
    # the same weights, draws and sums
    assert validation_score(aevb.load(tmp_path / "run")) == pytest.approx(max(scores), abs=1e-9)


def test_nan_validation_is_never_best(monkeypatch):
    module = importlib.import_module("aevb.training._run")
    original, calls = module.score_held_out, []

    def nan_once(*arguments, **options):
        calls.append(1)
        stored = original(*arguments, **options)
        return replace(stored, bound=float("nan")) if len(calls) == 1 else stored

    monkeypatch.setattr(module, "score_held_out", nan_once)
    assert run().best_epoch != 1


JUDGES = (
    (objectives.ELBO(samples=3, beta=4.0), "ELBO"),
    (objectives.IWAE(4), "IWAE-4"),
    (objectives.MIWAE(2, 3), "MIWAE-2x3"),
    (objectives.PIWAE(2, 3), "IWAE-6"),
    (objectives.Renyi(0.5, 4), "Renyi(0.5)-4"),
    (objectives.Renyi(-1.0, 4), "IWAE-4"),
    (objectives.CUBO(samples=4), "IWAE-4"),
    (objectives.Penalised(objectives.IWAE(4), [objectives.TotalCorrelation(1.0)]), "IWAE-4"),
)


@pytest.mark.parametrize(
    "objective, name", JUDGES, ids=[objective.summary for objective, _ in JUDGES]
)
def test_held_out_rows_are_scored_by_a_lower_bound_of_the_evidence(objective, name):
    """The ELBO, or the objective's own bound if that is a mean of log-weights; recomputed here."""
    result = run(objective=objective, epochs=1)
    last, judge = result.history[-1], objective.validation_criterion
    assert (last.validation_name, judge.name) == (name, name)
    with seeded_evaluation(result.model, seed=0):
        terms = result.model.draw_terms(Batch(bits(32, seed=1)), judge.samples)
    weights = (
        terms.log_weight if terms.kl is None or name != "ELBO" else terms.log_likelihood - terms.kl
    )
    again = judge.mean(weights.double(), terms.log_measure.double()).mean().item()
    assert last.validation == pytest.approx(again, abs=1e-5)  # float32 densities
    assert last.validation_elbo == pytest.approx(
        last.validation_log_likelihood - last.validation_kl, abs=1e-12
    )
    assert (last.validation > last.validation_elbo) == (name != "ELBO")


def test_patience_starts_after_the_warm_up():
    warm = objectives.ELBO(beta=objectives.Linear(steps=40))
    frozen = {"optimizer": partial(SGD, lr=1e-12), "patience": 2, "epochs": 30}
    assert len(run(**frozen).history) <= 4
    assert len(run(objective=warm, **frozen).history) >= 10  # 4 steps an epoch: settled after 10


def test_ema_weights_are_validated_and_returned():
    plain, averaged = run(epochs=2), run(epochs=2, ema=0.5)
    assert [e.bound for e in plain.history] == [e.bound for e in averaged.history]
    assert plain.history[-1].validation != averaged.history[-1].validation
    assert not torch.equal(weights(plain.model), weights(averaged.model))


def test_a_float64_model_stays_in_float64():
    result = run(
        model=tiny().double(),
        data=bits().double(),
        objective=objectives.ELBO(beta=objectives.Linear(steps=4)),
        ema=0.9,
    )
    assert {p.dtype for p in result.model.parameters()} == {torch.float64}
    best = result.history[result.best_epoch - 1].validation
    assert validation_score(result.model) == best
    assert result.model.decode(torch.zeros(3, 2)).dtype == torch.float64


def test_clip_bounds_the_update():
    model = tiny()
    before = weights(model)
    TrainingStep(
        model,
        objectives.ELBO(),
        gradients.Pathwise(),
        SGD(model.parameters(), lr=1.0),
        clip_norm=1e-3,
    )(Batch(bits(16)))
    assert (weights(model) - before).norm() == pytest.approx(
        1e-3, rel=1e-3
    )  # clip_grad_norm_ adds 1e-6 to the norm


def test_learning_rate_warms_up_and_decays():
    rate = WarmupCosine(warmup=10)
    values = [rate(step, 1000) for step in range(1000)]
    assert values[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert all(a >= b for a, b in pairwise(values[10:]))
    assert [
        epoch.learning_rate
        for epoch in run(optimizer=adam(1e-2), lr_schedule=WarmupCosine(4)).history
    ][-1] < 2e-3


def test_iterables_of_batches_train_and_an_iterator_serves_one_epoch():
    assert len(aevb.fit(tiny(), [bits(16), bits(8)], epochs=2, progress=False).history) == 2
    result = aevb.fit(tiny(), iter([bits(16), (bits(16), "label")]), epochs=1, progress=False)
    assert result.history[0].step == 2
    assert result.notes[0].code == "iterator_single_pass"
    used_up = aevb.fit(tiny(), iter([bits(16), bits(16)]), epochs=3, progress=False)
    assert (len(used_up.history), used_up.stop_reason) == (
        1,
        "data",
    )  # no epochs without a batch, whose means would be NaN


def test_every_tensor_of_a_batch_is_moved_to_the_device():
    source = make_source(
        [Batch(bits(16), context=torch.zeros(16, 2), index=torch.arange(16))],
        16,
        0,
        torch.device("meta"),
        torch.float32,
    )
    batch = source.first_batch()
    assert batch.context is not None and batch.index is not None
    assert {batch.x.device.type, batch.context.device.type, batch.index.device.type} == {"meta"}


def test_time_limit_ends_a_run():
    assert run(epochs=10_000, minutes=0.5 / 60).stop_reason == "minutes"


def test_callbacks_run_each_epoch_and_can_stop_training():
    seen = []
    result = run(
        epochs=10, callbacks=[lambda epoch, model: seen.append(epoch.epoch) or epoch.epoch == 2]
    )
    assert seen == [1, 2] and result.stop_reason == "callback"


def test_batch_larger_than_the_data_is_reduced_with_a_note():
    note = run(batch_size=1000).notes[0]
    assert note.code == "batch_reduced"
    assert note.data == {"rows": 64, "batch_size": 1000}


def test_full_disk_during_a_checkpoint_keeps_the_previous_checkpoint(tmp_path, monkeypatch):
    run(out=tmp_path / "run")
    before = checkpoint.read_checkpoint(tmp_path / "run")

    def full(file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match=r"No space left.*previous one is intact"):
        run(out=tmp_path / "run", resume=True, epochs=3)
    monkeypatch.undo()
    after = checkpoint.read_checkpoint(tmp_path / "run")
    assert after.progress == before.progress
    assert not list(tmp_path.rglob("*.tmp"))


def test_interrupted_checkpoint_keeps_the_previous_file_only(tmp_path, monkeypatch):
    write_atomically(tmp_path / "file", b"old")

    def interrupted(file: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "file", b"new")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("file", b"old")]


def test_training_matches_recorded_values():
    """Twenty steps at a fixed seed (float32; other processors round differently, by 1e-4)."""
    result = aevb.fit(
        tiny(), bits(320), epochs=1, batch_size=16, progress=False, optimizer=adam(1e-2)
    )
    bounds = []
    model = tiny()
    take = TrainingStep(
        model, objectives.ELBO(), gradients.Pathwise(), adam(1e-2)(list(model.parameters()))
    )
    with seed_scope(0):
        for start in range(0, 320, 16):
            bounds.append(take(Batch(bits(320)[start : start + 16]))[0].item())
    assert bounds == pytest.approx(GOLDEN, abs=1e-4)
    assert result.history[0].bound == pytest.approx(GOLDEN_EPOCH, abs=1e-4)


GOLDEN = [
    -4.38355,
    -4.48085,
    -4.36534,
    -4.28052,
    -4.19273,
    -4.21948,
    -4.00638,
    -4.06413,
    -3.9516,
    -3.88415,
    -3.80839,
    -3.77906,
    -3.72501,
    -3.66122,
    -4.00644,
    -3.86208,
    -3.71399,
    -3.83591,
    -3.56124,
    -3.47362,
]
GOLDEN_EPOCH = -4.032713


@pytest.mark.parametrize(
    "gradient", [gradients.Pathwise(), gradients.DoublyReparameterised(), gradients.LeaveOneOut()]
)
def test_traced_steps_equal_eager_steps(gradient):
    """One traced graph of loss and gradients, twenty steps, the same to rounding."""
    objective = objectives.IWAE(3)

    def losses(trace: bool) -> list[float]:
        model = tiny()
        take = TrainingStep(model, objective, gradient, adam(1e-2)(list(model.parameters())))
        if trace:
            take.differentiate = torch.compile(
                take._differentiate, fullgraph=True, dynamic=False, backend="aot_eager"
            )
        with seed_scope(0), torch._dynamo.config.patch(trace_autograd_ops=True):
            return [take(Batch(bits(16, seed)))[0].item() for seed in range(20)]

    torch._dynamo.reset()
    assert losses(trace=True) == pytest.approx(
        losses(trace=False), rel=1e-5
    )  # float32 sums in another order


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, on importing its compiler
def test_compiled_run_equals_eager_run():
    torch._dynamo.reset()
    eager, compiled = run(epochs=2), run(epochs=2, compile=True)
    for a, b in zip(eager.history, compiled.history, strict=True):
        assert a.bound == pytest.approx(b.bound, rel=1e-5)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_compiled_run_is_compiled_once(monkeypatch):
    """Rates, schedules, EMA, epochs and skipped steps do not trigger a recompilation."""
    torch._dynamo.reset()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager", options=None))
    first_epoch = []

    def then_forbid(epoch, model):
        first_epoch.append(epoch)
        torch.compiler.set_stance("fail_on_recompile")

    data = bits(64)
    data[40] = torch.nan  # a refused step, once an epoch
    monkeypatch.setattr(
        importlib.import_module("aevb.training._trainer"),
        "check_training_data",
        lambda *anything: None,
    )
    try:
        result = run(
            data=data,
            epochs=4,
            compile=True,
            ema=0.9,
            clip_norm=1.0,
            objective=objectives.ELBO(beta=objectives.Linear(steps=12)),
            callbacks=[then_forbid],
        )
    finally:
        torch.compiler.set_stance("default")
    assert len(first_epoch) == 4
    assert [epoch.skipped_steps for epoch in result.history] == [1, 1, 1, 1]
    assert {note.code for note in result.notes} == {"step_skipped"}


def fake_recording(step):
    """Imitate a CUDA graph: each replay writes its result into the same memory."""
    result = torch.zeros(5)
    return lambda: result.copy_(step()), result


@pytest.mark.parametrize("length", [1, 3])
@pytest.mark.parametrize("interrupted", [False, True])
def test_replayed_steps_equal_eager_steps(tmp_path, monkeypatch, interrupted, length):
    """Replays use current rows, learning rates, schedules, draws and counters.

    Also with three steps per graph and a single remaining step at the end of each epoch.
    """
    monkeypatch.setattr("aevb.training._engine._multistep.STEPS_PER_RECORDING", length)
    fit = importlib.import_module("aevb.training._trainer")
    settings = {
        "epochs": 8,
        "ema": 0.9,
        "objective": objectives.ELBO(beta=objectives.Linear(steps=12)),
        "clip_norm": 1.0,
    }
    plain = run(**settings)

    def capturer(device, wanted, optimizer):
        capture = GraphCapture(device, wanted, optimizer, fake_recording)
        capture.enabled = True
        return capture

    monkeypatch.setattr(fit, "GraphCapture", capturer)
    if interrupted:
        run(out=tmp_path / "run", callbacks=[lambda epoch, model: epoch.epoch == 3], **settings)
    replayed = run(out=tmp_path / "run", resume=interrupted, **settings)
    assert replayed.notes == ()
    for a, b in zip(plain.history, replayed.history, strict=True):
        assert a.bound == pytest.approx(
            b.bound, rel=1e-6
        )  # the rate is rounded to float32 on the device
    torch.testing.assert_close(weights(plain.model), weights(replayed.model), rtol=1e-4, atol=1e-6)


def test_failed_graph_capture_falls_back_with_a_note():
    def refusing(step):
        raise RuntimeError("operation not permitted when stream is capturing\nand more")

    notes: list[Note] = []
    step = CapturedStep(lambda x: 2 * x, refusing, notes)
    assert [step(torch.tensor(float(i))).item() for i in range(8)] == [2.0 * i for i in range(8)]
    assert [(note.code, note.data["reason"]) for note in notes] == [
        ("not_recorded", "operation not permitted when stream is capturing")
    ]


def test_small_steps_use_one_thread_and_large_steps_all():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        seen = []
        look = [lambda epoch, model: seen.append(torch.get_num_threads())]
        run(epochs=1, callbacks=look)
        wide = aevb.VAE(
            priors.Normal(2),
            posteriors.Normal(networks.MLP(6, [1000, 1000]), 2),
            likelihoods.Bernoulli(networks.MLP(2, [8]), (6,)),
        )
        run(wide, epochs=1, callbacks=look)
        assert seen == [1, 2]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_frozen_parameters_do_not_change():
    model = tiny()
    for parameter in model.likelihood.parameters():
        parameter.requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in model.named_parameters()}
    run(model)
    moved = {
        name.split(".")[0]
        for name, tensor in model.named_parameters()
        if not torch.equal(tensor, before[name])
    }
    assert moved == {"posterior"}


def conv(seed: int = 0) -> aevb.VAE:
    with seed_scope(seed):
        encoder, decoder = (
            networks.ConvEncoder((3, 9, 8), [4, 6], residual=1),
            networks.ConvDecoder(2, (3, 9, 8), [6, 4]),
        )
        return aevb.VAE(
            priors.Normal(2),
            posteriors.Normal(encoder, 2),
            likelihoods.Normal(decoder, [3, 9, 8], "shared"),
        )


def test_channels_last_layout_does_not_change_results(tmp_path, monkeypatch):
    """Twenty steps with channels last and first, and a run that is resumed in the middle."""
    data = torch.rand(64, 3, 9, 8, generator=torch.Generator().manual_seed(0))
    settings = {"data": data, "validation": data[:16], "epochs": 5}
    last = run(conv(), **settings)
    assert any(
        p.is_contiguous(memory_format=torch.channels_last) and not p.is_contiguous()
        for p in last.model.parameters()
    )
    with monkeypatch.context() as patch:
        patch.setattr(
            importlib.import_module("aevb.training._trainer"),
            "use_channels_last",
            lambda model: None,
        )
        first = run(conv(), **settings)
    for a, b in zip(first.history, last.history, strict=True):
        assert a.bound == pytest.approx(
            b.bound, rel=1e-4
        )  # float32 sums in another order, through 20 steps of Adam
    run(conv(), out=tmp_path / "run", callbacks=[lambda epoch, model: epoch.epoch == 2], **settings)
    resumed = run(conv(), out=tmp_path / "run", resume=True, **settings)
    assert numbers(resumed) == numbers(last)


def test_gradient_accumulation_equals_a_full_batch_step():
    """An autoencoder draws no noise, so micro-batches and the full batch see the same inputs."""

    def plain() -> aevb.VAE:
        with seed_scope(0):
            return aevb.VAE(
                priors.Normal(2),
                posteriors.Dirac(networks.MLP(6, [8]), 2),
                likelihoods.Bernoulli(networks.MLP(2, [8]), (6,)),
            )

    whole, parted = (
        run(plain(), epochs=5, clip_norm=0.1),
        run(plain(), epochs=5, clip_norm=0.1, micro_batches=4),
    )
    for a, b in zip(whole.history, parted.history, strict=True):
        assert a.bound == pytest.approx(b.bound, rel=1e-5)  # float32 sums in another order
    torch.testing.assert_close(weights(whole.model), weights(parted.model), rtol=1e-4, atol=1e-6)


def test_bfloat16_is_for_training_and_for_networks_only():
    result = run(precision="bfloat16", callbacks=[lambda epoch, model: None])
    plain = run()
    assert result.history[0].bound == pytest.approx(plain.history[0].bound, rel=2e-2)
    assert result.history[0].bound != plain.history[0].bound
    assert result.model.posterior.heads.precision is None
    best = result.history[result.best_epoch - 1].validation
    assert validation_score(result.model) == best  # chosen by what it is measured at


def test_minibatch_gradient_is_unbiased_for_the_full_gradient():
    """The mean over the minibatches of an epoch is the gradient of the whole set, in float64."""
    model = tiny().double()
    x = bits(12).double()

    def gradient(rows: torch.Tensor) -> torch.Tensor:
        # the exact gradient of the KL and of the reconstruction at the mean needs no noise
        q = model.posterior(rows)
        p = model.likelihood(q.mean)
        loss = -(p.log_prob(rows) - torch.distributions.kl_divergence(q, model.prior())).mean()
        return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.parameters()))])

    minibatches = torch.stack([gradient(part) for part in x[torch.randperm(12)].split(3)]).mean(0)
    assert torch.allclose(
        minibatches, gradient(x), atol=1e-12
    )  # sums of 12 numbers in another order


@pytest.mark.parametrize(
    "options, error, argument, words",
    [
        ({"epochs": 0}, ArgumentError, "epochs", "positive"),
        ({"batch_size": 0}, ArgumentError, "batch_size", "at least 1"),
        ({"minutes": -1.0}, ArgumentError, "minutes", "positive"),
        ({"device": "cuda:7"}, ArgumentError, "device", "cpu"),
        ({"precision": "float16"}, ArgumentError, "precision", "float32"),
        ({"gradient": gradients.LeaveOneOut()}, IncompatibleError, None, "samples=4"),
        ({"data": torch.full((8, 6), 2.0)}, DataError, None, "2, outside the support"),
        ({"data": torch.full((8, 6), torch.nan)}, DataError, None, "row 0 of `data`.*NaN"),
        ({"data": torch.zeros(8, 5)}, DataError, None, r"\(5,\).*\(6,\)"),
        ({"data": 7}, DataError, "data", "is a int"),
        ({"data": []}, DataError, "data", "without batches"),
        ({"data": torch.zeros(0, 6)}, DataError, "data", "no rows"),
        ({"validation": torch.zeros(0, 6)}, DataError, "validation", "no rows"),
        ({"seed": -1}, ArgumentError, "seed", "whole number"),
        ({"seed": 2**64}, ArgumentError, "seed", "whole number"),
        ({"micro_batches": 3}, ArgumentError, "micro_batches", "16 rows"),
        ({"resume": True}, RunError, "out", "folder of the run"),
        ({"resume": True, "overwrite": True, "out": "run"}, ArgumentError, "overwrite", "resume"),
    ],
)
def test_invalid_settings_are_refused_before_training(options, error, argument, words):
    with pytest.raises(error, match=words) as caught:
        run(**options)
    if argument is not None:
        assert caught.value.argument == argument


def test_existing_folder_is_not_overwritten_by_default(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match="exists"):
        run(out=tmp_path)
    with pytest.raises(RunError, match="not a run"):
        run(out=tmp_path, overwrite=True)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    run(out=tmp_path / "run")
    assert run(out=tmp_path / "run", overwrite=True).history[0].epoch == 1


def test_handwritten_training_loop_works():
    model, objective, gradient = (
        tiny(),
        objectives.IWAE(samples=4),
        gradients.DoublyReparameterised(),
    )
    optimizer = Adam(model.parameters(), lr=1e-2)
    x, first, last = bits(64), None, None
    torch.manual_seed(0)
    for _ in range(60):
        estimate = gradient(model, objective, Batch(x))
        optimizer.zero_grad()
        estimate.loss.backward()
        optimizer.step()
        last = estimate.objective_value.bound.mean().item()
        first = last if first is None else first
    assert last > first + 0.2


def test_autoencoder_reports_no_kl_and_no_bound():
    with seed_scope(0):
        model = aevb.VAE(
            priors.Normal(2),
            posteriors.Dirac(networks.MLP(6, [8]), 2),
            likelihoods.Bernoulli(networks.MLP(2, [8]), (6,)),
        )
    result = run(model)
    last = result.history[-1]
    assert last.kl is None and last.bound_name == "reconstruction log-likelihood"
    assert last.bound_kind == "reconstruction"
    assert last.validation == last.validation_log_likelihood
    with pytest.raises(IncompatibleError, match=r"objectives.Reconstruction\(\)"):
        run(model, objective=objectives.ELBO())


def test_auto_compiles_long_runs_with_a_note():
    assert not Compiler("auto", MIN_STEPS_TO_COMPILE - 1).enabled
    compiler = Compiler("auto", MIN_STEPS_TO_COMPILE)
    assert compiler.enabled and compiler.notes[0].code == "compiled"
    assert not Compiler(False, 10**9).enabled


def test_missing_compiler_falls_back_to_eager_with_a_note(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    result = run(compile=True)
    assert numbers(result) == numbers(run(compile=False))
    assert result.notes[0].code == "not_compiled"
    assert "C++ compiler" in result.notes[0].data["reason"]


class Untraceable(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if x.sum() > -1 else -x  # a data-dependent branch


def test_untraceable_model_falls_back_to_eager_with_a_note():
    torch._dynamo.reset()

    def model() -> aevb.VAE:
        with seed_scope(0):
            return aevb.VAE(
                priors.Normal(2),
                posteriors.Normal(Untraceable(), 2),
                likelihoods.Bernoulli(networks.MLP(2, [8]), (6,)),
            )

    result = run(model(), compile=True)
    assert result.notes[0].code == "not_compiled"
    assert numbers(result) == numbers(run(model()))


def test_automatic_precision_is_reported_with_a_reason(monkeypatch):
    module = importlib.import_module("aevb.training._precision")
    cpu = torch.device("cpu")
    monkeypatch.setattr(module, "has_native_bfloat16", lambda device: True)
    assert module.choose_precision("auto", nn.Linear(300, 300), cpu).name == "bfloat16"
    small = module.choose_precision("auto", nn.Linear(10, 10), cpu)
    assert small.name == "float32" and small.notes[0].data["weights"] == 100
    assert module.choose_precision("bfloat16", nn.Linear(1, 1), cpu).notes == ()
    monkeypatch.setattr(module, "has_native_bfloat16", lambda device: False)
    assert module.choose_precision("auto", nn.Linear(300, 300), cpu).name == "float32"
    assert (
        module.choose_precision("bfloat16", nn.Linear(1, 1), cpu).notes[0].data["reason"]
        == "emulated"
    )


def test_killed_run_resumes_from_a_checkpoint_inside_an_epoch(tmp_path, monkeypatch):
    whole = run(epochs=3)
    monkeypatch.setattr(
        "aevb.training._run.CHECKPOINT_SECONDS", 0.0
    )  # a checkpoint after every step
    step, steps = TrainingStep.__call__, []

    def dying(self, batch):
        steps.append(1)
        if len(steps) == 7:  # in the second epoch of four steps
            raise RuntimeError("the power went")
        return step(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingStep, "__call__", dying)
        with pytest.raises(RuntimeError, match="power"):
            run(epochs=3, out=tmp_path / "run")
    assert checkpoint.read_checkpoint(tmp_path / "run").progress.step == 6
    resumed = run(model=tiny(seed=9), epochs=3, out=tmp_path / "run", resume=True)
    assert torch.equal(weights(whole.model), weights(resumed.model))
    assert numbers(whole) == numbers(resumed)


def test_time_limit_without_epochs_ends_a_run():
    result = run(epochs=None, minutes=1.5 / 60)
    assert result.stop_reason == "minutes"
    assert len(result.history) > 10


def test_compiled_step_assumptions_are_checked_every_epoch():
    """A callback that changes the model between two epochs takes effect in a compiled run."""

    def calm(epoch, model):
        next(module for module in model.modules() if isinstance(module, nn.Dropout)).p = (
            0.5 if epoch.epoch < 2 else 0.0
        )

    def make_model():
        with seed_scope(0):
            network = nn.Sequential(nn.Dropout(0.0), nn.Linear(6, 8), nn.ReLU())
            return aevb.VAE(
                priors.Normal(2),
                posteriors.Normal(network, 2),
                likelihoods.Bernoulli(networks.MLP(2, [8]), (6,)),
            )

    eager, compiled = (
        run(make_model(), compile=way, callbacks=[calm], epochs=4) for way in (False, True)
    )
    torch.testing.assert_close(weights(eager.model), weights(compiled.model), rtol=1e-4, atol=1e-6)
