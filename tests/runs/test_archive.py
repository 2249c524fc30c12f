"""A run as bytes, further training, and weights of rows."""

import numpy as np
import pytest
import torch
from tests.runs.tables import people, people_run

from aevb import data
from aevb.errors import ArgumentError, RunError
from aevb.runs import Run, TrainingSettings


@pytest.fixture(scope="module")
def run():
    return people_run()


def test_bytes_hold_model_records_and_history(run):
    again = Run.from_bytes(run.to_bytes(), device="cpu")
    assert again.spec == run.spec and again.history == run.history
    assert again.config == run.config
    frame = people()
    assert torch.equal(again.encode(frame), run.encode(frame))
    assert again.to_bytes() == run.to_bytes()


def test_a_run_in_memory_is_saved(run, tmp_path):
    saved = run.save(tmp_path / "run")
    opened = Run.open(tmp_path / "run", device="cpu")
    assert saved.path == tmp_path / "run" and opened.history == run.history
    assert torch.equal(opened.encode(people()), run.encode(people()))
    with pytest.raises(RunError):
        run.save(tmp_path / "run")
    run.save(tmp_path / "run", overwrite=True)


def test_damaged_bytes_are_an_error_of_a_run(run):
    content = run.to_bytes()
    for damaged in (b"", content[:-10], content[:100], b"x" * 100):
        with pytest.raises(RunError):
            Run.from_bytes(damaged)


def test_bytes_without_a_record_are_an_error_of_a_run():
    from aevb._files import pack_tensors

    record = '{"model.json": %s, "history.jsonl": ""}'
    for metadata in (None, {"run": "[]"}, {"run": record % "[]"}, {"run": record % "{}"}):
        with pytest.raises(RunError):
            Run.from_bytes(pack_tensors({"a": torch.ones(1)}, metadata))


def test_further_training_goes_on_from_the_weights(run):
    rows, before = run.rows(people()), run.model.state_dict()
    kept = {name: tensor.clone() for name, tensor in before.items()}
    one = TrainingSettings(epochs=1, lr=1e-9)
    further = run.train_further(rows, one, device="cpu", progress=False)
    for name, tensor in further.model.state_dict().items():  # steps of 1e-9 change nothing
        torch.testing.assert_close(tensor, kept[name], rtol=0, atol=1e-6, msg=name)
    assert [each.epoch for each in further.history] == [*range(1, len(run.history) + 2)]
    assert further.history[-1].step > run.history[-1].step
    moved = run.train_further(rows, TrainingSettings(epochs=2), device="cpu", progress=False)
    assert not all(torch.equal(x, kept[name]) for name, x in moved.model.state_dict().items())
    assert all(torch.equal(x, kept[name]) for name, x in run.model.state_dict().items())


def test_weights_belong_to_their_rows_in_every_part():
    x = np.arange(40.0)[:, None] * np.ones(3)
    parts = data.load(x, weights=x[:, 0] + 1, seed=3)
    for rows in (parts.train, parts.validation):
        assert rows.weights is not None
        assert torch.equal(rows.weights, rows.tensor()[:, 0] + 1)
    for wrong in (np.ones(39), -np.ones(40), np.zeros(40)):
        with pytest.raises(ArgumentError) as found:
            data.load(x, weights=wrong)
        assert found.value.argument == "weights"


def test_a_model_in_float64_gives_the_same_numbers(run):
    exact = run.in_float64()
    assert run.in_float64() is exact and exact is not run
    assert exact.encode(people()).dtype == torch.float64
    torch.testing.assert_close(
        exact.encode(people()).float(), run.encode(people()), rtol=1e-4, atol=1e-4
    )
    assert run.template is None
