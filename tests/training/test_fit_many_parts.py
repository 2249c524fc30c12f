"""The parts of many runs: finished runs, why a run is not stacked, and values for each model."""

import json
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import aevb
from aevb._persistence import save
from aevb._random import seed_scope
from aevb._recipe import Recipe
from aevb.data import Rows
from aevb.errors import ArgumentError
from aevb.gradients import Pathwise
from aevb.objectives import ELBO
from aevb.training import TrainingConfig, _fit_many, adam
from aevb.training._fit_many import (
    _check_length,
    _is_fold_list,
    _one_per_model,
    _PreparedRun,
    _RunSpec,
)
from aevb.training._source import make_source


def recipe(hidden=4) -> Recipe:
    with seed_scope(0):
        model = aevb.VAE(
            aevb.priors.Normal(2),
            aevb.posteriors.Normal(aevb.networks.MLP(6, [hidden]), 2),
            aevb.likelihoods.Bernoulli(aevb.networks.MLP(2, [hidden]), (6,)),
        )
    return Recipe(model, ELBO(), Pathwise())


def spec(out=None, hidden=4, optimizer=None, **config) -> _RunSpec:
    settings = TrainingConfig(**{"epochs": 3} | config)
    return _RunSpec(
        "name", recipe(hidden), torch.zeros(4, 6), optimizer or adam(), settings, {}, out
    )


@pytest.mark.parametrize(
    "training, epochs, done",
    [
        ({"stopped": "epochs", "epochs": 3, "best_epoch": 2}, 3, True),
        ({"stopped": "epochs", "epochs": 3}, 2, True),
        ({"stopped": "epochs", "epochs": 3}, 4, False),  # more are wanted
        ({"stopped": "epochs"}, 4, True),
        ({"stopped": "patience", "epochs": 3}, 4, True),
        ({"stopped": "interrupted", "epochs": 3}, 3, False),
        ({}, 3, False),
    ],
)
def test_a_finished_run_is_read_unless_more_epochs_are_wanted(tmp_path, training, epochs, done):
    run = spec(tmp_path, epochs=epochs)
    assert run.load_finished() is None and spec().load_finished() is None
    written = recipe()
    with torch.no_grad():
        for parameter in written.model.parameters():
            parameter.fill_(0.25)
    save(written.model, tmp_path, training=training)
    (tmp_path / "history.jsonl").touch()
    result = run.load_finished()
    assert (result is not None) == done
    if result is not None:
        assert result.stop_reason == training["stopped"]
        assert (result.best_epoch, result.history) == (training.get("best_epoch"), ())
        assert [note.code for note in result.notes] == ["already_finished"]
        assert not result.model.training
        assert all((parameter == 0.25).all() for parameter in result.model.parameters())
    assert json.loads((tmp_path / "model.json").read_text())["training"] == training


def test_a_run_that_did_not_start():
    result = spec().interrupted_result()
    assert (result.stop_reason, result.best_epoch, result.history) == ("interrupted", None, ())
    assert [(note.code, note.level) for note in result.notes] == [("not_started", "warning")]


def prepared(source=None, held_out=None, rows=None, **options) -> _PreparedRun:
    run = spec(**options)
    x = torch.zeros(4, 6) if rows is None else rows
    memory = make_source(x, 2, 0, torch.device("cpu"), torch.float32, None)
    return _PreparedRun(run, source or memory, held_out)


@pytest.mark.parametrize(
    "options",
    [
        {"source": SimpleNamespace(rows=None, batch_size=2)},
        {"precision": "bfloat16"},
        {"minutes": 1.0},
        {"micro_batches": 2},
        {"optimizer": torch.optim.SGD},
    ],
)
def test_runs_that_are_not_stacked(options):
    assert prepared().reason_not_stackable() is None
    assert prepared(**options).reason_not_stackable()


@pytest.mark.parametrize("limit, stacked", [(25, True), (24, False), (23, False)])
def test_large_matrices_are_not_stacked(monkeypatch, limit, stacked):
    """The largest matrix has 6 x 4 = 24 weights."""
    monkeypatch.setattr(_fit_many, "LARGE_MATRIX_WEIGHTS", limit)
    assert (prepared().reason_not_stackable() is None) == stacked


def test_other_reasons_not_to_stack(monkeypatch):
    run = prepared()
    run.run.recipe.objective.trains_likelihood = False
    assert run.reason_not_stackable()
    monkeypatch.setattr(_fit_many, "uses_plain_engine", lambda: True)
    assert prepared().reason_not_stackable()
    monkeypatch.setattr(_fit_many, "uses_plain_engine", lambda: False)
    monkeypatch.setattr(_fit_many, "has_convolutions", lambda model: True)
    assert prepared().reason_not_stackable()


def test_runs_of_a_stack_share_all_but_seeds_rates_and_schedules():
    key = prepared().stacking_key()
    for same in (prepared(optimizer=adam(0.5)), prepared(seed=7), prepared(rows=torch.ones(4, 6))):
        assert same.stacking_key() == key
    for other in (
        prepared(hidden=5),
        prepared(rows=torch.zeros(5, 6)),
        prepared(held_out=torch.zeros(3, 6)),
        prepared(optimizer=lambda weights: torch.optim.Adam(weights, betas=(0.5, 0.9))),
    ):
        assert other.stacking_key() != key
    runs = [prepared(), prepared(hidden=5), prepared(seed=3)]
    groups = _fit_many._group_by_stacking_key(runs)
    assert [[runs.index(each) for each in group] for group in groups] == [[0, 2], [1]]


def test_one_value_for_each_model():
    assert _one_per_model("lr", [1, 2], 2) == [1, 2]
    assert _one_per_model("lr", 0.1, 3) == [0.1] * 3
    module = nn.Linear(1, 1)
    first, second = _one_per_model("objective", module, 2)
    assert first is not second and first is not module and torch.equal(first.weight, module.weight)
    for values in ([1], [1, 2, 3]):
        with pytest.raises(ArgumentError) as caught:
            _check_length("lr", values, 2)
        assert caught.value.argument == "lr"


def test_folds_are_data_sets_or_rows_in_a_list():
    rows = Rows.from_array(torch.zeros(2, 6))
    assert _is_fold_list([rows, rows]) and _is_fold_list((rows,))
    assert not _is_fold_list([rows, 1]) and not _is_fold_list(rows)
    assert not _is_fold_list(torch.zeros(2, 6))


def test_names_of_runs_differ():
    models = [recipe().model for _ in range(2)]
    with pytest.raises(ArgumentError) as caught:
        aevb.fit_many(models, torch.zeros(4, 6), epochs=1, names=["a", "a"])
    assert (caught.value.argument, caught.value.value) == ("names", ["a", "a"])
