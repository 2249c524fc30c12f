"""Ctrl-C as a request, not an accident."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


@dataclass
class Interrupt:
    """Whether the user has asked to stop."""

    requested: bool = False


@contextmanager
def catch_interrupt() -> Iterator[Interrupt]:
    """The first Ctrl-C inside the block is noted, so that the step under way ends whole; the second one raises ``KeyboardInterrupt``."""
    interrupt = Interrupt()
    if (
        threading.current_thread() is not threading.main_thread()
    ):  # only the main thread hears signals
        yield interrupt
        return

    def note(number: int, frame: FrameType | None) -> None:
        interrupt.requested = True
        signal.signal(signal.SIGINT, outer)

    outer = signal.signal(signal.SIGINT, note)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, outer)
