"""A run writes its best weights without changing the model that is training."""

import json
import math
import tomllib

import pytest
import torch

import aevb
from aevb import likelihoods, networks, objectives, posteriors, priors
from aevb._random import seed_scope
from aevb._recipe import Recipe
from aevb.errors import RunError
from aevb.gradients import Pathwise
from aevb.gradients._gradient import training_terms
from aevb.training import adam
from aevb.training._checkpoint import CHECKPOINT_FILE, RunProgress
from aevb.training._run import (
    TrainingRun,
    check_resumable,
    epochs_changed_note,
    finish_epoch,
    write_config,
)
from aevb.training._step import TrainingStep
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
