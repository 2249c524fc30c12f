"""Randomness of one's own: every draw inside a block comes from a given stream, and the world's stream is left as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


class Stream:
    """A position in a stream of random numbers on one device; it moves on with every block that draws from it.

    >>> stream = Stream(seed=0)
    >>> with stream.drawing():
    ...     first = torch.rand(3)
    >>> with stream.drawing():
    ...     second = torch.rand(3)
    >>> bool((first == second).any())
    False
    """

    def __init__(self, seed: int, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self.state = torch.Generator(self.device).manual_seed(seed).get_state()

    def note(self) -> None:
        """Inside a block that draws: remember the position reached so far."""
        self.state = _get(self.device)

    @contextmanager
    def drawing(self) -> Iterator[None]:
        """Swap this stream in for the device's default one, and back out, also after an error."""
        outer = _get(self.device)
        _set(self.device, self.state)
        try:
            yield
        finally:
            self.state = _get(self.device)
            _set(self.device, outer)


def _get(device: torch.device) -> Tensor:
    if device.type == "cpu":
        return torch.get_rng_state()
    return torch.get_device_module(device).get_rng_state(device)


def _set(device: torch.device, state: Tensor) -> None:
    if device.type == "cpu":
        torch.set_rng_state(state)
    else:
        torch.get_device_module(device).set_rng_state(state, device)


@contextmanager
def seeded(seed: int, device: torch.device | str = "cpu") -> Iterator[None]:
    """Draw from a fresh stream with this seed inside the block."""
    with Stream(seed, device).drawing():
        yield


@contextmanager
def borrowed(generator: torch.Generator | None) -> Iterator[None]:
    """Draw from a caller's generator inside the block, which moves it on; from the default one where there is none."""
    if generator is None:
        yield
        return
    outer = _get(generator.device)
    _set(generator.device, generator.get_state())
    try:
        yield
    finally:
        generator.set_state(_get(generator.device))
        _set(generator.device, outer)
