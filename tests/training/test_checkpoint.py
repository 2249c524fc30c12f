"""Checkpoints: what is written is read back, and what does not fit is refused."""

import json
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adam

from aevb._files import read_tensors, write_tensors
from aevb.errors import RunError
from aevb.training import _checkpoint as checkpoint
from aevb.training._history import append_history

COUNTS = (
    "epoch",
    "step_in_epoch",
    "step",
    "seconds",
    "epochs_without_improvement",
    "skipped_steps",
)


@pytest.fixture
def written(tmp_path):
    """A checkpoint after one step of Adam, with every field of the progress set."""
    layer = nn.Linear(3, 2)
    optimizer = Adam(layer.parameters(), lr=torch.tensor(0.25), capturable=False)
    layer(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    progress = checkpoint.RunProgress(2, 3, 5, 1.5, -4.0, 1, 7, 6, [0.5] * 5)
    parts = {"model": checkpoint.all_tensors(layer), "best": {}}
    checkpoint.write_checkpoint(tmp_path, progress, parts, optimizer, {"lr": [1, 2]})
    return tmp_path, layer, optimizer, progress


def rewrite(folder, change):
    """Change the JSON of a checkpoint."""
    tensors, metadata = read_tensors(folder / checkpoint.CHECKPOINT_FILE)
    record = json.loads(metadata["run"])
    change(record)
    path = folder / checkpoint.CHECKPOINT_FILE
    write_tensors(path, tensors, {"run": json.dumps(record)}, within=folder)


def test_the_checkpoint_before_is_used_where_the_last_one_is_damaged(written):
    folder, layer, optimizer, progress = written
    parts = {"model": checkpoint.all_tensors(layer)}
    checkpoint.write_checkpoint(folder, replace(progress, step=9), parts, optimizer, {})
    assert checkpoint.read_checkpoint(folder).progress.step == 9
    path = folder / checkpoint.CHECKPOINT_FILE
    for damage in (path.read_bytes()[:50], b""):
        path.write_bytes(damage)
        saved = checkpoint.read_checkpoint(folder)
        assert saved.progress.step == progress.step
        assert [note.code for note in saved.notes] == ["previous_checkpoint"]
    path.unlink()
    assert checkpoint.has_checkpoint(folder)
    assert checkpoint.read_checkpoint(folder).progress.step == progress.step


def test_a_checkpoint_holds_all_that_was_written(written):
    folder, layer, optimizer, progress = written
    saved = checkpoint.read_checkpoint(folder)
    assert saved.progress == progress and saved.settings == {"lr": [1, 2]}
    assert set(saved.tensors_by_part) == {"model"}
    for name, tensor in layer.named_parameters():
        assert torch.equal(saved.tensors_by_part["model"][name], tensor)
    twin = Adam(nn.Linear(3, 2).parameters())
    twin.load_state_dict(saved.optimizer)
    for own, other in zip(optimizer.state.values(), twin.state.values(), strict=True):
        assert own.keys() == other.keys() == {"step", "exp_avg", "exp_avg_sq"}
        assert all(torch.equal(own[name], other[name]) for name in own)
    (group,) = saved.optimizer["param_groups"]
    assert group["lr"] == 0.25 and group["capturable"] is False and group["params"] == [0, 1]


def test_numbers_of_an_optimiser_are_kept(tmp_path):
    weight = nn.Parameter(torch.zeros(2))
    optimizer = SGD([weight], momentum=0.5)
    optimizer.state[weight] = {"momentum_buffer": torch.ones(2), "count": 3}
    checkpoint.write_checkpoint(tmp_path, checkpoint.RunProgress(), {}, optimizer, {})
    saved = checkpoint.read_checkpoint(tmp_path)
    assert saved.optimizer["state"][0].pop("momentum_buffer").tolist() == [1.0, 1.0]
    assert saved.optimizer["state"] == {0: {"count": 3}}
    assert "capturable" not in saved.optimizer["param_groups"][0]


@pytest.mark.parametrize("name", COUNTS)
def test_counts_are_not_negative(written, name):
    folder = written[0]
    rewrite(folder, lambda record: record["progress"].update({name: 0}))
    assert getattr(checkpoint.read_checkpoint(folder).progress, name) == 0
    rewrite(folder, lambda record: record["progress"].update({name: -1}))
    with pytest.raises(RunError):
        checkpoint.read_checkpoint(folder)


@pytest.mark.parametrize("epoch, kept", [(0, []), (1, [1]), (2, [1, 2]), (5, [1, 2, 3])])
def test_the_history_ends_at_the_checkpoint(written, epoch_record, epoch, kept):
    folder = written[0]
    for number in (1, 2, 3):
        append_history(folder, epoch_record(number))
    rewrite(folder, lambda record: record["progress"].update(epoch=epoch))
    assert [each.epoch for each in checkpoint.read_checkpoint(folder).progress.history] == kept


@pytest.fixture
def epoch_record():
    import aevb
    from aevb._recipe import Recipe
    from aevb.training._run import finish_epoch

    recipe: Recipe = aevb.presets.vae(aevb.data.load("digits").spec, latent=1, hidden=[2])
    sums = torch.zeros(5 + len(recipe.metric_names))

    def make(number):
        progress = checkpoint.RunProgress(number - 1)
        return finish_epoch(progress, recipe, sums, 0, 1.0, 0.1, 0.0)

    return make


def test_a_folder_without_a_checkpoint(tmp_path):
    assert not checkpoint.has_checkpoint(tmp_path)
    with pytest.raises(RunError) as caught:
        checkpoint.read_checkpoint(tmp_path)
    assert caught.value.argument == "resume"


PART = {"class": "Normal", "arguments": {"latent": 2, "net": {"class": "MLP", "arguments": {}}}}


@pytest.mark.parametrize(
    "saved, current, name, value",
    [
        ({"a": 1, "b": 2}, {"a": 1, "b": 3}, "b", 3),
        ({"a": 1, "b": 2}, {"a": 4, "b": 3}, "a", 4),  # the first of them
        ({"a": 1}, {"a": 1, "b": 3}, "b", 3),
        ({"a": 1, "b": 3}, {"a": 1}, "b", None),
        ({"a": [1]}, {"a": (2,)}, "a", [2]),
        ({"p": PART}, {"p": PART | {"class": "Laplace"}}, "p", "Laplace"),
        ({"p": PART}, {"p": {"class": "Normal", "arguments": {"latent": 3}}}, "latent", 3),
        ({"p": PART}, {"p": 5}, "p", 5),
        ({"p": 5}, {"p": PART}, "p", PART),
        ({"p": PART}, {"p": PART | {"arguments": None}}, "p", None),
        ({"q": {"a": None}}, {"q": {}}, "q", {}),
    ],
)
def test_the_innermost_setting_that_differs_is_named(tmp_path, saved, current, name, value):
    checkpoint.check_settings(tmp_path, saved, saved)
    with pytest.raises(RunError) as caught:
        checkpoint.check_settings(tmp_path, saved, current)
    assert (caught.value.argument, caught.value.value) == (name, value)


def test_settings_are_compared_as_json(tmp_path):
    checkpoint.check_settings(tmp_path, {"betas": [0.9, 0.99]}, {"betas": (0.9, 0.99)})


def test_tensors_of_another_shape_or_name_do_not_fit():
    layer = nn.BatchNorm1d(2)
    tensors = {name: tensor.detach() + 1 for name, tensor in checkpoint.all_tensors(layer).items()}
    assert set(tensors) == {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}
    checkpoint.restore_tensors(layer, tensors)
    assert layer.running_mean.tolist() == [1.0, 1.0] and layer.weight.tolist() == [2.0, 2.0]
    with pytest.raises(RuntimeError):  # `copy_` would broadcast it
        checkpoint.restore_tensors(layer, tensors | {"bias": torch.zeros(1)})
    del tensors["running_var"]
    with pytest.raises(KeyError):
        checkpoint.restore_tensors(layer, tensors)


@pytest.mark.parametrize(
    "change, fits",
    [
        ({"lr": 3}, True),  # a number for a number
        ({"lr": torch.tensor(0.1)}, True),
        ({"lr": "0.1"}, False),
        ({"lr": None}, False),
        ({"lr": True}, False),
        ({"betas": [0.5, 0.5]}, True),
        ({"betas": (0.5, 0.5, 0.5)}, False),
        ({"params": [7, 8]}, True),
        ({"params": [7]}, False),
        ({"foreach": True}, True),  # None lets torch choose
        ({"foreach": 1.0}, False),
        ({"maximize": None}, True),
        ({"amsgrad": "no"}, False),
        ({"unknown": 1}, True),
    ],
)
def test_settings_of_an_optimiser_have_their_form(change, fits):
    optimizer = Adam([torch.zeros(2), torch.zeros(3)])
    (group,) = optimizer.state_dict()["param_groups"]
    if fits:
        checkpoint.check_groups(optimizer, [group | change])
    else:
        with pytest.raises(ValueError):  # noqa: PT011 (damage of any kind)
            checkpoint.check_groups(optimizer, [group | change])


def test_groups_of_an_optimiser_are_complete():
    optimizer = Adam([torch.zeros(2)])
    (group,) = optimizer.state_dict()["param_groups"]
    for groups in ([], [group, group]):
        with pytest.raises(ValueError):  # noqa: PT011 (damage of any kind)
            checkpoint.check_groups(optimizer, groups)
    with pytest.raises(KeyError):
        checkpoint.check_groups(optimizer, [{k: v for k, v in group.items() if k != "eps"}])


@pytest.mark.parametrize("name", sorted(checkpoint.MOMENTS))
def test_moments_have_the_shape_of_their_parameter(name):
    weight = torch.zeros(2, 3)
    checkpoint.check_moments(weight, {name: torch.ones(2, 3), "step": torch.tensor(1.0)})
    checkpoint.check_moments(weight, {name: None})
    checkpoint.check_moments(weight, {"step": torch.ones(1)})
    with pytest.raises(RuntimeError):
        checkpoint.check_moments(weight, {name: torch.ones(3), "step": torch.tensor(1.0)})
