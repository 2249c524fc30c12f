"""What the processor is, and which devices there are."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import torch

from .errors import ArgumentError


@cache
def description() -> str:
    """What the system says of the first processor, flags and maker included; empty where it says nothing (systems other than Linux)."""
    information = Path("/proc/cpuinfo")
    return information.read_text().split("\n\n")[0] if information.exists() else ""


def there(device: str | torch.device) -> torch.device:
    """The device, which holds a number. Raises ``ArgumentError`` for one that is not there."""
    try:
        place = torch.device(device)
        torch.zeros(1, device=place)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = textwrap.shorten(str(error).splitlines()[0], 60, placeholder=" ...")
        raise ArgumentError(f'`device` is {str(device)!r}, which is not there ({reason}); use "cpu", or see `aevb info`.') from error
    return place


@contextmanager
def one_thread(wanted: bool = True) -> Iterator[None]:
    """One thread inside the block where that is wanted, afterwards as many as before: for work too small to be shared."""
    before = torch.get_num_threads()
    if wanted:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
