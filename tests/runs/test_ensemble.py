"""Runs of ensembles: trained as one stack, kept in one folder, used like any run."""

from dataclasses import replace

import pytest
import torch
from tests.refusals import refused

from aevb.errors import ArgumentError, RunError
from aevb.runs import ModelSettings, Run, RunSettings, TrainingSettings

TRAINING = TrainingSettings(epochs=2)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "mixed.csv"
    generator = torch.Generator().manual_seed(0)
    kind = torch.randint(3, (300,), generator=generator)
    number = kind + torch.randn(300, generator=generator)
    lines = [f"{x:.6f},{'abc'[k]}" for x, k in zip(number.tolist(), kind.tolist(), strict=True)]
    path.write_text("\n".join(["number,kind", *lines]) + "\n")
    return str(path)


@pytest.fixture(scope="module")
def settings(source):
    return RunSettings(source, model=ModelSettings(hidden=(8,), ensemble=3), training=TRAINING)


@pytest.fixture(scope="module")
def run(settings, tmp_path_factory):
    return settings.fit(tmp_path_factory.mktemp("runs") / "ensemble", progress=False)


def test_an_ensemble_is_a_run(run):
    assert run.capabilities.members == 3 and "ensemble of 3" in run.title
    opened = Run.open(run.path)
    assert opened.settings == run.settings and opened.status.state == "finished"
    members = [(each["seed"], each["stopped"]) for each in opened.training["ensemble"]]
    assert members == [(0, "epochs"), (1, "epochs"), (2, "epochs")]
    first, second = (each.log_likelihood(samples=30) for each in (run, opened))
    assert first is not None and second is not None
    assert torch.equal(first.per_datum, second.per_datum)
    assert len(opened.history) == 2 and opened.encode().shape[1:] == opened.latent_shape
    assert len(opened.score(samples=20).frame) == 30


def test_the_first_member_is_the_single_model(run, settings):
    single = replace(settings, model=replace(settings.model, ensemble=None)).fit(progress=False)
    # a stack takes the steps that a single run takes, to rounding
    assert torch.allclose(run.encode(), single.encode(), atol=1e-3)


def test_an_ensemble_of_one_is_a_single_model(settings):
    run = replace(settings, model=replace(settings.model, ensemble=1)).fit(progress=False)
    assert run.capabilities.members == 1


def test_an_ensemble_is_not_resumed_but_replaced(run, settings):
    with refused(RunError, "resume"):
        settings.fit(run.path, resume=True, progress=False)
    with refused(ArgumentError, "callbacks"):
        settings.fit(callbacks=[lambda epoch, model: True], progress=False)
    with refused(RunError, "out"):
        settings.fit(run.path, progress=False)
    again = settings.fit(run.path, overwrite=True, progress=False)
    assert torch.equal(again.encode(), run.encode())


@pytest.mark.parametrize("count", [0, -1])
def test_impossible_numbers_are_refused_before_data_are_read(count):
    settings = RunSettings("no such file", model=ModelSettings(ensemble=count))
    with refused(ArgumentError, "ensemble"):
        settings.load_data()
