"""A training step recorded once as a CUDA graph and replayed: one launch instead of hundreds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from ..._hardware import uses_plain_engine
from ...notes import Note
from ._fused_adam import is_plain_adam

# Calls before the recording: libraries choose kernels, the optimiser makes its state, the compiler
# compiles.
WARMUP_CALLS = 5

GraphRecorder = Callable[[Callable[[], Tensor]], tuple[Callable[[], None], Tensor]]


def record_cuda_graph(step: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
    """Record a step.

    Returns:
        The function that replays the step, and the tensor into which each replay writes its result.
        Random draws advance the device's stream as usual.
    """
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = step()
    return graph.replay, result


class GraphCapture:
    """Decide whether steps are recorded; ``notes`` say why a step was not.

    A recording is exact and pays at once. It needs CUDA and an optimiser that never asks the host.

    Args:
        device: The device of the run.
        enabled: Whether recording is allowed.
        optimizer: The optimiser of the run.
        record: Records a step.
    """

    def __init__(
        self,
        device: torch.device,
        enabled: bool,
        optimizer: Optimizer,
        record: GraphRecorder = record_cuda_graph,
    ) -> None:
        allowed = enabled and not uses_plain_engine()
        self.enabled = allowed and device.type == "cuda" and is_plain_adam(optimizer)
        self.record = record
        self.notes: list[Note] = []

    def __call__(self, step: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """The step that records itself, or the step as it is."""
        return CapturedStep(step, self.record, self.notes) if self.enabled else step


class CapturedStep:
    """Run ``step(*inputs)`` as it is for ``WARMUP_CALLS`` calls, then replay a recording.

    The recording reads and writes the memory of weights, moments, counters and settings, so that it
    sees every change that is made in place between two steps. A step that cannot be recorded (it
    waits for the host) continues as it is, with a note.

    Args:
        step: The function, for inputs of fixed shapes.
        record: Records the function.
        notes: Receives the note.
    """

    def __init__(
        self, step: Callable[..., Tensor], record: GraphRecorder, notes: list[Note]
    ) -> None:
        self.step, self.record, self.notes = step, record, notes
        self.calls = 0
        self.inputs: tuple[Any, ...] = ()
        self.replay: Callable[[], None] | None = None
        self.result = torch.zeros(0)

    def __call__(self, *inputs: Any) -> Tensor:
        """Take a step."""
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
        for recorded, value in zip(self.inputs, inputs, strict=True):
            if isinstance(recorded, Tensor):
                recorded.copy_(value)
        self.replay()
        return self.result

    def _start_recording(self, inputs: Sequence[Any]) -> None:
        self.inputs = tuple(
            value.clone() if isinstance(value, Tensor) else value for value in inputs
        )
        try:
            self.replay, self.result = self.record(lambda: self.step(*self.inputs))
        except RuntimeError as error:
            reason = str(error).splitlines()[0][:120]
            text = f"The step is not replayed from a recording: {reason}."
            self.notes.append(Note("not_recorded", text, "warning", {"reason": reason}))


def _inputs_match(inputs: Sequence[Any], recorded: Sequence[Any]) -> bool:
    """Whether a recording for the inputs ``recorded`` also serves ``inputs``."""
    return all(
        value.shape == old.shape
        if isinstance(value, Tensor) and isinstance(old, Tensor)
        else value == old
        for value, old in zip(inputs, recorded, strict=True)
    )


def move_learning_rates_to_device(optimizer: Optimizer, device: torch.device) -> None:
    """Turn learning rates into tensors, which a recorded step reads at each replay."""
    for group in optimizer.param_groups:
        group["lr"] = torch.tensor(float(group["lr"]), device=device)
        group["capturable"] = device.type == "cuda"
