"""The loop that every optimisation shares: where it ends, and what it tells its executor."""

import math
from itertools import count
from types import SimpleNamespace

import pytest

from aevb import _loop
from aevb._loop import Journal, Loop, Position


class Recorder(Journal):
    """Executor and journal in one: what it was told, with ends on demand."""

    def __init__(self, length=3, chunk=1, stop_at=None, reason="interrupted", done="epochs"):
        self.length, self.chunk, self.stop_at, self.reason = length, chunk, stop_at, reason
        self.done, self.seen, self.closed = done, [], []

    def begin(self, position):
        return self.done

    def iter_chunks(self, epoch, step_in_epoch):
        return iter(range(step_in_epoch, self.length, self.chunk))

    def __call__(self, chunk, step, total):
        self.seen.append((chunk, step, total))
        return self.chunk

    def record_steps(self, position, taken):
        return self.reason if position.step == self.stop_at else "epochs"

    def close_epoch(self, position, reason):
        self.closed.append((position.step_in_epoch, reason))
        return super().close_epoch(position, reason)


def run(recorder, position=None, **settings):
    position = position or Position()
    return Loop(recorder, recorder, position, **settings).run(), position


def test_epochs_of_steps_in_chunks():
    recorder = Recorder(length=4, chunk=2)
    reason, position = run(recorder, epochs=2, steps=4)
    assert (reason, position.epoch, position.step_in_epoch, position.step) == ("epochs", 2, 0, 8)
    assert recorder.seen == [(0, 0, 8), (2, 2, 8), (0, 4, 8), (2, 6, 8)]
    assert recorder.closed == [(4, "epochs")] * 2


def test_a_resumed_loop_takes_the_rest_of_its_epoch():
    recorder = Recorder()
    run(recorder, Position(epoch=1, step_in_epoch=2, step=5), epochs=2, steps=3)
    assert recorder.seen == [(2, 5, 6)] and recorder.closed == [(3, "epochs")]


def test_a_finished_loop_takes_no_step():
    recorder = Recorder(done="patience")
    assert run(recorder, epochs=9)[0] == "patience"
    assert recorder.seen == [] and recorder.closed == []


@pytest.mark.parametrize(
    "reason, closed", [("interrupted", []), ("not finite", []), ("minutes", [(2, "minutes")])]
)
def test_an_end_within_an_epoch_leaves_it_open(reason, closed):
    recorder = Recorder(stop_at=2, reason=reason)
    found, position = run(recorder, epochs=5, steps=3)
    assert found == reason and position.step == 2 and recorder.closed == closed
    assert (position.epoch, position.step_in_epoch) == ((1, 0) if closed else (0, 2))


def test_an_exhausted_source_ends_the_loop():
    recorder = Recorder(length=0)
    assert run(recorder, epochs=math.inf)[0] == "data" and recorder.closed == []


@pytest.mark.parametrize(
    "steps, epochs, minutes, step, seconds, total",
    [
        (5, 6, None, 7, 180.0, 30),
        (5, 6, 4.0, 7, 0.0, 30),
        (5, 6, 4.0, 7, 30.0, 30),
        (5, 6, 4.0, 7, 120.0, 14),
        (5, 6, 4.0, 0, 30.0, 30),
        (5, 6, 4.0, 1, 60.0, 4),
        (5, math.inf, 4.0, 0, 60.0, math.inf),
        (5, math.inf, 4.0, 6, 180.0, 8),
        (None, 6, None, 5, 60.0, math.inf),
        (None, math.inf, 3.0, 5, 60.0, 15),
    ],
)
def test_the_total_follows_epochs_and_clock(steps, epochs, minutes, step, seconds, total):
    recorder, position = Recorder(), Position(step=step, seconds=seconds)
    assert Loop(recorder, recorder, position, epochs, steps, minutes)._total_steps() == total


def test_a_time_limit_closes_the_epoch(monkeypatch):
    clock = count(step=20)  # seconds between two readings
    monkeypatch.setattr(_loop, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    recorder = Recorder(length=9)
    reason, position = run(recorder, epochs=math.inf, minutes=1.0)
    assert reason == "minutes" and position.step == 4 and position.seconds == 100
    assert recorder.closed == [(4, "minutes")]
