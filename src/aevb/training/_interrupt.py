"""Ctrl-C as a request to stop after the current step."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


@dataclass
class Interrupt:
    """Whether the user has pressed Ctrl-C."""

    requested: bool = False


@contextmanager
def catch_interrupt() -> Iterator[Interrupt]:
    """Record the first Ctrl-C inside the block, so that the current step is completed.

    The second Ctrl-C raises ``KeyboardInterrupt``.
    """
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():  # which alone gets signals
        yield interrupt
        return

    def record(number: int, frame: FrameType | None) -> None:
        interrupt.requested = True
        signal.signal(signal.SIGINT, outer)

    outer = signal.signal(signal.SIGINT, record)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, outer)
