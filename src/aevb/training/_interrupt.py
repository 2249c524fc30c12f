"""Ctrl-C and requests to end the process, as requests to stop after the current step."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

# Windows lacks the last two; SLURM sends the last one before the time of a job is over
STOP_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")


@dataclass
class Interrupt:
    """Whether the user or the system has asked the run to stop, and by which signal."""

    signal: int | None = None

    @property
    def requested(self) -> bool:
        """Whether the run should stop after the current step."""
        return self.signal is not None


@contextmanager
def catch_interrupt() -> Iterator[Interrupt]:
    """Record the first signal to stop inside the block, so that the current step is completed.

    The second signal has its usual effect: Ctrl-C raises ``KeyboardInterrupt``, the others end the
    process. A signal that is ignored (as by ``nohup``) stays ignored.
    """
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():  # which alone gets signals
        yield interrupt
        return
    outer: dict[int, Any] = {}

    def record(number: int, frame: FrameType | None) -> None:
        interrupt.signal = number
        restore()

    def restore() -> None:
        for number, handler in outer.items():
            signal.signal(number, handler)

    for number in (getattr(signal, name) for name in STOP_SIGNALS if hasattr(signal, name)):
        handler = signal.getsignal(number)
        is_ignored = handler is signal.SIG_IGN and number != signal.SIGINT
        if handler is not None and not is_ignored:  # None: another library has taken it
            outer[number] = handler
            signal.signal(number, record)
    try:
        yield interrupt
    finally:
        restore()
