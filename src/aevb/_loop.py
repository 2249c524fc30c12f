"""The loop of every optimisation: epochs of steps, which an executor takes and a journal records.

A run of one model, a stack of runs, a prior that is fitted afterwards and the refinement of
posteriors differ in what a step is and in what is written down about it, and share this loop.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

CONTINUE = "epochs"  # the reason of a loop that has all its epochs
WITHIN_EPOCH = ("interrupted", "data", "not finite")  # reasons that leave an epoch open


@dataclass
class Position:
    """The position of a loop between two steps."""

    epoch: int = 0  # epochs completed
    step_in_epoch: int = 0  # steps taken in the current epoch
    step: int = 0  # steps taken in all
    seconds: float = 0.0

    def advance(self, steps: int) -> None:
        """Count steps that were taken."""
        self.step += steps
        self.step_in_epoch += steps

    def next_epoch(self) -> None:
        """Close the current epoch."""
        self.epoch, self.step_in_epoch = self.epoch + 1, 0


class Executor(Protocol):
    """Takes the steps of a loop, from batches that it reads from its source."""

    def iter_chunks(self, epoch: int, step_in_epoch: int, /) -> Iterator[Any]:
        """Iterate over the rest of an epoch in chunks of one or several steps.

        Args:
            epoch: Number of the epoch, from 0.
            step_in_epoch: Steps of the epoch that were taken already.
        """
        ...

    def __call__(self, chunk: Any, step: int, total: float, /) -> int:
        """Take the steps of a chunk.

        Args:
            chunk: An item of ``iter_chunks``.
            step: Steps that were taken before.
            total: Steps in the whole run, as far as they can be foreseen.

        Returns:
            The number of steps taken.
        """
        ...


class Journal:
    """What is recorded of a loop, and what ends it early; this one records nothing."""

    def begin(self, position: Position) -> str:
        """The reason why a loop at this position is finished already, or ``CONTINUE``."""
        return CONTINUE

    def steps_of_epoch(self) -> AbstractContextManager[None]:
        """The context of the steps of an epoch, for instance their random stream."""
        return nullcontext()

    def record_steps(self, position: Position, taken: int) -> str:
        """Record steps that were just taken; returns a reason to stop, or ``CONTINUE``."""
        return CONTINUE

    def close_epoch(self, position: Position, reason: str) -> str:
        """Record an epoch and advance the position; returns the reason to stop, or the given one.

        Args:
            position: The position, at the end of the epoch.
            reason: Why its steps ended: ``CONTINUE`` after the last one, or "minutes".
        """
        position.next_epoch()
        return reason


@dataclass(frozen=True)
class Loop:
    """Epochs of steps.

    Args:
        executor: Takes the steps.
        journal: Records them.
        position: Where the loop begins; it moves along.
        epochs: Number of epochs, possibly infinite.
        steps: Steps per epoch, if known.
        minutes: Time limit.

    Example:
        >>> class Counting:
        ...     def iter_chunks(self, epoch, step_in_epoch):
        ...         return iter(range(step_in_epoch, 3))
        ...
        ...     def __call__(self, chunk, step, total):
        ...         return 1
        >>> position = Position(epoch=1, step_in_epoch=2, step=5)
        >>> Loop(Counting(), Journal(), position, epochs=4, steps=3).run(), position.step
        ('epochs', 12)
    """

    executor: Executor
    journal: Journal
    position: Position
    epochs: float = 1
    steps: int | None = None
    minutes: float | None = None

    def run(self) -> str:
        """Run to the end; returns the reason of the end."""
        position, journal = self.position, self.journal
        start, reason = time.monotonic() - position.seconds, journal.begin(position)
        if reason == CONTINUE and self._is_late():
            reason = "minutes"
        while position.epoch < self.epochs and reason == CONTINUE:
            reason = self._run_steps(start)
            if position.step_in_epoch == 0:
                reason = "data"
            position.seconds = time.monotonic() - start
            if reason in WITHIN_EPOCH:
                break
            reason = journal.close_epoch(position, reason)
        return reason

    def _run_steps(self, start: float) -> str:
        """Take the steps of an epoch; returns the reason to stop, or ``CONTINUE``."""
        position = self.position
        with self.journal.steps_of_epoch():
            for chunk in self.executor.iter_chunks(position.epoch, position.step_in_epoch):
                taken = self.executor(chunk, position.step, self._total_steps())
                position.advance(taken)
                position.seconds = time.monotonic() - start
                reason = self.journal.record_steps(position, taken)
                if reason != CONTINUE:
                    return reason
                if self._is_late():
                    return "minutes"
        return CONTINUE

    def _is_late(self) -> bool:
        return self.minutes is not None and self.position.seconds > 60 * self.minutes

    def _total_steps(self) -> float:
        """Steps in the whole run, as far as epochs and clock let them be foreseen."""
        planned = self.steps * self.epochs if self.steps else math.inf
        step, seconds = self.position.step, self.position.seconds
        if self.minutes is None or step == 0 or seconds <= 0:
            return planned
        return min(planned, step * 60 * self.minutes / seconds)
