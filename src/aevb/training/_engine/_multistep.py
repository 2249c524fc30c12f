"""Several steps of a run per call, in one recording where the device can record."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.optim import Optimizer

from ..._skipped_steps import learning_rate_limit, overflow_error
from ...objectives._schedules import ScheduledModule
from ...types import Batch
from .._ema import ExponentialMovingAverage
from .._optimisers import LearningRateSchedule, set_learning_rates
from .._source import Source
from .._step import TrainingStep
from ._cuda_graph import GraphCapture

# Enough steps to hide the host and the gaps between two replays; few enough for a prompt end.
STEPS_PER_RECORDING = 16


class Multistep:
    """Take the steps of one run, with the learning rate, schedules, sums and averaged weights.

    Where steps are recorded and the rows are on the device, ``STEPS_PER_RECORDING`` steps are one
    recording. It looks its rows up by number and reads learning rates and scheduled settings from a
    table, so that the host passes two small arrays per replay. The remaining steps of an epoch are
    taken one by one.

    Args:
        training_step: One step.
        source: The batches.
        optimizer: The optimiser, for its learning rates.
        base_learning_rates: Learning rate of each group before the schedule.
        lr_schedule: The factor on the learning rate.
        ema: The average of the weights, if there is one.
        statistic_sums: Receives the sums of the steps' statistics, ``[5 + metrics]``.
        graph_capture: Records steps where that is possible.
    """

    last_batch: Batch  # of the latest step

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
        self.training_step, self.source, self.ema = training_step, source, ema
        self.statistic_sums, self.lr_schedule = statistic_sums, lr_schedule
        self.optimizer, self.base_learning_rates = optimizer, base_learning_rates
        self.learning_rate_limit = learning_rate_limit(optimizer) or sys.float_info.max
        self.scheduled_parts: tuple[ScheduledModule, ...] = (
            training_step.objective,
            training_step.gradient,
        )
        self.chunk_length = STEPS_PER_RECORDING if graph_capture.enabled else 1
        self.captured_chunk = graph_capture(self._run_chunk)

    def iter_chunks(self, epoch: int, step_in_epoch: int) -> Iterator[Batch | Tensor]:
        """Iterate over the rest of an epoch.

        Args:
            epoch: Number of the epoch, from 0.
            step_in_epoch: Steps of the epoch that were taken already.

        Yields:
            A batch for one step, or row numbers ``[chunk_length, B]`` for as many steps.
        """
        order = self.source.device_order(epoch) if self.chunk_length > 1 else None
        if order is not None:
            size = self.source.batch_size or 0
            while step_in_epoch + self.chunk_length <= (self.source.steps or 0):
                end = step_in_epoch + self.chunk_length
                yield order[step_in_epoch * size : end * size].view(self.chunk_length, size)
                step_in_epoch = end
        yield from self.source.iter_epoch(epoch, step_in_epoch)

    def __call__(self, chunk: Batch | Tensor, step: int, total: float) -> int:
        """Take the steps of a chunk.

        Args:
            chunk: A batch, or row numbers ``[k, B]``.
            step: Steps that the run took before.
            total: Steps in the whole run.

        Returns:
            The number of steps taken.
        """
        if isinstance(chunk, Batch):
            self._run_step(chunk, step, total)
            return 1
        values = [self._setting_values(step + i, total) for i in range(len(chunk))]
        self.captured_chunk(chunk, torch.tensor(values).to(chunk.device))
        self.last_batch = self.source.batch(chunk[-1])
        return len(chunk)

    def _run_step(self, batch: Batch, step: int, total: float) -> None:
        set_learning_rates(self.optimizer, self.base_learning_rates, self._factor(step, total))
        for part in self.scheduled_parts:
            part.set_step(step)
        self.statistic_sums += self.training_step(batch)
        if self.ema is not None:
            self.ema.update(step + 1)
        self.last_batch = batch

    def _run_chunk(self, order: Tensor, step_settings: Tensor) -> Tensor:
        """Take steps on the rows ``order`` ``[k, B]`` with their settings ``[k, settings]``."""
        for rows, values in zip(order.unbind(), step_settings.unbind(), strict=True):
            for tensor, value in zip(self._setting_tensors(), values.unbind(), strict=False):
                tensor.copy_(value)
            batch = self.source.batch(rows)
            self.statistic_sums += self.training_step.run_uncaptured(batch)
            if self.ema is not None:
                self.ema.update_with_weight(values[-1])
        return self.statistic_sums

    def _factor(self, step: int, total: float) -> float:
        """The factor on the learning rates, which must not let an update overflow."""
        factor = self.lr_schedule(step, total)
        largest = max(map(abs, self.base_learning_rates)) * factor
        if not abs(largest) <= self.learning_rate_limit:
            raise overflow_error(largest)
        return factor

    def _setting_tensors(self) -> list[Tensor]:
        """The tensors that hold what changes between two steps: rates, then scheduled settings."""
        return [group["lr"] for group in self.optimizer.param_groups] + [
            part.get_buffer(name) for part in self.scheduled_parts for name in part.schedules
        ]

    def _setting_values(self, step: int, total: float) -> list[float]:
        """The values of ``_setting_tensors`` at a step, and the weight of the EMA after it."""
        factor = self._factor(step, total)
        scheduled = [
            schedule(step) for part in self.scheduled_parts for schedule in part.schedules.values()
        ]
        return [
            *(base * factor for base in self.base_learning_rates),
            *scheduled,
            0.0 if self.ema is None else self.ema.update_weight(step + 1),
        ]
