"""A run that was killed goes on as if it had not been, alone or in a stack, from all its state."""

import shutil
from dataclasses import replace

import pytest
import torch
from torch import nn

import aevb
from aevb import likelihoods, networks, objectives, posteriors, priors
from aevb._random import seed_scope
from aevb.training import _run, adam

DATA = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
HELD_OUT = torch.randn(16, 3, generator=torch.Generator().manual_seed(1))
# The steps of an epoch are 5. The rate is negative from step 10 on, so that an early epoch is best.
KILLED_AT = 13
STEPS = {
    "epochs": 4,
    "batch_size": 8,
    "validation": HELD_OUT,
    "ema": 0.6,
    "compile": False,
    "progress": False,
    "device": "cpu",
}


class KilledError(Exception):
    """The process ends here."""


def tiny(seed: int) -> aevb.VAE:
    with seed_scope(seed):
        encoder = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Dropout(0.2))
        return aevb.VAE(
            priors.Normal(2),
            posteriors.Normal(encoder, 2),
            likelihoods.Normal(networks.MLP(2, [4]), [3], "per_element"),
        )


def schedule(kill_at=None):
    def factor(step, total):
        if step == kill_at:
            raise KilledError
        if kill_at is not None and step == kill_at - 1:
            _run.CHECKPOINT_SECONDS = -1.0  # which the fixture restores
        return 1.0 if step < 10 else -1.0

    return factor


def train(stacked, out=None, seed=0, kill_at=None, **more):
    settings = STEPS | {"lr_schedule": schedule(kill_at), "out": out} | more
    beta = objectives.Linear(0.1, 1.0, steps=16)
    if not stacked:
        settings |= {"objective": objectives.ELBO(beta=beta), "optimizer": adam(0.02)}
        return [aevb.fit(tiny(seed), DATA, seed=3, **settings)]
    return aevb.fit_many(
        [tiny(seed), tiny(seed + 1)],
        DATA,
        seed=[3, 4],
        objective=[objectives.ELBO(beta=beta) for _ in range(2)],
        optimizer=[adam(0.02), adam(0.01)],
        **settings,
    )


def outcome(results):
    """Everything that a run finds, to the bit."""
    return [
        (
            [epoch.to_reproducible_dict() for epoch in result.history],
            result.best_epoch,
            [tensor.tolist() for tensor in result.model.state_dict().values()],
        )
        for result in results
    ]


@pytest.fixture(scope="module", params=[False, True], ids=["alone", "stacked"])
def case(request, tmp_path_factory):
    """Whether runs are stacked, the result without an end, and the folder of a killed run."""
    folder = tmp_path_factory.mktemp("killed") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_run, "CHECKPOINT_SECONDS", 1e9)
        with pytest.raises(KilledError):
            train(request.param, folder, kill_at=KILLED_AT)
    return request.param, train(request.param), folder


def test_a_killed_run_goes_on_to_the_bit(case, tmp_path):
    stacked, whole, folder = case
    assert all(result.best_epoch == 2 for result in whole)
    shutil.copytree(folder, tmp_path / "run")
    resumed = train(stacked, tmp_path / "run", seed=9, resume=True)
    assert outcome(resumed) == outcome(whole)
    codes = [{note.code for note in each.notes} for each in resumed]
    assert all(("stacked" in each) == stacked for each in codes)


def without_tensors(part, entry=""):
    """Leave a part of the tensors out: zeros in their place."""

    def change(saved):
        tensors = saved.tensors_by_part[part]
        wanted = {name: torch.zeros_like(t) for name, t in tensors.items() if entry in name}
        assert wanted
        return replace(saved, tensors_by_part=saved.tensors_by_part | {part: tensors | wanted})

    return change


def another_stream(saved):
    state = torch.Generator().manual_seed(77).get_state()
    stream = saved.tensors_by_part["stream"] | {"state": state}
    return replace(saved, tensors_by_part=saved.tensors_by_part | {"stream": stream})


def without_moment(name):
    def change(saved):
        for state in saved.optimizer["state"].values():
            state[name] = torch.zeros_like(state[name])
        return saved

    return change


def with_progress(**values):
    def change(saved):
        return replace(saved, progress=replace(saved.progress, **values))

    return change


PARTS = {
    "weights": without_tensors("model", "weight"),
    "best weights": without_tensors("best"),
    "averages": without_tensors("ema"),
    "weights at the start of the epoch": without_tensors("epoch_start"),
    "random stream": another_stream,
    "first moments": without_moment("exp_avg"),
    "second moments": without_moment("exp_avg_sq"),
    "steps of Adam": without_moment("step"),
    "place in the data": with_progress(step_in_epoch=1),
    "step": with_progress(step=3),
    "best score": with_progress(best_validation=-1e9),
    "best epoch": with_progress(best_epoch=1),
    "sums of the epoch": with_progress(statistic_sums=[0.0] * 5),
    "skipped steps": with_progress(skipped_steps=1),
    "history": with_progress(history=[]),
}


@pytest.mark.parametrize("part", PARTS)
def test_every_part_of_the_state_matters(part, case, tmp_path, monkeypatch):
    """Without it, a resumed run finds something else."""
    stacked, whole, folder = case
    shutil.copytree(folder, tmp_path / "run")
    read, change = _run.checkpoint.read_checkpoint, PARTS[part]
    monkeypatch.setattr(_run.checkpoint, "read_checkpoint", lambda path: change(read(path)))
    resumed = train(stacked, tmp_path / "run", seed=9, resume=True)
    for found, expected in zip(outcome(resumed), outcome(whole), strict=True):
        assert found != expected


def test_callbacks_of_a_stack_see_each_model_and_end_it():
    seen = []

    def callback(epoch, model):
        seen.append((epoch.epoch, model))
        return model is models[1] and epoch.epoch == 2

    models = [tiny(0), tiny(1)]
    results = aevb.fit_many(models, DATA, seed=[3, 4], callbacks=[callback], **STEPS)
    assert [result.stop_reason for result in results] == ["epochs", "callback"]
    assert [len(result.history) for result in results] == [4, 2]
    own = [[number for number, model in seen if model is each] for each in models]
    assert own == [[1, 2, 3, 4], [1, 2]]
