"""Runs from Python: the same methods and the same numbers as on the command line."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse
import torch

import aevb
from aevb._files import finite_or_none
from aevb.cli import main
from aevb.errors import ArgumentError, DataError, IncompatibleError, RunError
from aevb.runs import ModelSettings, Run, RunSettings, compare, next_run_folder
from aevb.runs._run import evenly_spaced

from .conftest import SHORT, small


def printed(capsys, *arguments):
    capsys.readouterr()
    assert main([str(argument) for argument in arguments]) == 0
    return json.loads(capsys.readouterr().out)


def test_command_and_methods_agree(run, folder, capsys):
    output = printed(capsys, "evaluate", folder, "--samples", 5, "--seed", 3, "--json")
    numbers = finite_or_none(run.evaluate(samples=5, seed=3).to_dict())
    assert {name: output[name] for name in numbers} == numbers
    quality = printed(capsys, "quality", folder, "--json")
    assert quality["reconstruction"]["psnr"]["value"] == run.quality().reconstruction.psnr.value
    doctor = printed(capsys, "doctor", folder, "--json")
    assert doctor["findings"] == run.diagnose().to_dict()["findings"]


def test_run_in_memory_equals_the_run_loaded_from_disk(run):
    fresh = small().fit(device="cpu", progress=False)
    assert fresh.path is None and fresh.settings == run.settings and fresh.title == run.title
    assert torch.equal(fresh.encode(), run.encode())
    output, expected = (each.evaluate(samples=20).to_dict() for each in (fresh, run))
    assert finite_or_none(output) == finite_or_none(expected)


def test_methods_return_tensors_of_the_stated_shapes(run):
    z = run.encode()
    assert z.shape == (180, 2) and torch.equal(run.decode(z), run.reconstruct())
    assert run.sample(3).dtype == torch.uint8
    assert torch.equal(run.sample(3, seed=1), run.sample(3, seed=1))
    assert not torch.equal(run.encode(draw=True), z)
    walk = run.interpolate(None, 0, 5, steps=4)
    assert walk.x.shape == (4, 8, 8) and walk.z.shape == (4, 2)
    array = run.data().test.tensor().numpy().astype(np.uint8)
    assert torch.equal(run.encode(array), z)


def test_missing_splits_are_refused(run):
    with pytest.raises(ArgumentError) as caught:
        run.interpolate(None, 0, 180)
    assert (caught.value.argument, caught.value.value) == ("to_row", 180)
    with pytest.raises(IncompatibleError):
        run.predict()


def test_notes_report_data_that_are_not_held_out(run, folder, tmp_path):
    train = run.data().train
    (note,) = run.data_notes("train", train)
    assert note.code == "training_rows" and note.data["share"] == 1.0
    shutil.copytree(folder, tmp_path / "run")
    record = json.loads((tmp_path / "run/model.json").read_text())
    record["data"]["levels"] = 99
    (tmp_path / "run/model.json").write_text(json.dumps(record))
    (note,) = Run.open(tmp_path / "run").data_notes()
    assert note.code == "data_changed"


def test_run_without_data_record_requires_data(tmp_path):
    data = aevb.data.load("digits")
    recipe = aevb.presets.vae(data.spec, latent=1, hidden=[4])
    aevb.fit(recipe, data, epochs=1, out=tmp_path / "run", device="cpu", progress=False)
    opened = Run.open(tmp_path / "run")
    with pytest.raises(DataError, match="no record"):
        opened.data()
    assert opened.evaluate("digits", samples=2).n == 180


@pytest.mark.parametrize(
    "preset, matches", [("vae", True), ("autoencoder", False), ("wae_mmd", True)]
)
def test_the_record_says_whether_encodings_are_matched_to_the_prior(preset, matches, tmp_path):
    small(preset).fit(tmp_path / "run", device="cpu", progress=False)
    assert Run.open(tmp_path / "run").matches_prior is matches
    record = json.loads((tmp_path / "run/model.json").read_text())
    del record["training"]["matches_prior"]  # format of older versions
    record["training"]["note"] = "objectives.MMD"  # a string in the record is ignored
    (tmp_path / "run/model.json").write_text(json.dumps(record))
    assert Run.open(tmp_path / "run").matches_prior is matches


def test_a_prior_can_be_fitted_to_a_codebook(tmp_path, capsys):
    settings = RunSettings.from_dict(
        {"source": "digits", "preset": "vq_vae", "set": ["size=4", "dim=2"], "latent": 2}
        | {"hidden": [8], "epochs": 1}
    )
    run = settings.fit(tmp_path / "run", device="cpu", progress=False)
    fitted = run.fit_prior("autoregressive", steps=2, out=tmp_path / "fitted")
    assert fitted.log_likelihood() is None and fitted.title.startswith("vq_vae with a fitted prior")
    arguments = ["--family", "autoregressive", "--steps", 2, "--out", tmp_path / "again", "--json"]
    output = printed(capsys, "fit-prior", tmp_path / "run", *arguments)
    assert output["log_likelihood_before"] is None and (tmp_path / "again/model.json").exists()
    with pytest.raises(ArgumentError) as caught:
        run.fit_prior(out=tmp_path / "run")
    assert caught.value.argument == "out"


def test_parameters_per_row_are_refined_once(tmp_path):
    run = small("svi").fit(tmp_path / "run", device="cpu", progress=False)
    rows = evenly_spaced(run.data().test, 20)
    assert run.capabilities.n_rows == 1437
    trained = run.model.posterior(torch.arange(5)).mean
    assert torch.equal(run.encode(run.data().train.subset(slice(0, 5))), trained)
    z = run.encode(rows)
    assert torch.equal(z, run.encode(rows)) and torch.equal(run.decode(z), run.reconstruct(rows))
    same = aevb.evaluate(run.model_for(rows), rows, spec=run.spec)
    assert same["elbo"] == run.evaluate(rows)["elbo"]
    assert run.quality(rows).n_rows == 20 and run.diagnose(rows).n_rows == 20


def test_settings_are_restored_from_a_file(folder, run):
    assert RunSettings.read(folder) == RunSettings.read(folder / "config.toml") == run.settings
    old = {"source": "digits", "average": 0.9, "clip": 5.0, "hidden": [4, 4]}
    settings = RunSettings.from_dict(old)
    assert (settings.training.ema, settings.training.clip_norm) == (0.9, 5.0)
    assert settings.model.hidden == (4, 4)


def test_prior_posterior_and_likelihood_by_name():
    settings = small(prior="mixture", posterior="low-rank", set=("components=3",))
    recipe = settings.recipe(settings.load_data().spec)
    assert type(recipe.model.prior).__name__ == "Mixture"
    assert recipe.model.prior.arguments["components"] == 3
    assert recipe.model.posterior.arguments["covariance"] == "low_rank"


def test_runs_are_shown_in_notebooks(run):
    assert repr(run).startswith("<Run: vae, latent 2, data digits; 2 epochs in ")
    assert "<th>latent</th><td>2</td>" in run._repr_html_()


def test_runs_in_memory_are_compared():
    runs = [
        RunSettings("digits", model=small().model, training=SHORT, seed=seed).fit(
            device="cpu", progress=False
        )
        for seed in (0, 1)
    ]
    result = compare(runs, "digits", samples=2)
    assert result.differing_settings == {"seed": ["0", "1"]} and result.same_rows
    assert [run.name for run in result.runs] == ["A", "B"]
    assert len(result.to_dict()["comparison"]["configurations"]) == 2
    with pytest.raises(ArgumentError):
        compare([])


def test_folders_are_numbered(tmp_path):
    (tmp_path / "a-1").mkdir()
    assert next_run_folder("a", tmp_path) == tmp_path / "a-2"


@pytest.fixture
def table(tmp_path):
    """A run on a file of numbers, with the file."""
    np.save(tmp_path / "mine.npy", np.random.default_rng(0).normal(size=(60, 3)))
    model = ModelSettings(latent=1, hidden=(4,))
    settings = RunSettings(str(tmp_path / "mine.npy"), model=model, training=SHORT)
    settings.fit(tmp_path / "run", device="cpu", progress=False)
    return tmp_path / "run"


def edit(folder, **changes):
    record = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(record | changes))


def edit_training(folder, **changes):
    edit(folder, training=json.loads((folder / "model.json").read_text())["training"] | changes)


def test_a_run_of_this_user_reads_its_source_wherever_it_lies(table, tmp_path):
    shutil.copytree(table, tmp_path / "copy")
    assert len(Run.open(tmp_path / "copy").data().test) == 6


@pytest.mark.parametrize("part", ["signature", "source", "key", "none"])
def test_a_run_of_somebody_else_reads_only_what_is_named_or_confirmed(
    table, tmp_path, monkeypatch, part
):
    training = json.loads((table / "model.json").read_text())["training"]
    if part == "source":  # the signature is that of another file
        shutil.copy(tmp_path / "mine.npy", tmp_path / "secret.npy")
        other = training["config"] | {"source": str(tmp_path / "secret.npy")}
        edit_training(table, config=other)
    elif part == "key":  # of another user
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    else:
        edit_training(table, source_signature={"signature": "0" * 64, "none": None}[part])
    run = Run.open(table)
    with monkeypatch.context() as patch:
        patch.setattr("aevb.data.load", lambda *arguments, **options: pytest.fail("it was read"))
        for act in (run.data, run.evaluate, run.diagnose, run.report, run.quality):
            with pytest.raises(DataError) as caught:
                act()
        assert "trust_source=True" in str(caught.value)
        assert run.evaluate(str(tmp_path / "mine.npy"), samples=2).n == 60
    assert len(Run.open(table, trust_source=True).data().test) == 6
    assert main(["evaluate", str(table), "--samples", "2"]) == 2
    assert main(["evaluate", str(table), "--samples", "2", "--trust-source"]) == 0
    resumed = main(["fit", "--resume", "--out", str(table), "--no-report"])
    assert resumed == (2 if part == "key" else 0)  # config.toml has a signature of its own


def test_named_data_sets_need_no_confirmation(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "run")
    edit_training(tmp_path / "run", source_signature=None)
    assert len(Run.open(tmp_path / "run").data().test) == 180


@pytest.mark.parametrize("state", ["running", "interrupted"])
def test_an_unfinished_run_says_so_and_an_untrained_one_is_refused(table, capsys, tmp_path, state):
    edit(table, state=state, step=7, epoch=1)
    run = Run.open(table)
    assert run.evaluate(samples=2).notes[0].data == {"state": state, "epoch": 1, "step": 7}
    output = printed(capsys, "evaluate", table, "--samples", 2, "--json")
    assert output["state"] == state
    note = compare([table], samples=2).notes[0]
    assert (note.code, note.level) == ("unfinished", "warning")
    for command in (["evaluate"], ["doctor"], ["sample", "-n", "3", "--out", tmp_path / "x.csv"]):
        assert main([command[0], str(table), *map(str, command[1:])]) == 0
        assert capsys.readouterr().err.startswith("note: ")
    edit(table, step=0)
    with pytest.raises(RunError):
        Run.open(table)


def test_count_preset_alone_reads_counts(tmp_path):
    """Few counts below 256, and others beyond bytes, which would otherwise have a density."""
    for scale in (3, 300):
        counts = np.random.default_rng(0).negative_binomial(1, 1 / scale, (60, 3))
        np.save(tmp_path / "counts.npy", counts)
        settings = RunSettings(
            str(tmp_path / "counts.npy"), model=replace(small().model, preset="count_vae")
        )
        assert settings.load_data().spec.likelihood == "negative_binomial"
        requested = replace(settings, data=replace(settings.data, likelihood="poisson"))
        assert requested.load_data().spec.likelihood == "poisson"


def test_a_condition_is_given_with_rows_that_have_none():
    rng = np.random.default_rng(0)
    counts, batches = rng.poisson(1.0, (60, 5)), rng.choice(["u", "v"], 60)
    settings = {"likelihood": "negative_binomial", "condition": {"batch": batches}}
    loaded = aevb.data.load(scipy.sparse.csr_matrix(counts), **settings)
    recipe = aevb.presets.count_vae(loaded.spec, latent=2, hidden=(4,))
    run = Run.from_fit(aevb.fit(recipe, loaded, epochs=1, progress=False), loaded)
    sparse = run.encode(scipy.sparse.csr_matrix(counts), condition={"batch": batches})
    assert torch.equal(sparse, run.encode(counts, condition=batches))
    with pytest.raises(DataError):
        run.encode(scipy.sparse.csr_matrix(counts))
