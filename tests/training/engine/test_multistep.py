"""Chunks of an epoch, and the settings of each step in a chunk."""

import math
from types import SimpleNamespace

import pytest
import torch

from aevb import Batch
from aevb.data import Rows
from aevb.errors import NumericalError
from aevb.objectives import Constant, Linear
from aevb.objectives._schedules import ScheduledModule
from aevb.training._ema import ExponentialMovingAverage
from aevb.training._engine._multistep import STEPS_PER_RECORDING, Multistep
from aevb.training._source import MemorySource

X = torch.arange(90.0).view(45, 2)


class Scheduled(ScheduledModule):
    def __init__(self, **schedules) -> None:
        super().__init__()
        for name, schedule in schedules.items():
            self.register_schedule(name, schedule)


class Recorder:
    """A training step that notes rows, rates and settings."""

    def __init__(self, optimizer) -> None:
        self.objective = Scheduled(beta=Linear(1.0, 5.0, steps=4), gamma=Constant(7.0))
        self.gradient = Scheduled(temperature=Linear(3.0, 0.0, steps=30))
        self.optimizer, self.log = optimizer, []

    def __call__(self, batch: Batch) -> torch.Tensor:
        settings = (self.objective.beta, self.objective.gamma, self.gradient.temperature)
        rates = [float(group["lr"]) for group in self.optimizer.param_groups]
        self.log.append((batch.index.tolist(), [s.item() for s in settings], rates))
        self.optimizer.param_groups[0]["params"][0].data += 1.0
        return torch.full((5,), float(len(self.log)))

    run_uncaptured = __call__


def multistep(capture: bool, decay: float | None = 0.75, batch_size: int = 2, base=(0.5, -0.25)):
    weights = [torch.zeros(1), torch.zeros(1)]
    lr = (lambda rate: torch.tensor(rate)) if capture else float
    optimizer = SimpleNamespace(
        param_groups=[{"params": [w], "lr": lr(0.0)} for w in weights], state={}
    )
    step = Recorder(optimizer)
    ema = None if decay is None else ExponentialMovingAverage(weights, decay)
    source = MemorySource(Rows.from_array(X), batch_size, 3, torch.device("cpu"), torch.float32)
    sums = torch.zeros(5)

    class Graph:
        enabled = capture

        def __call__(self, function):
            return function

    made = Multistep(
        step, source, optimizer, list(base), lambda n, total: (n + 1) / total, ema, sums, Graph()
    )
    return made, step, source, ema, sums, weights


@pytest.mark.parametrize("taken", [0, 1, 5, 6, 7, 21, 22])
@pytest.mark.parametrize("capture", [False, True])
def test_chunks_are_the_rest_of_the_epoch(capture, taken):
    """22 steps of two rows; the last row is left over."""
    made, _, source, _, _, _ = multistep(capture)
    chunks = list(made.iter_chunks(4, taken))
    order = source.epoch_order(4)
    expected = order[2 * taken : 44].tolist()
    long = [chunk for chunk in chunks if not isinstance(chunk, Batch)]
    assert all(chunk.shape == (STEPS_PER_RECORDING, 2) for chunk in long)
    assert len(long) == (1 if capture and taken <= 22 - STEPS_PER_RECORDING else 0)
    found = []
    for chunk in chunks:
        found += (chunk.index if isinstance(chunk, Batch) else chunk.reshape(-1)).tolist()
    assert found == expected
    assert all(not isinstance(chunk, Batch) for chunk in chunks[: len(long)])


@pytest.mark.parametrize("decay", [None, 0.75])
def test_recorded_steps_have_the_settings_of_single_steps(decay):
    """Rates, scheduled settings, sums, averages and rows of an epoch of 22 steps after 9 others."""
    results = []
    for capture in (False, True):
        made, step, source, ema, sums, _ = multistep(capture, decay)
        done = 9
        for chunk in made.iter_chunks(2, 0):
            count = made(chunk, done, 50.0)
            assert count == (1 if isinstance(chunk, Batch) else len(chunk))
            done += count
        assert done == 31
        assert made.last_batch.index.tolist() == source.epoch_order(2)[42:44].tolist()
        averages = [] if ema is None else [each.item() for each in ema.averages]
        results.append((step.log, sums.tolist(), averages))
    order = source.epoch_order(2)
    for log, sums, averages in results:
        assert sums == [sum(range(1, 23))] * 5
        expected = 0.0
        for i, (rows, settings, rates) in enumerate(log):
            n = 9 + i
            assert rows == order[2 * i : 2 * i + 2].tolist()
            wanted = [5.0, 7.0, 3.0 * (1 - min(n / 30, 1))]
            assert settings == pytest.approx(wanted, rel=1e-6, abs=1e-6)
            assert rates == pytest.approx([0.5 * (n + 1) / 50, -0.25 * (n + 1) / 50], rel=1e-6)
            weight = 1 - min(0.75, (2 + n) / (11 + n))
            expected += weight * (i + 1 - expected)
        if decay is not None:
            assert averages == pytest.approx([expected, 0.0], rel=1e-5)


def test_a_chunk_before_the_end_of_a_schedule_follows_it():
    made, step, source, _, _, _ = multistep(True)
    made(source.epoch_order(0)[:32].view(16, 2), 0, 10.0)
    assert [settings[0] for _, settings, _ in step.log[:6]] == [1.0, 2.0, 3.0, 4.0, 5.0, 5.0]
    # the last row of a table is the last step, which the next report is about
    assert made.last_batch.index.tolist() == source.epoch_order(0)[30:32].tolist()


@pytest.mark.parametrize("base", [(0.5, -2.0), (2.0, 0.5), (-2.0, 0.0)])
def test_the_largest_rate_of_all_groups_must_not_overflow(base):
    made = multistep(False, base=base)[0]
    made.learning_rate_limit = 1.0
    made.lr_schedule = lambda step, total: (0.25, 0.5, 0.75, -0.75, math.nan)[step]
    assert [made._factor(step, 1.0) for step in (0, 1)] == [0.25, 0.5]
    for step in (2, 3, 4):
        with pytest.raises(NumericalError):
            made._factor(step, 1.0)


def test_an_optimiser_without_a_limit_has_the_largest_number():
    assert multistep(False)[0].learning_rate_limit > 1e300
