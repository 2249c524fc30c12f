"""Weights averaged over steps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from ..errors import ArgumentError


class ExponentialMovingAverage:
    """Exponential moving average of tensors that training moves in place: ``ema += (1 - decay) (weights - ema)`` after each step.

    Early on the decay is lowered to ``(1 + step) / (10 + step)``, so that the average does not remember the initial weights.
    Raises ``ArgumentError`` for a decay outside (0, 1).
    """

    def __init__(self, parameters: Iterable[Tensor], decay: float) -> None:
        if not 0 < decay < 1:
            raise ArgumentError(f"`ema` is {decay}; give a decay between 0 and 1, as 0.999.")
        self.decay = decay
        self.parameters = [tensor.detach() for tensor in parameters]
        self.averages = [tensor.clone() for tensor in self.parameters]

    def update_weight(self, step: int) -> float:
        """The share of the way to the weights that the average goes after a step."""
        return 1 - min(self.decay, (1 + step) / (10 + step))

    def update(self, step: int) -> None:
        torch._foreach_lerp_(self.averages, self.parameters, self.update_weight(step))  # pyright: ignore[reportPrivateImportUsage]

    def update_with_weight(self, weight: Tensor) -> None:
        """The same move by a share ``[]`` that the device holds: a recorded step reads it anew each time."""
        for mean, live in zip(self.averages, self.parameters, strict=True):
            mean.lerp_(live, weight)

    @contextmanager
    def average_parameters(self) -> Iterator[None]:
        """The averages stand in the place of the tensors inside the block."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        for live, mean in zip(self.parameters, self.averages, strict=True):
            held = live.clone()
            live.copy_(mean)
            mean.copy_(held)

    def state_tensors(self) -> dict[str, Tensor]:
        return {str(i): mean for i, mean in enumerate(self.averages)}
