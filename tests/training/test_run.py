"""A run writes its best weights without changing the model that is training."""

import json
import math
import tomllib
from types import SimpleNamespace

import pytest
import torch

import aevb
from aevb import likelihoods, networks, objectives, posteriors, priors
from aevb._files import read_tensors, write_tensors
from aevb._random import seed_scope
from aevb._recipe import Recipe
from aevb.data import Rows
from aevb.errors import RunError
from aevb.gradients import Pathwise
from aevb.gradients._gradient import training_terms
from aevb.training import _run, adam
from aevb.training._checkpoint import CHECKPOINT_FILE, RunProgress, all_tensors, restore_tensors
from aevb.training._ema import ExponentialMovingAverage
from aevb.training._history import HISTORY_FILE, read_history
from aevb.training._run import (
    TrainingRun,
    check_resumable,
    epochs_changed_note,
    finish_epoch,
    write_config,
)
from aevb.training._step import TrainingStep
from aevb.training._validation import score_held_out
from aevb.types import Batch


def model(scale: str = "optimal") -> aevb.VAE:
    with seed_scope(0):
        return aevb.VAE(
            priors.Normal(2),
            posteriors.Normal(networks.MLP(6, [8]), 2),
            likelihoods.Normal(networks.MLP(2, [8]), [6], scale),
        )


def test_saving_best_weights_does_not_change_the_live_model(tmp_path):
    live = model()
    optimizer = adam()(list(live.parameters()))
    step = TrainingStep(live, objectives.ELBO(), Pathwise(), optimizer)
    run = TrainingRun(step, optimizer, None, 0, tmp_path / "run", {}, {}, {}, None)
    run.open(resume=False, overwrite=False)
    run.best_tensors = {
        name: torch.full_like(tensor, 0.5) for name, tensor in live.state_dict().items()
    }
    before = [(id(p), p._version) for p in live.parameters()]
    run.checkpoint()
    assert [(id(p), p._version) for p in live.parameters()] == before
    saved = aevb.load(tmp_path / "run")
    assert all((parameter == 0.5).all() for parameter in saved.parameters())


def test_terms_change_neither_the_model_nor_the_random_stream():
    trained, x = model().train(), torch.full((4, 6), 3.0)
    error = trained.likelihood.noise.running_error
    batch = Batch(x)
    q = trained.infer(batch)
    z = q.rsample((2,))
    before, state = error.clone(), torch.get_rng_state()
    terms = trained.terms(batch, z, q)
    assert torch.equal(error, before)
    assert torch.equal(torch.get_rng_state(), state)
    again = training_terms(trained, batch, z, q)
    assert torch.equal(again.log_likelihood, terms.log_likelihood)
    assert not torch.equal(error, before)


# the record of an epoch, and the choices that follow from a folder


@pytest.mark.parametrize("steps, skipped", [(4, 0), (4, 3), (4, 4), (0, 0)])
def test_an_epoch_has_the_means_of_the_steps_taken(steps, skipped):
    progress = RunProgress(epoch=2, step_in_epoch=steps, step=11, epochs_without_improvement=1)
    recipe = Recipe(model(), objectives.ELBO(), Pathwise())
    sums = torch.tensor([-12.0, -8.0, 4.0, 6.0, 2.0])
    epoch = finish_epoch(progress, recipe, sums, skipped, 1.5, 0.25, 0.125)
    taken = steps - skipped
    means = [each / taken if taken else math.nan for each in sums.tolist()]
    found = [epoch.bound, epoch.log_likelihood, epoch.kl, epoch.target, epoch.penalty]
    assert found == pytest.approx(means, nan_ok=True)
    assert (epoch.epoch, epoch.step, epoch.seconds, epoch.skipped_steps) == (3, 11, 1.5, skipped)
    assert (epoch.learning_rate, epoch.relative_update) == (0.25, 0.125)
    assert epoch.schedules_finished and epoch.beta == 1 and epoch.metrics == {}
    assert (progress.epoch, progress.step_in_epoch, progress.step) == (3, 0, 11)


@pytest.mark.parametrize("step, finished", [(9, False), (10, True), (11, True)])
def test_an_epoch_says_whether_schedules_are_finished(step, finished):
    objective = objectives.ELBO(beta=objectives.Linear(0.0, 1.0, 10))
    objective.set_step(step)
    recipe = Recipe(model(), objective, Pathwise())
    epoch = finish_epoch(
        RunProgress(step=step, step_in_epoch=1), recipe, torch.ones(5), 0, 1.0, 0.1, 0.0
    )
    assert epoch.schedules_finished == finished
    assert epoch.beta == pytest.approx(min(step, 10) / 10)


def test_posteriors_without_a_density_have_no_divergence():
    with seed_scope(0):
        autoencoder = aevb.VAE(
            priors.Normal(2),
            posteriors.Dirac(networks.MLP(6, [8]), 2),
            likelihoods.Normal(networks.MLP(2, [8]), [6]),
        )
    recipe = Recipe(autoencoder, objectives.ELBO(), Pathwise())
    epoch = finish_epoch(RunProgress(step_in_epoch=1), recipe, torch.ones(5), 0, 1.0, 0.1, 0.0)
    assert epoch.kl is None and epoch.log_likelihood == 1


@pytest.mark.parametrize(
    "state, can", [("running", True), ("interrupted", True), ("finished", False), (None, False)]
)
def test_an_unfinished_run_can_be_resumed_without_a_checkpoint(tmp_path, state, can):
    (tmp_path / "model.json").write_text(json.dumps({} if state is None else {"state": state}))
    if can:
        check_resumable(tmp_path)
    else:
        with pytest.raises(RunError):
            check_resumable(tmp_path)
    (tmp_path / "model.json").unlink()
    check_resumable(tmp_path)  # a run that was stopped before it wrote anything
    with pytest.raises(RunError):
        check_resumable(tmp_path / "nowhere")
    (tmp_path / CHECKPOINT_FILE).parent.mkdir()
    (tmp_path / CHECKPOINT_FILE).touch()
    (tmp_path / "model.json").write_text(json.dumps({"state": "finished"}))
    check_resumable(tmp_path)


def test_the_configuration_is_written_with_what_was_inferred(tmp_path):
    spec = aevb.data.load("digits").spec
    write_config(tmp_path, {}, {"epochs": 7}, spec)
    assert not (tmp_path / "config.toml").exists()
    metadata = {"config": {"likelihood": "bernoulli"}, "source_signature": "abc"}
    write_config(tmp_path, metadata, {"epochs": 7}, spec)
    text = (tmp_path / "config.toml").read_text()
    read = tomllib.loads(text)
    assert read["likelihood"] == "bernoulli" and read["source_signature"] == "abc"
    assert "epochs" not in read and "network" not in read
    comments = [line for line in text.splitlines() if line.startswith("#")]
    assert any("epochs" in line and "7" in line for line in comments)
    assert any("network" in line for line in comments)
    assert not any("likelihood" in line for line in comments)
    write_config(tmp_path, {"config": {"a": 1}}, {}, None)
    assert "source_signature" not in tomllib.loads((tmp_path / "config.toml").read_text())


def test_a_change_of_the_number_of_epochs_is_noted():
    assert dict(epochs_changed_note(3, None).data) == {"before": 3, "epochs": None}
    assert epochs_changed_note(None, 5).level == "info"


# a run in its folder


def make_run(out, scale=1.0, *, ema=False, epochs=3, batch_size=4, objective=None):
    """A run of a model whose weights are scaled, with an average of the weights if wanted."""
    own = model()
    with torch.no_grad():
        for parameter in own.parameters():
            parameter.mul_(scale)
    optimizer = torch.optim.Adam(own.parameters(), lr=0.01)
    step = TrainingStep(own, objective or objectives.ELBO(), Pathwise(), optimizer)
    average = ExponentialMovingAverage(own.parameters(), 0.9) if ema else None
    identity = {"batch_size": batch_size}
    return TrainingRun(step, optimizer, average, 5, out, {"epochs": epochs}, identity, {}, None)


def take_steps(run, count):
    for _ in range(count):
        for parameter in run.model.parameters():
            parameter.grad = torch.randn_like(parameter)
        run.optimizer.step()


def begun(out, ema=False, **options):
    """A run in the middle of its third epoch, with a checkpoint."""
    run = make_run(out, ema=ema, **options)
    run.open(resume=False, overwrite=False)
    take_steps(run, 2)
    run.weight_change.restart()
    run.best_tensors = run._current_weights()
    take_steps(run, 2)
    run.progress = RunProgress(2, 3, 9, 1.5, -4.0, 2, 0, 0, [], [])
    run.statistic_sums.copy_(torch.arange(5.0) + 1)
    run.training_step.skipped_steps += 2
    run.training_step.skip_streak += 1
    with run.random_stream.activate():
        torch.rand(7)
    if run.ema is not None:
        run.ema.update(2)
    run.checkpoint()
    return run


@pytest.mark.parametrize("ema", [False, True])
def test_a_resumed_run_has_all_state_of_the_run(tmp_path, ema):
    first = begun(tmp_path / "run", ema)
    first.close()
    second = make_run(tmp_path / "run", 2.0, ema=ema)
    progress = second.open(resume=True, overwrite=False)
    second.close()
    assert progress is second.progress and progress == first.progress
    assert progress.statistic_sums == [1.0, 2.0, 3.0, 4.0, 5.0] and progress.skipped_steps == 2
    assert second.statistic_sums.tolist() == progress.statistic_sums
    assert int(second.training_step.skipped_steps) == 2
    assert int(second.training_step.skip_streak) == 1
    assert torch.equal(first.random_stream.state, second.random_stream.state)
    assert first.weight_change.measure() > 0
    assert torch.equal(first.weight_change.measure(), second.weight_change.measure())
    assert second.opening_notes == ()
    pairs = [
        (first.model.state_dict(), second.model.state_dict()),
        (first.best_tensors, second.best_tensors),
        *zip(first.optimizer.state.values(), second.optimizer.state.values(), strict=True),
    ]
    if ema:
        pairs.append((first.ema.state_tensors(), second.ema.state_tensors()))
    for one, other in pairs:
        assert one.keys() == other.keys() and len(one)
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_run_is_resumed_with_its_own_settings_and_the_number_of_epochs_may_change(tmp_path):
    begun(tmp_path / "run").close()
    with pytest.raises(RunError) as caught:
        make_run(tmp_path / "run", batch_size=8).open(resume=True, overwrite=False)
    assert (caught.value.argument, caught.value.value) == ("batch_size", 8)
    longer = make_run(tmp_path / "run", epochs=7)
    longer.open(resume=True, overwrite=False)
    longer.close()
    (note,) = longer.notes
    assert note.code == "epochs_changed" and dict(note.data) == {"before": 3, "epochs": 7}


def damaged(folder, change):
    """Change the tensors of a checkpoint."""
    tensors, metadata = read_tensors(folder / CHECKPOINT_FILE)
    change(tensors)
    write_tensors(folder / CHECKPOINT_FILE, tensors, metadata, within=folder)


DAMAGE = {
    "model": lambda t: t.update({n: torch.zeros(1) for n in t if n.startswith("model/")}),
    "best": lambda t: t.update({n: torch.zeros(1) for n in t if n.startswith("best/")}),
    "moment": lambda t: t.update({"optimizer/0/exp_avg": torch.zeros(1)}),
    "stream": lambda t: t.update({"stream/state": torch.zeros(3, dtype=torch.uint8)}),
    "no stream": lambda t: t.pop("stream/state"),
    "average": lambda t: t.pop("ema/0"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_checkpoint_is_refused(tmp_path, name):
    begun(tmp_path / "run", ema=True).close()
    damaged(tmp_path / "run", DAMAGE[name])
    with pytest.raises(RunError):
        make_run(tmp_path / "run", ema=True).open(resume=True, overwrite=False)


def test_a_run_that_was_stopped_before_its_first_checkpoint_begins_again(tmp_path):
    first = make_run(tmp_path / "run")
    first.open(resume=False, overwrite=False)
    first.close()
    (tmp_path / "run" / HISTORY_FILE).write_text("{}\n")
    second = make_run(tmp_path / "run")
    second.open(resume=True, overwrite=False)
    second.close()
    assert [note.code for note in second.notes] == ["restarted"]
    assert (tmp_path / "run" / HISTORY_FILE).read_text() == ""
    with pytest.raises(RunError) as caught:
        make_run(None).open(resume=True, overwrite=False)
    assert caught.value.argument == "out"


@pytest.mark.parametrize("elapsed, due", [(0.0, False), (30.0, False), (30.5, True)])
def test_a_checkpoint_is_due_after_a_while(tmp_path, monkeypatch, elapsed, due):
    now = 1000.0
    monkeypatch.setattr(_run, "time", SimpleNamespace(monotonic=lambda: now))
    run = make_run(tmp_path / "run")
    run.open(resume=False, overwrite=False)
    path = tmp_path / "run" / CHECKPOINT_FILE
    with run.random_stream.activate():
        run.checkpoint_if_due()
        assert path.exists()
        path.unlink()
        now += elapsed
        torch.rand(1)
        run.checkpoint_if_due()
        saved = torch.equal(run.random_stream.state, torch.get_rng_state())
    run.close()
    assert (path.exists(), saved) == (due, due)


def test_a_folder_that_vanishes_ends_a_run(tmp_path):
    run = begun(tmp_path / "run")
    (tmp_path / "run").rename(tmp_path / "moved")
    for action in (run.checkpoint, lambda: run.finish("epochs"), run._check_folder):
        with pytest.raises(RunError):
            action()
    assert not (tmp_path / "run").exists()
    run.close()


@pytest.mark.parametrize("reason, state", [("epochs", "finished"), ("interrupted", "interrupted")])
@pytest.mark.parametrize("ema", [False, True])
@pytest.mark.parametrize("best", [False, True])
def test_the_best_weights_are_those_of_the_end(tmp_path, reason, state, ema, best):
    """Without a best epoch the averages of the weights, or the last weights."""
    run = begun(tmp_path / "run", ema)
    last = {name: tensor.clone() for name, tensor in run.model.state_dict().items()}
    names = [name for name, _ in run.model.named_parameters()]
    expected = last
    if best:
        expected = run.best_tensors
    elif ema:
        expected = last | dict(zip(names, [each.clone() for each in run.ema.averages], strict=True))
    run.best_tensors = run.best_tensors if best else None
    run.finish(reason)
    run.close()
    saved = aevb.load(tmp_path / "run").state_dict()
    for name, tensor in run.model.state_dict().items():
        assert torch.equal(tensor, expected[name]) and torch.equal(saved[name], tensor)
    assert json.loads((tmp_path / "run" / "model.json").read_text())["state"] == state


def one_epoch(run):
    run.progress.step_in_epoch = 2
    return run.close_epoch(1.0, 0.1)


@pytest.mark.parametrize("ema", [False, True])
def test_an_epoch_is_scored_by_the_averages_and_recorded(tmp_path, ema):
    run = make_run(tmp_path / "run", ema=ema)
    run.open(resume=False, overwrite=False)
    rows = Rows.from_array(torch.randn(5, 6))
    take_steps(run, 3)
    expected = make_run(None)
    restore_tensors(expected.model, run._current_weights())
    score = score_held_out(expected.model, rows, run.objective.validation_criterion, 5)
    run.statistic_sums += 1
    run.training_step.skipped_steps += 1
    for number in (1, 2):
        epoch = run.validate(one_epoch(run), rows)
        assert epoch.epoch == number and epoch.validation == pytest.approx(score.bound)
        assert run.statistic_sums.tolist() == [0.0] * 5 and run.weight_change.measure() == 0
        assert int(run.training_step.skipped_steps) == 0
    unscored = run.validate(one_epoch(run), None)
    assert unscored.validation is None
    run.close()
    assert [each.epoch for each in read_history(tmp_path / "run")] == [1, 2, 3]
    assert [each.skipped_steps for each in run.progress.history] == [1, 0, 0]
    for name, tensor in run.best_tensors.items():
        assert torch.equal(tensor, all_tensors(expected.model)[name])


def test_a_skipped_step_is_reported_with_its_place():
    run = make_run(None)
    run.progress = RunProgress(epoch=2, step_in_epoch=3, step=9)
    run.training_step.skip_streak += 1
    run.report_skipped_step(Batch(torch.full((4, 6), math.nan)))
    (note,) = run.notes
    assert note.code == "step_skipped"
    assert {"step": 9, "epoch": 3, "batch": 3}.items() <= dict(note.data).items()


def test_validation_needs_a_likelihood_that_is_trained_and_an_encoder():
    run = make_run(None)
    assert run.notes == ()
    run.objective.trains_likelihood = False
    assert [dict(note.data) for note in run.notes] == [{"reason": "untrained_likelihood"}]
    run.progress.step_in_epoch = 1
    epoch = run.validate(run.close_epoch(1.0, 0.1), Rows.from_array(torch.randn(5, 6)))
    assert epoch.validation is None
    spec = aevb.data.load("digits").spec
    run.objective.trains_likelihood = True
    run.spec = spec
    assert run.notes == ()
