"""The progress bar."""

from __future__ import annotations

import math
import sys
from types import TracebackType
from typing import Any

from ._history import Epoch

PROGRESS_REFRESH_STEPS = 10


class ProgressBar:
    """Show epochs, time left, the bound and its two terms on stderr.

    Args:
        enabled: ``None`` shows the bar only in a terminal.
        epochs: Epochs of the run, possibly infinite.
        steps: Steps per epoch, if known.
        minutes: Time limit of the run.
        name: Name of the bound.
    """

    def __init__(
        self,
        enabled: bool | None,
        epochs: float,
        steps: int | None,
        minutes: float | None,
        name: str,
    ) -> None:
        self.enabled = sys.stderr.isatty() if enabled is None else enabled
        self.epochs, self.steps, self.minutes, self.name = epochs, steps, minutes, name
        self.progress: Any = None
        self.task: Any = None

    def __enter__(self) -> ProgressBar:
        if self.enabled:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (
                TextColumn("{task.fields[position]}"),
                BarColumn(bar_width=12),
                TimeRemainingColumn(),
                TextColumn("{task.description}"),
            )
            self.progress = Progress(*columns, console=Console(stderr=True), transient=True)
            self.progress.start()
            self.task = self.progress.add_task("", total=1.0, position=self._epoch_text(0))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.progress is not None:
            self.progress.stop()

    def update(self, epoch: int, position: int, elapsed: float) -> None:
        """Show the position of the run.

        Args:
            epoch: Epochs completed.
            position: Steps taken in the current epoch.
            elapsed: Minutes since the start.
        """
        if self.progress is not None and position % PROGRESS_REFRESH_STEPS == 0:
            by_steps = (epoch + (position / self.steps if self.steps else 0)) / self.epochs
            by_clock = elapsed / self.minutes if self.minutes else 0
            self.progress.update(
                self.task, completed=max(by_steps, by_clock), position=self._epoch_text(epoch)
            )

    def _epoch_text(self, epoch: int) -> str:
        return f"epoch {epoch + 1}" + (f"/{self.epochs}" if math.isfinite(self.epochs) else "")

    def show_epoch(self, epoch: Epoch) -> None:
        """Show the results of the last epoch."""
        if self.progress is None:
            return
        text = f"{self.name} {epoch.bound:.1f}"
        if epoch.kl is not None and epoch.bound_name == "ELBO":
            text += f" = {epoch.log_likelihood:.1f} - {epoch.kl:.1f}"
        if epoch.validation is not None:
            text += f", validation {epoch.validation:.1f}"
        self.progress.update(self.task, description=text)
