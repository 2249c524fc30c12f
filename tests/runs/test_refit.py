"""A second training on training and validation rows: its length, its record, its resumption."""

import signal

import numpy as np
import pytest
import torch

import aevb
from aevb.data import Rows
from aevb.errors import ArgumentError, DataError, RunError
from aevb.runs import DataSettings, ModelSettings, Run, RunSettings, SweepSettings, TrainingSettings
from aevb.runs._refit import REFIT, join_validation
from aevb.training import _trainer

SMALL = ModelSettings(preset="vae", latent=2, hidden=(4,))
TRAINING = TrainingSettings(epochs=6, batch_size=8, lr=0.3, refit=True)


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "rows.npy"
    generator = np.random.default_rng(0)
    np.save(path, generator.standard_normal((50, 3)) * [1.0, 2.0, 3.0])
    return path


def settings_of(source, **changes) -> RunSettings:
    parts = {"data": DataSettings(split=(0.6, 0.2, 0.2)), "model": SMALL, "training": TRAINING}
    return RunSettings(str(source), **parts | changes)


def weights_of(run: Run) -> torch.Tensor:
    return torch.nn.utils.parameters_to_vector(run.model.parameters()).detach()


def stop_after(monkeypatch, calls: int) -> None:
    """Interrupt the run after a step of the next epoch, counting those of both trainings."""
    begun, steps_of_epoch = [], _trainer._RunJournal.steps_of_epoch

    def interrupted(self):
        begun.append(1)
        self.interrupt.signal = signal.SIGINT if len(begun) > calls else None
        return steps_of_epoch(self)

    monkeypatch.setattr(_trainer._RunJournal, "steps_of_epoch", interrupted)


def test_the_second_training_is_as_long_as_validation_found_best(source, tmp_path):
    settings = settings_of(source)
    plain = settings_of(source, training=TrainingSettings(epochs=6, batch_size=8, lr=0.3)).fit()
    run = settings.fit(tmp_path / "run", progress=False)
    chosen, best = run.training[REFIT], plain.result.best_epoch
    assert (chosen["epochs"], chosen["epochs_tried"]) == (best, 6) and best < 6
    assert chosen["validation"] == [epoch.validation for epoch in plain.history]
    assert (chosen["train_rows"], chosen["validation_rows"]) == (30, 10)
    # 40 rows in place of 30 are 5 steps per epoch in place of 3
    assert [epoch.step for epoch in run.history] == [5 * (i + 1) for i in range(best)]
    assert run.result.best_epoch is None and run.history[0].validation is None
    assert next(note for note in run.result.notes if note.code == "refit").data["epochs"] == best

    again, whole = Run.open(tmp_path / "run", trust_source=True), settings.load_data()
    data = again.data()
    assert (len(data.train), len(data.validation)) == (40, 0)
    assert torch.equal(data.test.tensor(), whole.test.tensor())
    assert [note.code for note in again.data_notes()] == ["refit"]
    assert torch.equal(weights_of(again), weights_of(run))

    direct = aevb.fit(
        settings.recipe(whole.spec),
        join_validation(whole),
        epochs=best,
        batch_size=8,
        optimizer=aevb.training.adam(0.3),
        progress=False,
    )
    assert torch.equal(
        torch.nn.utils.parameters_to_vector(direct.model.parameters()), weights_of(run)
    )


@pytest.mark.parametrize("calls", [0, 3, 5, 6, 7])
def test_both_trainings_are_resumed(source, tmp_path, monkeypatch, calls):
    """The first takes 6 epochs, and the second begins after them."""
    settings = settings_of(source)
    whole = settings.fit(tmp_path / "whole", progress=False)
    assert whole.training[REFIT]["epochs"] > 1
    with monkeypatch.context() as patch:
        stop_after(patch, calls)
        part = settings.fit(tmp_path / "run", progress=False)
    assert part.result.stop_reason == "interrupted"
    assert (REFIT in part.training) == (calls >= 6)
    assert len(part.data().train) == (40 if calls >= 6 else 30)
    run = settings.fit(tmp_path / "run", resume=True, progress=False)
    assert torch.equal(weights_of(run), weights_of(whole))
    assert run.training[REFIT] == whole.training[REFIT]


def test_other_validation_rows_are_noticed(source, tmp_path):
    settings = settings_of(source)
    settings.fit(tmp_path / "run", progress=False)
    rows = np.load(source)
    np.save(source, rows * 1.01)
    with pytest.raises(RunError):
        settings.fit(tmp_path / "run", resume=True, progress=False)


@pytest.mark.parametrize(
    "changes",
    [
        {"data": DataSettings(split=(0.8, 0.0, 0.2))},
        {"model": ModelSettings(preset="vae", latent=2, hidden=(4,), ensemble=2)},
        {"training": TrainingSettings(epochs=1, refit=True, epsilon=8.0)},
    ],
)
def test_nothing_to_choose_is_refused(source, changes):
    with pytest.raises(ArgumentError) as caught:
        settings_of(source, **changes).fit(progress=False)
    assert caught.value.argument == "refit"


def test_sweeps_compare_on_validation_rows(source, tmp_path):
    with pytest.raises(ArgumentError) as caught:
        SweepSettings(settings_of(source)).check(tmp_path / "sweep")
    assert caught.value.argument == "refit"


def test_parts_are_joined_with_all_that_belongs_to_them():
    x = torch.arange(12.0).reshape(6, 2)
    rows = Rows.from_array(x, labels=[0, 1, 2, 3, 4, 5], weights=[1, 2, 3, 4, 5, 6])
    joined = rows.subset(slice(0, 4)).joined_with(rows.subset(slice(4, 6)))
    assert torch.equal(joined.tensor(), x)
    assert joined.labels.tolist() == [0, 1, 2, 3, 4, 5]
    assert joined.weights.tolist() == [1, 2, 3, 4, 5, 6]
    for other in (Rows.from_array(x), Rows.from_array(x.byte(), labels=[0] * 6, weights=[1] * 6)):
        with pytest.raises(DataError):
            rows.joined_with(other)


def test_sparse_and_mapped_rows_are_joined(tmp_path):
    sparse = pytest.importorskip("scipy.sparse")
    dense = np.array([[0, 1, 0], [0, 0, 0], [2, 0, 3], [0, 4, 0]], dtype=np.float32)
    np.save(tmp_path / "x.npy", dense)
    mapped = aevb.data.load(tmp_path / "x.npy", memory_map=True, split=(0.5, 0.25, 0.25))
    assert mapped.train.is_memory_mapped
    found = mapped.train.joined_with(mapped.validation)
    expected = torch.cat([mapped.train.tensor(), mapped.validation.tensor()])
    assert found.is_memory_mapped and torch.equal(found.tensor(), expected)
    rows = Rows.from_array(sparse.csr_matrix(dense))
    joined = rows.subset([3, 0]).joined_with(rows.subset([2, 1]))
    assert torch.equal(joined.tensor(), torch.from_numpy(dense[[3, 0, 2, 1]]))


def test_a_start_that_no_epoch_improves_is_kept(source):
    model = ModelSettings(preset="table_vae", hidden=(4,))
    run = settings_of(
        source, model=model, training=TrainingSettings(epochs=1, lr=3.0, refit=True)
    ).fit(progress=False)
    assert run.result is not None and run.result.best_epoch == 0
    assert "refit_kept_start" in {note.code for note in run.result.notes}
    assert len(run.data().validation) > 0
