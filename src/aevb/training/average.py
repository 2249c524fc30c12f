"""Weights averaged over steps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from ..errors import ArgumentError


class Average:
    """Exponential moving average of tensors that training moves in place: ``average += (1 - decay) (weights - average)`` after each step.

    Early on the decay is lowered to ``(1 + step) / (10 + step)``, so that the average does not remember the initial weights.
    Raises ``ArgumentError`` for a decay outside (0, 1).
    """

    def __init__(self, live: Iterable[Tensor], decay: float) -> None:
        if not 0 < decay < 1:
            raise ArgumentError(f"`average` is {decay}; give a decay between 0 and 1, as 0.999.")
        self.decay = decay
        self.live = [tensor.detach() for tensor in live]
        self.mean = [tensor.clone() for tensor in self.live]

    def weight(self, step: int) -> float:
        """The share of the way to the weights that the average goes after a step."""
        return 1 - min(self.decay, (1 + step) / (10 + step))

    def update(self, step: int) -> None:
        torch._foreach_lerp_(self.mean, self.live, self.weight(step))  # pyright: ignore[reportPrivateImportUsage]

    def towards(self, weight: Tensor) -> None:
        """The same move by a share ``[]`` that the device holds: a recorded step reads it anew each time."""
        for mean, live in zip(self.mean, self.live, strict=True):
            mean.lerp_(live, weight)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The averages stand in the place of the tensors inside the block."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        for live, mean in zip(self.live, self.mean, strict=True):
            held = live.clone()
            live.copy_(mean)
            mean.copy_(held)

    def tensors(self) -> dict[str, Tensor]:
        return {str(i): mean for i, mean in enumerate(self.mean)}
