"""Private random streams: blocks that draw from a stream and leave the global one unchanged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


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
        self.device = torch.device(device)
        self.state = torch.Generator(self.device).manual_seed(seed).get_state()

    def save_state(self) -> None:
        """Save the current position; called inside ``activate``."""
        self.state = _get_rng_state(self.device)

    @contextmanager
    def activate(self) -> Iterator[None]:
        """Draw from this stream inside the block, in place of the device's default stream."""
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
    """Draw from a new stream with this seed inside the block."""
    with RandomStream(seed, device).activate():
        yield


@contextmanager
def use_generator(generator: torch.Generator | None) -> Iterator[None]:
    """Draw from a generator inside the block, and advance it; ``None``: the default stream."""
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
