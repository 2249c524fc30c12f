"""How a run moves on: one step at a time, or several steps in one recording where there is a device to record on."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.optim import Optimizer

from ..objectives.schedules import Annealed
from ..types import Batch
from .average import Average
from .captured import Capturer
from .optimisers import set_rates
from .source import Source
from .step import Step

LENGTH = 16  # steps in one recording: enough to hide the host and the gaps between two replays, few enough for a prompt end

Rate = Callable[[int, float], float]


class Stride:
    """Steps of one run with all that happens between two of them: rates, schedules, sums, averaged weights.

    Where steps are recorded and rows lie on the device, ``LENGTH`` of them are one recording: it looks its rows up by number and takes
    rates and annealed settings from a table, so that the host gives two small arrays for each replay. The steps left over at the end
    of an epoch are taken one by one. ``totals``, ``[5 + measures]``, sums what the steps measure.
    """

    last: Batch  # of the step taken last

    def __init__(
        self,
        take: Step,
        source: Source,
        optimizer: Optimizer,
        base: list[float],
        rate: Rate,
        averaged: Average | None,
        totals: Tensor,
        capturer: Capturer,
    ) -> None:
        self.take, self.source, self.averaged, self.totals = take, source, averaged, totals
        self.optimizer, self.base, self.rate = optimizer, base, rate
        self.annealed: tuple[Annealed, ...] = (take.objective, take.gradient)
        self.length = LENGTH if capturer.on else 1
        self.several = capturer(self._several)

    def works(self, epoch: int, position: int) -> Iterator[Batch | Tensor]:
        """What is left of an epoch after ``position`` steps: batches, or row numbers ``[LENGTH, B]`` of as many of them."""
        order = self.source.resident_order(epoch) if self.length > 1 else None
        if order is not None:
            size = self.source.batch_size or 0
            while position + self.length <= (self.source.steps or 0):
                yield order[position * size : (position + self.length) * size].view(self.length, size)
                position += self.length
        yield from self.source.epoch(epoch, position)

    def __call__(self, work: Batch | Tensor, step: int, total: float) -> int:
        """Take the next steps of a run of ``total`` ones that is at ``step``; returns how many these were."""
        if isinstance(work, Batch):
            self._one(work, step, total)
            return 1
        self.several(work, torch.tensor([self._settings(step + i, total) for i in range(len(work))]).to(work.device))
        self.last = self.source.batch(work[-1])
        return len(work)

    def _one(self, batch: Batch, step: int, total: float) -> None:
        set_rates(self.optimizer, self.base, self.rate(step, total))
        for part in self.annealed:
            part.at(step)
        self.totals += self.take(batch)
        if self.averaged is not None:
            self.averaged.update(step + 1)
        self.last = batch

    def _several(self, order: Tensor, settings: Tensor) -> Tensor:
        """The steps on the rows ``order``, ``[k, B]``, with the ``settings`` of each, ``[k, settings]``."""
        for rows, values in zip(order.unbind(), settings.unbind(), strict=True):
            for held, value in zip(self._held(), values.unbind(), strict=False):
                held.copy_(value)
            batch = self.source.batch(rows)
            self.totals += self.take.plainly(batch)
            if self.averaged is not None:
                self.averaged.towards(values[-1])
        return self.totals

    def _held(self) -> list[Tensor]:
        """Where a step reads what changes from one to the next: rates first, then annealed settings."""
        return [group["lr"] for group in self.optimizer.param_groups] + [
            part.get_buffer(name) for part in self.annealed for name in part.schedules
        ]

    def _settings(self, step: int, total: float) -> list[float]:
        """The values of ``_held`` at a step, and the weight of the averaged weights' move after it."""
        factor = self.rate(step, total)
        annealed = [schedule(step) for part in self.annealed for schedule in part.schedules.values()]
        return [*(base * factor for base in self.base), *annealed, 0.0 if self.averaged is None else self.averaged.weight(step + 1)]
