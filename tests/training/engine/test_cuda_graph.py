"""When a step is recorded and what is replayed, with a recording that is imitated."""

import pytest
import torch
from torch.optim import SGD, Adam

from aevb.training._engine._cuda_graph import (
    WARMUP_CALLS,
    CapturedStep,
    GraphCapture,
    _inputs_match,
    move_learning_rates_to_device,
)


def optimizer(fused: bool = True) -> Adam:
    return Adam([torch.zeros(2, requires_grad=True)], lr=0.25, fused=fused)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("enabled", [False, True])
@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("engine", ["", "plain"])
def test_steps_are_recorded_on_cuda_with_fused_adam(device, enabled, fused, engine, monkeypatch):
    monkeypatch.setenv("AEVB_ENGINE", engine)
    capture = GraphCapture(torch.device(device), enabled, optimizer(fused))
    wanted = device == "cuda" and enabled and fused and engine == ""
    assert capture.enabled is wanted

    def step():
        return torch.zeros(1)

    assert isinstance(capture(step), CapturedStep) is wanted
    assert wanted or capture(step) is step


def test_a_step_is_replayed_from_its_sixth_call_on_the_memory_of_the_recording():
    """Inputs of another shape, or another number, run as they are."""
    events = []

    def step(x, scale, nothing):
        events.append("run")
        return (x * scale).sum()

    def record(function):
        result = torch.zeros(())
        events.append("record")

        def replay():
            events.append("replay")
            result.copy_(function())

        return replay, result

    notes = []
    captured = CapturedStep(step, record, notes)
    for call in range(1, WARMUP_CALLS + 4):
        x = torch.tensor([float(call), 1.0])
        assert captured(x, 3, None).item() == 3 * (call + 1)
        assert events[0] == ("run" if call <= 5 else "record" if call == 6 else "replay")
        events.clear()
    assert captured(torch.ones(3), 3, None).item() == 9 and events == ["run"]
    events.clear()
    assert captured(torch.ones(2), 4, None).item() == 8 and events == ["run"]
    events.clear()
    assert captured(torch.ones(2), 3, None).item() == 6 and events == ["replay", "run"]
    assert notes == [] and WARMUP_CALLS == 5


def test_a_step_that_cannot_be_recorded_is_tried_once():
    tries = []

    def refuse(function):
        tries.append(1)
        raise RuntimeError("first line\nsecond")

    notes = []
    captured = CapturedStep(lambda x: x + 1, refuse, notes)
    assert [captured(torch.tensor(i)).item() for i in range(9)] == list(range(1, 10))
    assert len(tries) == 1
    assert [(n.code, n.level, n.data) for n in notes] == [
        ("not_recorded", "warning", {"reason": "first line"})
    ]


def test_inputs_match_by_shape_and_value():
    x, y = torch.zeros(2, 3), torch.ones(2, 3)
    assert _inputs_match((x, None, 4), (y, None, 4))
    assert not _inputs_match((x, None, 4), (y, None, 5))
    assert not _inputs_match((x, None, 4), (torch.zeros(3, 2), None, 4))
    assert not _inputs_match((None, None), (None, 3))
    assert not _inputs_match((None, x), (None, None))


def test_rates_become_tensors():
    made = SGD([{"params": [torch.zeros(1)], "lr": rate} for rate in (0.5, 0.25)])
    move_learning_rates_to_device(made, torch.device("cpu"))
    rates = [group["lr"] for group in made.param_groups]
    assert all(isinstance(rate, torch.Tensor) for rate in rates)
    assert [rate.item() for rate in rates] == [0.5, 0.25]
    assert [group["capturable"] for group in made.param_groups] == [False, False]
