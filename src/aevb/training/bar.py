"""The progress bar."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any

from .history import Epoch

EVERY = 10  # steps between looks at the clock


class Bar:
    """Epochs, time left, the bound and its two terms; on stderr, and only where that is a terminal unless asked for."""

    def __init__(self, wanted: bool | None, epochs: int, steps: int | None, name: str) -> None:
        self.wanted = sys.stderr.isatty() if wanted is None else wanted
        self.epochs, self.steps, self.name = epochs, steps, name
        self.progress: Any = None
        self.task: Any = None

    def __enter__(self) -> Bar:
        if self.wanted:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (TextColumn("{task.fields[place]}"), BarColumn(bar_width=12), TimeRemainingColumn(), TextColumn("{task.description}"))
            self.progress = Progress(*columns, console=Console(stderr=True), transient=True)
            self.progress.start()
            total = self.epochs * self.steps if self.steps else self.epochs
            self.task = self.progress.add_task("", total=total, place=f"epoch 1/{self.epochs}")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.progress is not None:
            self.progress.stop()

    def advance(self, epoch: int, position: int, step: int) -> None:
        """Tell where the run is."""
        if self.progress is not None and position % EVERY == 0:
            completed = epoch * self.steps + position if self.steps else epoch
            self.progress.update(self.task, completed=completed, place=f"epoch {epoch + 1}/{self.epochs}")

    def show(self, epoch: Epoch) -> None:
        """Tell how the last epoch went."""
        if self.progress is None:
            return
        text = f"{self.name} {epoch.bound:.1f}"
        if epoch.kl is not None and epoch.bound_name == "ELBO":
            text += f" = {epoch.log_likelihood:.1f} - {epoch.kl:.1f}"
        if epoch.validation is not None:
            text += f", held out {epoch.validation:.1f}"
        done = epoch.epoch * self.steps if self.steps else epoch.epoch
        self.progress.update(self.task, completed=done, description=text)
