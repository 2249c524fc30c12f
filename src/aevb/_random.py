"""Private random streams: blocks that draw from a stream and leave the global one unchanged.

The default stream of PyTorch belongs to the process, and a private stream takes its place while a
block draws. Threads therefore take turns: one block at a time holds ``TURN``.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock, get_ident

import torch
from torch import Tensor

from ._row_noise import suspend_row_noise

TURN_SECONDS = 0.1  # after which a long block gives way to a thread that waits


class ThreadTurn:
    """A lock of the process; a thread that holds it for long may give way to one that waits."""

    def __init__(self) -> None:
        self._lock, self._depth, self._start = RLock(), 0, 0.0
        self._waiting: set[int] = set()

    def __enter__(self) -> None:
        if not self._lock.acquire(blocking=False):
            self._waiting.add(get_ident())
            try:
                self._lock.acquire()
            finally:
                self._waiting.discard(get_ident())
        self._depth += 1
        self._start = time.monotonic()

    def __exit__(self, *exception: object) -> None:
        self._depth -= 1
        self._lock.release()

    @property
    def is_over(self) -> bool:
        """Whether another thread waits and the block of this one may give way."""
        if not self._waiting or self._depth > 1:
            return False
        return time.monotonic() - self._start > TURN_SECONDS

    def give_way(self) -> None:
        """Let another thread take its turn, and wait for the next one."""
        waiting = set(self._waiting)
        self.__exit__()
        try:
            while waiting and waiting <= self._waiting:  # the lock itself is not fair
                time.sleep(TURN_SECONDS / 100)
        finally:
            self.__enter__()


TURN = ThreadTurn()


class RandomStream:
    """A position in a stream of random numbers, which advances with every block that draws.

    Args:
        seed: Seed of the stream.
        device: The device that draws.

    Example:
        >>> stream = RandomStream(seed=0)
        >>> with stream.activate():
        ...     first = torch.rand(3)
        >>> with stream.activate():
        ...     second = torch.rand(3)
        >>> bool((first == second).any())
        False
    """

    def __init__(self, seed: int, device: torch.device | str = "cpu") -> None:
        self.device, self.outer = torch.device(device), torch.empty(0)
        self.state = torch.Generator(self.device).manual_seed(seed).get_state()

    def save_state(self) -> None:
        """Save the current position; called inside ``activate``."""
        self.state = _get_rng_state(self.device)

    @contextmanager
    def activate(self) -> Iterator[None]:
        """Draw from this stream inside the block, in place of the device's default stream."""
        with TURN, suspend_row_noise():
            self._take_over()
            try:
                yield
            finally:
                self._hand_back()

    def give_way(self) -> None:
        """Let other threads draw, if one waits; called inside ``activate``."""
        if TURN.is_over:
            self._hand_back()
            TURN.give_way()
            self._take_over()

    def _take_over(self) -> None:
        self.outer = _get_rng_state(self.device)
        _set_rng_state(self.device, self.state)

    def _hand_back(self) -> None:
        self.state = _get_rng_state(self.device)
        _set_rng_state(self.device, self.outer)


def _get_rng_state(device: torch.device) -> Tensor:
    if device.type == "cpu":
        return torch.get_rng_state()
    return torch.get_device_module(device).get_rng_state(device)


def _set_rng_state(device: torch.device, state: Tensor) -> None:
    if device.type == "cpu":
        torch.set_rng_state(state)
    else:
        torch.get_device_module(device).set_rng_state(state, device)


@contextmanager
def seed_scope(seed: int, device: torch.device | str = "cpu") -> Iterator[None]:
    """Draw from a new stream with this seed inside the block."""
    with RandomStream(seed, device).activate():
        yield


@contextmanager
def use_generator(generator: torch.Generator | None) -> Iterator[None]:
    """Draw from a generator inside the block, and advance it; ``None``: the default stream."""
    with TURN:
        if generator is None:
            yield
            return
        outer = _get_rng_state(generator.device)
        _set_rng_state(generator.device, generator.get_state())
        try:
            yield
        finally:
            generator.set_state(_get_rng_state(generator.device))
            _set_rng_state(generator.device, outer)


@contextmanager
def keep_stream() -> Iterator[None]:
    """Draw from the default stream of the CPU inside the block, and do not advance it."""
    with TURN:
        outer = torch.get_rng_state()
        try:
            yield
        finally:
            torch.set_rng_state(outer)
