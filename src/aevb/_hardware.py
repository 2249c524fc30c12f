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
def cpu_description() -> str:
    """What the system says of the first processor, flags and maker included; empty where it says nothing (systems other than Linux)."""
    information = Path("/proc/cpuinfo")
    return information.read_text().split("\n\n")[0] if information.exists() else ""


def resolve_device(device: str | torch.device | None) -> torch.device:
    """The device asked for, or the accelerator if there is one, else the CPU. Raises ``ArgumentError`` for a device that is missing."""
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        place = torch.device(device)
        torch.zeros(1, device=place)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = textwrap.shorten(str(error).splitlines()[0], 60, placeholder=" ...")
        raise ArgumentError(
            f'`device` is {str(device)!r}, which is not there ({reason}); use "cpu", or see `aevb info`.'
        ) from error
    return place


@contextmanager
def single_thread(enabled: bool = True) -> Iterator[None]:
    """One thread inside the block where that is wanted, afterwards as many as before: for work too small to be shared."""
    before = torch.get_num_threads()
    if enabled:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
