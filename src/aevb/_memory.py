"""Memory: how many rows go at once, and one sentence where it runs out."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from .errors import OutOfMemoryError

MAX_ELEMENTS_PER_BLOCK = (
    1 << 20
)  # of data at once: with 64 numbers of features for each of them, 256 MiB of float32
MAX_ROWS_PER_BLOCK = (
    1 << 14
)  # rows at once: more no longer fit the processor's cache, and were slower, on a 20-64-4 net
TENSORS_PER_STEP = 16  # tensors of the largest size that a step holds at once, more or less
MIN_REDUCED_SIZE = 8  # rows of a batch, or samples, below which another size is lowered
BYTE_UNITS = {
    "bytes": 1,
    "KiB": 1 << 10,
    "MiB": 1 << 20,
    "GiB": 1 << 30,
    "TiB": 1 << 40,
    "PiB": 1 << 50,
    "EiB": 1 << 60,
}
_SIZE_PATTERN = r"([\d.]+) (bytes|[KMGTPE]iB)"
_REQUESTED_PATTERN = re.compile(rf"allocate:? (?:more than )?{_SIZE_PATTERN}")
_CAPACITY_PATTERN = re.compile(rf"total capacity of {_SIZE_PATTERN}")


def default_block_size(row_elements: int, max_rows: int = MAX_ROWS_PER_BLOCK) -> int:
    """How many rows of so many numbers go through a network at once: as many as stay in the cache, fewer where they are large.

    >>> (
    ...     default_block_size(20),
    ...     default_block_size(784),
    ...     default_block_size(784, most=256),
    ...     default_block_size(3 * 1024**2),
    ... )
    (16384, 1337, 256, 1)
    """
    return max(1, min(max_rows, MAX_ELEMENTS_PER_BLOCK // max(row_elements, 1)))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that there is no memory left, on the host or on an accelerator.

    >>> (
    ...     is_out_of_memory(
    ...         RuntimeError(
    ...             "DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"
    ...         )
    ...     ),
    ...     is_out_of_memory(ValueError()),
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
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(words in said for words in known)
    )


@contextmanager
def explain_out_of_memory(
    activity: str, suggestion: str = "", **sizes: int | None
) -> Iterator[None]:
    """Turn an allocation that fails inside the block into one sentence: what was asked for, the sizes in force, smaller ones to write.

    ``doing`` says what was under way; ``sizes`` are the arguments that the memory grows with, by name (``None``: not known);
    ``instead`` is what else would help. Raises ``OutOfMemoryError``.

    >>> with explain_out_of_memory("in a training step", batch_size=128, samples=50):
    ...     raise RuntimeError(
    ...         "DefaultCPUAllocator: can't allocate memory: you tried to allocate 2147483648 bytes."
    ...     )
    Traceback (most recent call last):
        ...
    aevb.errors.OutOfMemoryError: memory ran out in a training step: 2.0 GiB more were asked for, with batch_size=128 and samples=50.
    Write batch_size=64.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if isinstance(error, OutOfMemoryError) or not is_out_of_memory(error):
            raise
        raise OutOfMemoryError(
            _out_of_memory_message(
                activity,
                suggestion,
                str(error),
                {name: size for name, size in sizes.items() if size},
            )
        ) from error


def reduce_sizes(sizes: dict[str, int], fraction: float) -> dict[str, int]:
    """Those sizes that must change for their product to fall to ``share`` of it, and what they become.

    The first one that can do it alone and keeps at least a few; else the largest are halved in turn.

    >>> (
    ...     smaller({"batch_size": 512, "samples": 50}, share=0.5),
    ...     smaller({"batch_size": 1}, share=0.5),
    ... )
    ({'batch_size': 256}, {})
    >>> smaller({"batch_size": 128, "samples": 10_000_000}, share=1 / 5000)
    {'samples': 2000}
    """
    product = math.prod(sizes.values())
    wanted = max(1, int(fraction * product))
    alone = {name: wanted // (product // size) for name, size in sizes.items()}
    for least in (MIN_REDUCED_SIZE, 1):
        for name, size in alone.items():
            if least <= size < sizes[name]:
                return {name: size}
    return _halve_sizes(sizes, wanted)


def physical_memory() -> int | None:
    """Bytes of memory in this machine; ``None`` where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def format_bytes(size: float) -> str:
    """A number of bytes as people say it.

    >>> format_bytes(2_147_483_648), format_bytes(1536), format_bytes(10)
    ('2.0 GiB', '1.5 KiB', '10 bytes')
    """
    unit = next((unit for unit in reversed(BYTE_UNITS) if size >= BYTE_UNITS[unit]), "bytes")
    return f"{size:.0f} bytes" if unit == "bytes" else f"{size / BYTE_UNITS[unit]:.1f} {unit}"


def _out_of_memory_message(
    activity: str, suggestion: str, error_text: str, sizes: dict[str, int]
) -> str:
    asked = _parse_size(_REQUESTED_PATTERN, error_text)
    wanted = f"{format_bytes(asked)} more were asked for" if asked else "the sizes are too large"
    force = (
        f", with {' and '.join(f'{name}={size}' for name, size in sizes.items())}" if sizes else ""
    )
    less = (
        reduce_sizes(
            sizes,
            _feasible_fraction(
                asked, _parse_size(_CAPACITY_PATTERN, error_text) or physical_memory()
            ),
        )
        if sizes
        else {}
    )
    write = " and ".join(f"{name}={size}" for name, size in less.items())
    cures = [cure for cure in (f"write {write}" if write else "", suggestion) if cure] or [
        "take narrower layers, or another device"
    ]
    cure = ", or ".join(cures)
    return f"memory ran out {activity}: {wanted}{force}. {cure[0].upper()}{cure[1:]}."


def _halve_sizes(sizes: dict[str, int], target: int) -> dict[str, int]:
    held = dict(sizes)
    while math.prod(held.values()) > target:
        held[max(held, key=lambda name: held[name])] //= 2
    return {name: size for name, size in held.items() if size != sizes[name]}


def _feasible_fraction(requested: float | None, available: float | None) -> float:
    """Of what was asked for, the part that would fit: at most half, and less where one allocation alone is as large as the memory."""
    return min(0.5, available / (TENSORS_PER_STEP * requested)) if requested and available else 0.5


def _parse_size(pattern: re.Pattern[str], error_text: str) -> float | None:
    match = pattern.search(error_text)
    return float(match.group(1)) * BYTE_UNITS[match.group(2)] if match else None
