"""The processor, the devices, and the switch for accelerated code paths."""

from __future__ import annotations

import os
import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import Thread

import torch

from .errors import ArgumentError
from .notes import Argument, message

ENGINE_VARIABLE = "AEVB_ENGINE"


def uses_plain_engine() -> bool:
    """Whether the environment variable ``AEVB_ENGINE=plain`` switches accelerated paths off."""
    return os.environ.get(ENGINE_VARIABLE) == "plain"


@cache
def cpu_description() -> str:
    """The entry of ``/proc/cpuinfo`` for the first processor; empty on other systems than Linux."""
    information = Path("/proc/cpuinfo")
    return information.read_text().split("\n\n")[0] if information.exists() else ""


def resolve_device(device: str | torch.device | None) -> torch.device:
    """Return the device, by default the accelerator if there is one, else the CPU.

    Args:
        device: A device or its name; ``None`` chooses.

    Raises:
        ArgumentError: This machine does not have the device.
    """
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of devices that torch will no longer know
            resolved = torch.device(device)
        torch.zeros(1, device=resolved).item()  # a meta tensor has no values
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = textwrap.shorten(str(error).splitlines()[0], 60, placeholder=" ...")
        raise ArgumentError(
            f"this device is not available ({reason})",
            argument="device",
            value=str(device),
            suggestions=(message("Write {cpu}", cpu=Argument("device", "cpu")), "See `aevb info`"),
        ) from error
    return resolved


@contextmanager
def single_thread(enabled: bool = True) -> Iterator[None]:
    """Use one thread inside the block if ``enabled``: for work that is too small to share."""
    before = torch.get_num_threads()
    if not enabled or before == 1:
        yield
        return
    torch.set_num_threads(1)
    # PyTorch gives the last number that was set to every thread that starts later
    other = Thread(target=torch.set_num_threads, args=(before,))
    other.start()
    other.join()
    try:
        yield
    finally:
        torch.set_num_threads(before)
