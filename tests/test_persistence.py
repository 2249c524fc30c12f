"""A saved and loaded model is the same model, and loading executes nothing."""

import copy
import json
import os
import random
import shutil
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from tests.catalogue import GRADIENTS, LIKELIHOODS, OBJECTIVES, POSTERIORS, PRIORS
from tests.covering import few
from torch import nn

import aevb
from aevb import _persistence as persistence
from aevb import gradients, likelihoods, networks, objectives, posteriors, priors
from aevb._files import read_tensors, write_tensors
from aevb.errors import AevbError, RunError
from aevb.runs import ModelSettings, RunSettings, TrainingSettings
from aevb.training._history import read_history


def small(network: nn.Module | None = None) -> aevb.VAE:
    return aevb.VAE(
        priors.Normal(2),
        posteriors.Normal(network or networks.MLP(4, [5]), 2),
        likelihoods.Bernoulli(networks.MLP(2, [5]), (4,)),
    )


@pytest.mark.parametrize("posterior, likelihood", few(POSTERIORS, LIKELIHOODS))
def test_every_composition_is_rebuilt_from_its_record(tmp_path, posterior, likelihood):
    entry = POSTERIORS[posterior]
    prior = PRIORS[entry.prior]()
    latent = prior().event_shape
    inner = networks.Standardise(networks.MLP(4, [5], activation="tanh"), [0.5], [2.0])
    part = LIKELIHOODS[likelihood](networks.MLP(latent.numel(), [5]), len(latent))
    model = aevb.VAE(prior, entry.build(inner), part).eval()
    again = aevb.load(persistence.save(model, tmp_path / "run"))
    x = model.sample(3)
    batch = aevb.Batch(x, index=torch.arange(3), dataset_size=model.posterior.n_rows)
    z = model.infer(batch).mean
    assert torch.equal(z, again.infer(batch).mean)
    assert torch.equal(model.likelihood(z).log_prob(x), again.likelihood(z).log_prob(x))
    assert persistence.to_config(model) == persistence.to_config(again)


def test_default_arguments_are_saved():
    """Other versions may have other defaults; a saved model must not change."""
    defaults = {"samples": 1, "beta": 1.0, "free_bits": 0.0, "kl": "auto", "capacity": None}
    assert persistence.to_config(objectives.ELBO())["arguments"] == defaults
    assert persistence.to_config(objectives.ELBO()) == persistence.to_config(
        objectives.ELBO(beta=1.0)
    )
    assert persistence.to_config(copy.deepcopy(small())) == persistence.to_config(small())
    assert isinstance(
        persistence.from_config(persistence.to_config(gradients.Pathwise())), gradients.Pathwise
    )


@pytest.mark.parametrize("shape", [(9, 7), (3, 8, 8)])
def test_convolutions_are_built_again(tmp_path, shape):
    model = aevb.VAE(
        priors.Normal(2),
        posteriors.Normal(networks.ConvEncoder(shape, [4, 6], residual=1), 2),
        likelihoods.DiscretisedLogistic(networks.ConvDecoder(2, shape, [6, 4], residual=1), shape),
    ).eval()
    again = aevb.load(persistence.save(model, tmp_path))
    assert torch.equal(
        model.reconstruct(torch.zeros(2, *shape)), again.reconstruct(torch.zeros(2, *shape))
    )


def test_a_part_that_appears_twice_is_built_once():
    shared = networks.MLP(2, [5])
    record = persistence.to_config([shared, shared])
    first, second = persistence.from_config(json.loads(json.dumps(record)))
    assert first is second


def test_objectives_with_their_schedules_are_built_again():
    objective = objectives.ELBO(samples=2, beta=objectives.Cyclical(steps=50), free_bits=0.1)
    again = persistence.from_config(json.loads(json.dumps(persistence.to_config(objective))))
    for step in (0, 7, 49, 50):
        objective.set_step(step)
        again.set_step(step)
        assert objective.beta == again.beta
    assert again.samples == 2 and again.free_bits == 0.1


@pytest.mark.parametrize(
    "name", [name for name in (*OBJECTIVES, *GRADIENTS) if name != "score-network"]
)  # whose network is foreign
def test_every_objective_and_gradient_is_built_again(name):
    part = (OBJECTIVES | GRADIENTS)[name]()
    record = json.loads(json.dumps(persistence.to_config(part)))
    assert persistence.to_config(persistence.from_config(record)) == record


class Mine(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x).tanh()


def test_custom_networks_are_supplied_by_the_caller(tmp_path):
    model = small(Mine())
    persistence.save(model, tmp_path)
    with pytest.raises(RunError, match=r"Mine.*aevb.load\(run, model=...\)"):
        aevb.load(tmp_path)
    again = aevb.load(tmp_path, model=small(Mine()))
    assert torch.equal(model.eval().encode(torch.ones(1, 4)), again.encode(torch.ones(1, 4)))


def edit(folder, **changes) -> None:
    record = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(record | changes))


def break_format(folder):
    edit(folder, format=99)


def break_class(folder):
    edit(folder, model={"class": "os.system", "arguments": {"command": "true"}})


def break_arguments(folder):
    edit(folder, model={"class": "networks.MLP", "arguments": {"inputs": 3, "evil": 1}})


def break_json(folder):
    text = (folder / "model.json").read_text()
    (folder / "model.json").write_text(text[: len(text) // 2])


def break_origin(folder):
    (folder / "model.json").write_text('{"name": "something else"}')


def break_weights(folder):
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])


def break_shape(folder):
    edit(folder, weights=None)  # as in format 1, which names no weights
    write_tensors(folder / "model.safetensors", {"posterior.heads.head.weight": torch.zeros(1)})


def break_digest(folder):
    other = folder.parent / "other"
    torch.manual_seed(1)
    persistence.save(small(), other)
    shutil.copy(other / "model.safetensors", folder)


def break_missing(folder):
    (folder / "model.safetensors").unlink()


@pytest.mark.parametrize("killed_before", range(1, 6))
def test_a_save_that_is_killed_leaves_the_old_model_or_the_new_one(
    tmp_path, monkeypatch, killed_before
):
    models = [small(), small()]
    persistence.save(models[0], tmp_path / "run")
    calls = []

    def counted(function):
        def call(*arguments, **options):
            calls.append(function)
            if len(calls) == killed_before:
                raise KeyboardInterrupt
            return function(*arguments, **options)

        return call

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", counted(os.fsync))
        patch.setattr(Path, "replace", counted(Path.replace))
        with suppress(KeyboardInterrupt):
            persistence.save(models[1], tmp_path / "run")
    x = torch.ones(1, 4)
    answers = [model.eval().encode(x) for model in models]
    assert any(torch.equal(aevb.load(tmp_path / "run").encode(x), each) for each in answers)
    persistence.save(models[1], tmp_path / "run")
    assert torch.equal(aevb.load(tmp_path / "run").encode(x), answers[1])
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        "model.json",
        "model.safetensors",
    }


@pytest.mark.parametrize(
    "harm, words",
    [
        (break_format, "format 99.*upgrade"),
        (break_class, "has no `os.system`"),
        (break_arguments, "cannot be built"),
        (break_json, "truncated"),
        (break_origin, "did not write"),
        (break_weights, "truncated"),
        (break_shape, "do not fit"),
        (break_digest, "another model"),
        (break_missing, "missing"),
    ],
)
def test_error_for_a_damaged_folder_names_the_cause(tmp_path, harm, words):
    persistence.save(small(), tmp_path)
    harm(tmp_path)
    with pytest.raises(RunError, match=words):
        aevb.load(tmp_path)


@pytest.mark.parametrize(
    "argument, value",
    [
        ("hidden", [10**9]),
        ("hidden", [10**9, 10**9]),
        ("hidden", [4] * 5000),
        ("inputs", 10**12),
        ("latent", 10**10),
        ("event_shape", [10**6, 10**6]),
    ],
)
def test_sizes_that_the_weights_do_not_account_for_are_refused(tmp_path, argument, value):
    """Before memory is allocated: none of these models fits into any."""
    persistence.save(small(), tmp_path)

    def change(part):
        for name, item in part["arguments"].items():
            if isinstance(item, dict):
                change(item)
            elif name == argument:
                part["arguments"][name] = value

    record = json.loads((tmp_path / "model.json").read_text())
    change(record["model"])
    edit(tmp_path, model=record["model"])
    with pytest.raises(RunError, match=r"cannot be built|do not fit"):
        aevb.load(tmp_path)


def values_of_json(rng: random.Random):
    deep: list = []
    for _ in range(300):
        deep = [deep]
    return rng.choice(
        [None, True, -1, 0, 1.5, 10**9, 10**400, float("nan"), "", "x", [], {}, [[]], deep]
    )


def mutate_json(value, rng: random.Random):
    """The value with one part of it replaced, left out, or doubled."""
    if isinstance(value, dict | list) and value and rng.random() < 0.85:
        changed = copy.copy(value)
        key = rng.choice(list(value) if isinstance(value, dict) else range(len(value)))
        if rng.random() < 0.15:
            del changed[key]
        else:
            changed[key] = mutate_json(value[key], rng)
        return changed
    return values_of_json(rng)


def mutate_bytes(content: bytes, rng: random.Random) -> bytes:
    """The content with a byte changed, a part left out or repeated, or its end cut off."""
    place, length = rng.randrange(len(content)), rng.randrange(1, 40)
    return rng.choice(
        [
            content[:place] + rng.randbytes(1) + content[place + 1 :],
            content[:place] + content[place + length :],
            content[:place] + content[place : place + length] + content[place:],
            content[:place],
        ]
    )


def mutate_run(folder: Path, rng: random.Random) -> str:
    """Change one file of a run; returns its name."""
    path = folder / rng.choice(["model.json", "model.json", "model.safetensors", "history.jsonl"])
    content = path.read_bytes()
    if path.suffix == ".json" and rng.random() < 0.7:
        changed = json.dumps(mutate_json(json.loads(content), rng)).encode()
    else:
        changed = mutate_bytes(content, rng)
    path.write_bytes(changed)
    return path.name


def open_mutated(folder: Path) -> None:
    """Read everything that opening a run reads."""
    run = aevb.Run.open(folder)
    repr(run), run.title, run.matches_prior, run.status_notes(), run.data_notes


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A run of a labelled table."""
    out = tmp_path_factory.mktemp("run") / "run"
    model = ModelSettings(latent=2, hidden=(4,))
    settings = RunSettings("digits", model=model, training=TrainingSettings(epochs=2))
    settings.fit(out, device="cpu", progress=False)
    return out


@pytest.mark.parametrize("seed", range(120))
def test_a_damaged_run_is_opened_or_refused_with_our_error(trained, tmp_path, seed):
    shutil.copytree(trained, tmp_path / "run")
    mutate_run(tmp_path / "run", random.Random(seed))
    with suppress(AevbError):
        open_mutated(tmp_path / "run")


@pytest.mark.parametrize("seed", range(40))
def test_a_damaged_checkpoint_is_resumed_or_refused_with_our_error(trained, tmp_path, seed):
    shutil.copytree(trained, tmp_path / "run")
    path, rng = tmp_path / "run" / "checkpoint" / "state.safetensors", random.Random(seed)
    if seed % 4:
        tensors, metadata = read_tensors(path)
        record = mutate_json(json.loads(metadata["run"]), rng)
        write_tensors(path, tensors, {"run": json.dumps(record)})
    else:
        path.write_bytes(mutate_bytes(path.read_bytes(), rng))
    with suppress(AevbError):
        settings = RunSettings.read(tmp_path / "run")
        settings.fit(tmp_path / "run", device="cpu", progress=False, resume=True)


def test_fields_of_a_newer_version_are_left_out_of_the_history(trained, tmp_path):
    lines = [json.loads(line) | {"new": {"a": 1}} for line in history_lines(trained)]
    (tmp_path / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert [epoch.epoch for epoch in read_history(tmp_path)] == [1, 2]
    (tmp_path / "history.jsonl").write_text(json.dumps(lines[0]) + "\n" + '{"epoch": 2, "st')
    assert [epoch.epoch for epoch in read_history(tmp_path)] == [1]  # killed while it wrote
    for broken in ("{", json.dumps(lines[0] | {"kl": "1"}), "[" * 5000):
        (tmp_path / "history.jsonl").write_text(broken + "\n")
        with pytest.raises(RunError, match="line 1"):
            read_history(tmp_path)


def history_lines(folder: Path) -> list[str]:
    return (folder / "history.jsonl").read_text().splitlines()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes")
def test_a_pipe_is_not_waited_for(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    for name in ("history.jsonl", "model.safetensors", "model.json"):
        (tmp_path / "run" / name).unlink()
        os.mkfifo(tmp_path / "run" / name)
        with pytest.raises(RunError, match=name):
            aevb.Run.open(tmp_path / "run")


def test_missing_folder_is_refused():
    with pytest.raises(RunError, match="there is no run folder"):
        aevb.load("nowhere")
