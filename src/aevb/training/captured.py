"""A step recorded once as a CUDA graph and replayed: the host then launches one thing per step instead of some hundred."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from .optimisers import plain

WARM = 5  # steps before the recording: libraries choose their kernels, the optimiser makes its state, the compiler compiles

Record = Callable[[Callable[[], Tensor]], tuple[Callable[[], None], Tensor]]


def cuda_graph(step: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
    """Record a step; returns what replays it, and where each replay leaves its result. Draws move the device's stream on, as ever."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = step()
    return graph.replay, result


class Capturer:
    """Whether steps are recorded, and the sentence that says why one was not."""

    def __init__(self, device: torch.device, wanted: bool, optimizer: Optimizer, record: Record = cuda_graph) -> None:
        """A recording is exact and pays at once, so it needs no break-even: CUDA, and an optimiser that asks nothing of the host."""
        self.on = wanted and device.type == "cuda" and plain(optimizer)
        self.record = record
        self.said: list[str] = []

    def __call__(self, step: Callable[..., Tensor]) -> Callable[..., Tensor]:
        return Captured(step, self.record, self.said) if self.on else step


class Captured:
    """``step(*inputs)`` for inputs of fixed shapes, run as it is at first and replayed from a recording after ``WARM`` calls.

    The recording reads and writes the very memory of weights, moments, counters and settings, so whatever the loop changes in place
    between two steps is seen. What cannot be recorded (a step that asks the host) goes on as it is; ``said`` tells.
    """

    def __init__(self, step: Callable[..., Tensor], record: Record, said: list[str]) -> None:
        self.step, self.record, self.said = step, record, said
        self.calls = 0
        self.inputs: tuple[Any, ...] = ()
        self.replay: Callable[[], None] | None = None
        self.result = torch.zeros(0)

    def __call__(self, *inputs: Any) -> Tensor:
        self.calls += 1
        if self.calls <= WARM or self.said or (self.inputs and not _fit(inputs, self.inputs)):
            return self.step(*inputs)
        if self.replay is None:
            self._begin(inputs)
        if self.replay is None:
            return self.step(*inputs)
        for held, value in zip(self.inputs, inputs, strict=True):
            if isinstance(held, Tensor):
                held.copy_(value)
        self.replay()
        return self.result

    def _begin(self, inputs: Sequence[Any]) -> None:
        self.inputs = tuple(value.clone() if isinstance(value, Tensor) else value for value in inputs)
        try:
            self.replay, self.result = self.record(lambda: self.step(*self.inputs))
        except RuntimeError as error:
            self.said.append(f"The step is not replayed from a recording: {str(error).splitlines()[0][:120]}.")


def _fit(inputs: Sequence[Any], held: Sequence[Any]) -> bool:
    """Whether a recording for inputs like those held serves these."""
    pairs = zip(inputs, held, strict=True)
    return all(value.shape == old.shape if isinstance(value, Tensor) and isinstance(old, Tensor) else value == old for value, old in pairs)


def rates_on_device(optimizer: Optimizer, device: torch.device) -> None:
    """Keep the learning rates where a recorded step can read them anew each time."""
    for group in optimizer.param_groups:
        group["lr"] = torch.tensor(float(group["lr"]), device=device)
        group["capturable"] = device.type == "cuda"
