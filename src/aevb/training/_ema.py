"""Exponential moving average of the weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from ..errors import ArgumentError
from ..notes import Argument, message


class ExponentialMovingAverage:
    """Average tensors that training changes: ``ema += (1 - decay) (weights - ema)`` per step.

    In the beginning the decay is at most ``(1 + step) / (10 + step)``, so that the average forgets
    the initial weights.

    Args:
        parameters: The tensors.
        decay: Between 0 and 1.

    Raises:
        ArgumentError: ``decay`` is not between 0 and 1.
    """

    def __init__(self, parameters: Iterable[Tensor], decay: float) -> None:
        if not 0 < decay < 1:
            raise ArgumentError(
                "give a decay between 0 and 1",
                argument="ema",
                value=decay,
                suggestions=(message("Write {ema}", ema=Argument("ema", 0.999)),),
            )
        self.decay = decay
        self.parameters = [tensor.detach() for tensor in parameters]
        self.averages = [tensor.clone() for tensor in self.parameters]

    def restart(self) -> None:
        """Begin again at the current parameters."""
        torch._foreach_copy_(self.averages, self.parameters)  # pyright: ignore[reportPrivateImportUsage]

    def update_weight(self, step: int) -> float:
        """The weight of the current parameters in the average after a step."""
        return 1 - min(self.decay, (1 + step) / (10 + step))

    def update(self, step: int) -> None:
        """Update the average after a step."""
        torch._foreach_lerp_(self.averages, self.parameters, self.update_weight(step))  # pyright: ignore[reportPrivateImportUsage]

    def update_with_weight(self, weight: Tensor) -> None:
        """Update the average with a weight ``[]`` on the device, which a recorded step reads."""
        for average, parameter in zip(self.averages, self.parameters, strict=True):
            average.lerp_(parameter, weight)

    @contextmanager
    def average_parameters(self) -> Iterator[None]:
        """Replace the parameters by their averages inside the block."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        for parameter, average in zip(self.parameters, self.averages, strict=True):
            current = parameter.clone()
            parameter.copy_(average)
            average.copy_(current)

    def state_tensors(self) -> dict[str, Tensor]:
        """The averages by number, for a checkpoint."""
        return {str(i): average for i, average in enumerate(self.averages)}
