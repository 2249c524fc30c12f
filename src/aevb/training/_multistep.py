"""How a run moves on: one step at a time, or several steps in one recording where there is a device to record on."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.optim import Optimizer

from ..objectives._schedules import ScheduledModule
from ..types import Batch
from ._cuda_graph import GraphCapture
from ._ema import ExponentialMovingAverage
from ._optimisers import set_learning_rates
from ._source import Source
from ._step import TrainingStep

STEPS_PER_RECORDING = 16  # steps in one recording: enough to hide the host and the gaps between two replays, few enough for a prompt end

LearningRateSchedule = Callable[[int, float], float]


class Multistep:
    """Steps of one run with all that happens between two of them: rates, schedules, sums, averaged weights.

    Where steps are recorded and rows lie on the device, ``LENGTH`` of them are one recording: it looks its rows up by number and takes
    rates and annealed settings from a table, so that the host gives two small arrays for each replay. The steps left over at the end
    of an epoch are taken one by one. ``statistic_sums``, ``[5 + measures]``, sums what the steps measure.
    """

    last_batch: Batch  # of the step taken last

    def __init__(
        self,
        training_step: TrainingStep,
        source: Source,
        optimizer: Optimizer,
        base_learning_rates: list[float],
        lr_schedule: LearningRateSchedule,
        ema: ExponentialMovingAverage | None,
        statistic_sums: Tensor,
        graph_capture: GraphCapture,
    ) -> None:
        self.training_step, self.source, self.ema, self.statistic_sums = (
            training_step,
            source,
            ema,
            statistic_sums,
        )
        self.optimizer, self.base_learning_rates, self.lr_schedule = (
            optimizer,
            base_learning_rates,
            lr_schedule,
        )
        self.scheduled_parts: tuple[ScheduledModule, ...] = (
            training_step.objective,
            training_step.gradient,
        )
        self.chunk_length = STEPS_PER_RECORDING if graph_capture.enabled else 1
        self.captured_chunk = graph_capture(self._run_chunk)

    def iter_chunks(self, epoch: int, step_in_epoch: int) -> Iterator[Batch | Tensor]:
        """What is left of an epoch after ``position`` steps: batches, or row numbers ``[LENGTH, B]`` of as many of them."""
        order = self.source.device_order(epoch) if self.chunk_length > 1 else None
        if order is not None:
            size = self.source.batch_size or 0
            while step_in_epoch + self.chunk_length <= (self.source.steps or 0):
                yield order[step_in_epoch * size : (step_in_epoch + self.chunk_length) * size].view(
                    self.chunk_length, size
                )
                step_in_epoch += self.chunk_length
        yield from self.source.iter_epoch(epoch, step_in_epoch)

    def __call__(self, chunk: Batch | Tensor, step: int, total: float) -> int:
        """Take the next steps of a run of ``total`` ones that is at ``step``; returns how many these were."""
        if isinstance(chunk, Batch):
            self._run_step(chunk, step, total)
            return 1
        self.captured_chunk(
            chunk,
            torch.tensor([self._setting_values(step + i, total) for i in range(len(chunk))]).to(
                chunk.device
            ),
        )
        self.last_batch = self.source.batch(chunk[-1])
        return len(chunk)

    def _run_step(self, batch: Batch, step: int, total: float) -> None:
        set_learning_rates(self.optimizer, self.base_learning_rates, self.lr_schedule(step, total))
        for part in self.scheduled_parts:
            part.set_step(step)
        self.statistic_sums += self.training_step(batch)
        if self.ema is not None:
            self.ema.update(step + 1)
        self.last_batch = batch

    def _run_chunk(self, order: Tensor, step_settings: Tensor) -> Tensor:
        """The steps on the rows ``order``, ``[k, B]``, with the ``settings`` of each, ``[k, settings]``."""
        for rows, values in zip(order.unbind(), step_settings.unbind(), strict=True):
            for held, value in zip(self._setting_tensors(), values.unbind(), strict=False):
                held.copy_(value)
            batch = self.source.batch(rows)
            self.statistic_sums += self.training_step.run_uncaptured(batch)
            if self.ema is not None:
                self.ema.update_with_weight(values[-1])
        return self.statistic_sums

    def _setting_tensors(self) -> list[Tensor]:
        """Where a step reads what changes from one to the next: rates first, then annealed settings."""
        return [group["lr"] for group in self.optimizer.param_groups] + [
            part.get_buffer(name) for part in self.scheduled_parts for name in part.schedules
        ]

    def _setting_values(self, step: int, total: float) -> list[float]:
        """The values of ``_held`` at a step, and the weight of the averaged weights' move after it."""
        factor = self.lr_schedule(step, total)
        annealed = [
            schedule(step) for part in self.scheduled_parts for schedule in part.schedules.values()
        ]
        return [
            *(base * factor for base in self.base_learning_rates),
            *annealed,
            0.0 if self.ema is None else self.ema.update_weight(step + 1),
        ]
