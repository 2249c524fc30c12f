"""The record of the rows of a run: later commands find them, and changes are noticed."""

import json
from dataclasses import replace

import numpy as np
import pytest

from aevb.errors import RunError
from aevb.presets import preset
from aevb.runs import DataSettings, ModelSettings, Run, RunSettings, TrainingSettings
from aevb.runs._confirmation import is_confirmed


def write(path, seed, n):
    np.save(path, np.random.default_rng(seed).normal(size=(n, 4)).astype(np.float32))


@pytest.fixture
def settings(tmp_path):
    for seed, (name, n) in enumerate({"a": 60, "b": 20, "c": 10}.items()):
        write(tmp_path / f"{name}.npy", seed, n)
    a, b, c = (str(tmp_path / f"{name}.npy") for name in "abc")
    data = DataSettings(validation=b, test=c)
    return RunSettings(a, data, ModelSettings(hidden=(4,)), TrainingSettings(epochs=1))


def test_a_run_finds_its_three_sources_and_notices_a_change(settings, tmp_path):
    out = tmp_path / "run"
    settings.fit(out, device="cpu", progress=False)
    record = json.loads((out / "model.json").read_text())["training"]["data_parts"]
    assert {name: part["rows"] for name, part in record.items()} == {
        "train": 60,
        "validation": 20,
        "test": 10,
    }
    assert len({part["fingerprint"] for part in record.values()}) == 3
    run = Run.open(out, device="cpu")
    assert run.evaluate(samples=2).n == 10 and run.data_notes() == ()
    longer = RunSettings(
        settings.source, settings.data, settings.model, TrainingSettings(epochs=2), settings.seed
    )
    assert len(longer.fit(out, device="cpu", progress=False, resume=True).history) == 2

    write(settings.data.test, 9, 10)  # of the same shape, so that the spec is the same
    (note,) = Run.open(out, device="cpu").data_notes()
    assert note.code == "data_changed" and note.data["source"] == settings.data.test
    with pytest.raises(RunError) as caught:
        longer.fit(out, device="cpu", progress=False, resume=True)
    assert caught.value.argument == "test"


def test_every_source_of_a_foreign_run_needs_confirmation(settings):
    config = settings.to_dict()
    assert is_confirmed(config, settings.to_record()["source_signature"])
    assert is_confirmed({"source": "digits"}, None)
    assert not is_confirmed({"source": "digits", "test": settings.data.test}, None)


def test_python_and_the_command_choose_the_same_latent_size(settings):
    data = settings.load_data()
    for name in ("vae", "table_vae"):
        chosen = replace(settings, model=replace(settings.model, preset=name))
        expected = (2,) if name == "vae" else (4,)  # half the columns, or all of them
        assert chosen.recipe(data.spec).model.latent_shape == expected
        assert preset(name, data.spec).model.latent_shape == expected
    for name in ("vae", "iwae", "beta_vae", "renyi_vae"):
        assert preset(name, data.spec).model.latent_shape == (2,)
    assert preset("vae", data.spec, latent=5).model.latent_shape == (5,)
