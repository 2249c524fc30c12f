"""Memory: how many rows go at once, and one sentence where it runs out."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from .errors import OutOfMemoryError

NUMBERS = 1 << 20  # of data at once: with 64 numbers of features for each of them, 256 MiB of float32
MOST = 1 << 14  # rows at once: more no longer fit the processor's cache, and were slower, on a 20-64-4 net
SHARE = 16  # tensors of the largest size that a step holds at once, more or less
FEW = 8  # rows of a batch, or samples, below which another size is lowered
UNITS = {"bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40, "PiB": 1 << 50, "EiB": 1 << 60}
_SIZE = r"([\d.]+) (bytes|[KMGTPE]iB)"
_ASKED = re.compile(rf"allocate:? (?:more than )?{_SIZE}")
_CAPACITY = re.compile(rf"total capacity of {_SIZE}")


def rows_at_once(numbers: int, most: int = MOST) -> int:
    """How many rows of so many numbers go through a network at once: as many as stay in the cache, fewer where they are large.

    >>> rows_at_once(20), rows_at_once(784), rows_at_once(784, most=256), rows_at_once(3 * 1024**2)
    (16384, 1337, 256, 1)
    """
    return max(1, min(most, NUMBERS // max(numbers, 1)))


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that there is no memory left, on the host or on an accelerator.

    >>> (
    ...     out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes")),
    ...     out_of_memory(ValueError()),
    ... )
    (True, False)
    """
    said = str(error)
    known = (
        "can't allocate memory",
        "out of memory",
        "not enough memory",
        "Storage size calculation overflowed",
        "multiplication overflow",
    )
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and any(words in said for words in known))


@contextmanager
def enough_memory(doing: str, instead: str = "", **sizes: int | None) -> Iterator[None]:
    """Turn an allocation that fails inside the block into one sentence: what was asked for, the sizes in force, smaller ones to write.

    ``doing`` says what was under way; ``sizes`` are the arguments that the memory grows with, by name (``None``: not known);
    ``instead`` is what else would help. Raises ``OutOfMemoryError``.

    >>> with enough_memory("in a training step", batch_size=128, samples=50):
    ...     raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 2147483648 bytes.")
    Traceback (most recent call last):
        ...
    aevb.errors.OutOfMemoryError: memory ran out in a training step: 2.0 GiB more were asked for, with batch_size=128 and samples=50.
    Write batch_size=64.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if isinstance(error, OutOfMemoryError) or not out_of_memory(error):
            raise
        raise OutOfMemoryError(_sentence(doing, instead, str(error), {name: size for name, size in sizes.items() if size})) from error


def smaller(sizes: dict[str, int], share: float) -> dict[str, int]:
    """Those sizes that must change for their product to fall to ``share`` of it, and what they become.

    The first one that can do it alone and keeps at least a few; else the largest are halved in turn.

    >>> smaller({"batch_size": 512, "samples": 50}, share=0.5), smaller({"batch_size": 1}, share=0.5)
    ({'batch_size': 256}, {})
    >>> smaller({"batch_size": 128, "samples": 10_000_000}, share=1 / 5000)
    {'samples': 2000}
    """
    product = math.prod(sizes.values())
    wanted = max(1, int(share * product))
    alone = {name: wanted // (product // size) for name, size in sizes.items()}
    for least in (FEW, 1):
        for name, size in alone.items():
            if least <= size < sizes[name]:
                return {name: size}
    return _halved(sizes, wanted)


def physical() -> int | None:
    """Bytes of memory in this machine; ``None`` where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def as_size(size: float) -> str:
    """A number of bytes as people say it.

    >>> as_size(2_147_483_648), as_size(1536), as_size(10)
    ('2.0 GiB', '1.5 KiB', '10 bytes')
    """
    unit = next((unit for unit in reversed(UNITS) if size >= UNITS[unit]), "bytes")
    return f"{size:.0f} bytes" if unit == "bytes" else f"{size / UNITS[unit]:.1f} {unit}"


def _sentence(doing: str, instead: str, said: str, sizes: dict[str, int]) -> str:
    asked = _found(_ASKED, said)
    wanted = f"{as_size(asked)} more were asked for" if asked else "the sizes are too large"
    force = f", with {' and '.join(f'{name}={size}' for name, size in sizes.items())}" if sizes else ""
    less = smaller(sizes, _share(asked, _found(_CAPACITY, said) or physical())) if sizes else {}
    write = " and ".join(f"{name}={size}" for name, size in less.items())
    cures = [cure for cure in (f"write {write}" if write else "", instead) if cure] or ["take narrower layers, or another device"]
    cure = ", or ".join(cures)
    return f"memory ran out {doing}: {wanted}{force}. {cure[0].upper()}{cure[1:]}."


def _halved(sizes: dict[str, int], wanted: int) -> dict[str, int]:
    held = dict(sizes)
    while math.prod(held.values()) > wanted:
        held[max(held, key=lambda name: held[name])] //= 2
    return {name: size for name, size in held.items() if size != sizes[name]}


def _share(asked: float | None, there: float | None) -> float:
    """Of what was asked for, the part that would fit: at most half, and less where one allocation alone is as large as the memory."""
    return min(0.5, there / (SHARE * asked)) if asked and there else 0.5


def _found(pattern: re.Pattern[str], said: str) -> float | None:
    match = pattern.search(said)
    return float(match.group(1)) * UNITS[match.group(2)] if match else None
