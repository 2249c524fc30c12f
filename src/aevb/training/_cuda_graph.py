"""A step recorded once as a CUDA graph and replayed: the host then launches one thing per step instead of some hundred."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from ._optimisers import is_plain_adam

WARMUP_CALLS = 5  # steps before the recording: libraries choose their kernels, the optimiser makes its state, the compiler compiles

GraphRecorder = Callable[[Callable[[], Tensor]], tuple[Callable[[], None], Tensor]]


def record_cuda_graph(step: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
    """Record a step; returns what replays it, and where each replay leaves its result. Draws move the device's stream on, as ever."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = step()
    return graph.replay, result


class GraphCapture:
    """Whether steps are recorded, and the sentence that says why one was not."""

    def __init__(
        self,
        device: torch.device,
        enabled: bool,
        optimizer: Optimizer,
        record: GraphRecorder = record_cuda_graph,
    ) -> None:
        """A recording is exact and pays at once, so it needs no break-even: CUDA, and an optimiser that asks nothing of the host."""
        self.enabled = enabled and device.type == "cuda" and is_plain_adam(optimizer)
        self.record = record
        self.notes: list[str] = []

    def __call__(self, step: Callable[..., Tensor]) -> Callable[..., Tensor]:
        return CapturedStep(step, self.record, self.notes) if self.enabled else step


class CapturedStep:
    """``step(*inputs)`` for inputs of fixed shapes, run as it is at first and replayed from a recording after ``WARM`` calls.

    The recording reads and writes the very memory of weights, moments, counters and settings, so whatever the loop changes in place
    between two steps is seen. What cannot be recorded (a step that asks the host) goes on as it is; ``said`` tells.
    """

    def __init__(
        self, step: Callable[..., Tensor], record: GraphRecorder, notes: list[str]
    ) -> None:
        self.step, self.record, self.notes = step, record, notes
        self.calls = 0
        self.inputs: tuple[Any, ...] = ()
        self.replay: Callable[[], None] | None = None
        self.result = torch.zeros(0)

    def __call__(self, *inputs: Any) -> Tensor:
        self.calls += 1
        if (
            self.calls <= WARMUP_CALLS
            or self.notes
            or (self.inputs and not _inputs_match(inputs, self.inputs))
        ):
            return self.step(*inputs)
        if self.replay is None:
            self._start_recording(inputs)
        if self.replay is None:
            return self.step(*inputs)
        for held, value in zip(self.inputs, inputs, strict=True):
            if isinstance(held, Tensor):
                held.copy_(value)
        self.replay()
        return self.result

    def _start_recording(self, inputs: Sequence[Any]) -> None:
        self.inputs = tuple(
            value.clone() if isinstance(value, Tensor) else value for value in inputs
        )
        try:
            self.replay, self.result = self.record(lambda: self.step(*self.inputs))
        except RuntimeError as error:
            self.notes.append(
                f"The step is not replayed from a recording: {str(error).splitlines()[0][:120]}."
            )


def _inputs_match(inputs: Sequence[Any], recorded: Sequence[Any]) -> bool:
    """Whether a recording for inputs like those held serves these."""
    pairs = zip(inputs, recorded, strict=True)
    return all(
        value.shape == old.shape
        if isinstance(value, Tensor) and isinstance(old, Tensor)
        else value == old
        for value, old in pairs
    )


def move_learning_rates_to_device(optimizer: Optimizer, device: torch.device) -> None:
    """Keep the learning rates where a recorded step can read them anew each time."""
    for group in optimizer.param_groups:
        group["lr"] = torch.tensor(float(group["lr"]), device=device)
        group["capturable"] = device.type == "cuda"
