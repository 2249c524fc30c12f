"""Randomness of one's own: every draw inside a block comes from a given stream, and the world's stream is left as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


class RandomStream:
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

    def save_state(self) -> None:
        """Inside a block that draws: remember the position reached so far."""
        self.state = _get_rng_state(self.device)

    @contextmanager
    def activate(self) -> Iterator[None]:
        """Swap this stream in for the device's default one, and back out, also after an error."""
        outer = _get_rng_state(self.device)
        _set_rng_state(self.device, self.state)
        try:
            yield
        finally:
            self.state = _get_rng_state(self.device)
            _set_rng_state(self.device, outer)


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
    """Draw from a fresh stream with this seed inside the block."""
    with RandomStream(seed, device).activate():
        yield


@contextmanager
def use_generator(generator: torch.Generator | None) -> Iterator[None]:
    """Draw from a caller's generator inside the block, which moves it on; from the default one where there is none."""
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
