"""Memory: sizes of blocks, and errors that say which size to lower."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from .errors import OutOfMemoryError
from .notes import Argument, Text, message

# Numbers of data at once: with 64 features for each, 256 MiB of float32.
MAX_ELEMENTS_PER_BLOCK = 1 << 20
# More rows do not fit into the processor's cache, and were slower, on a 20-64-4 network.
MAX_ROWS_PER_BLOCK = 1 << 14
TENSORS_PER_STEP = 16  # rough number of tensors of the largest size that a step needs at once
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
    """Rows that go through a network at once: as many as fit into the cache.

    Args:
        row_elements: Numbers per row.
        max_rows: Largest number of rows.

    Example:
        >>> default_block_size(20), default_block_size(784)
        (16384, 1337)
        >>> default_block_size(784, max_rows=256), default_block_size(3 * 1024**2)
        (256, 1)
    """
    return max(1, min(max_rows, MAX_ELEMENTS_PER_BLOCK // max(row_elements, 1)))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that the memory of the host or of an accelerator is full.

    Example:
        >>> is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory"))
        True
        >>> is_out_of_memory(ValueError())
        False
    """
    text = str(error)
    known = (
        "can't allocate memory",
        "out of memory",
        "not enough memory",
        "Storage size calculation overflowed",
        "multiplication overflow",
    )
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(words in text for words in known)
    )


@contextmanager
def explain_out_of_memory(
    activity: str, suggestion: Text = "", **sizes: int | None
) -> Iterator[None]:
    """Explain an allocation that fails inside the block.

    The error contains the size of the allocation, the current sizes, and smaller ones to write.

    Args:
        activity: What is going on, for instance ``"in a training step"``.
        suggestion: What else would help.
        **sizes: The arguments on which the memory depends, by name; ``None``: not known.

    Raises:
        OutOfMemoryError: An allocation failed.

    Example:
        >>> with explain_out_of_memory("in a step", batch_size=128, samples=50):
        ...     raise RuntimeError("can't allocate memory: you tried to allocate 2147483648 bytes.")
        Traceback (most recent call last):
            ...
        aevb.errors.OutOfMemoryError: memory ran out in a step: 2.0 GiB more were requested, with
        batch_size=128 and samples=50. Write batch_size=64.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if isinstance(error, OutOfMemoryError) or not is_out_of_memory(error):
            raise
        known = {name: size for name, size in sizes.items() if size}
        raise _out_of_memory_error(activity, suggestion, str(error), known) from error


def reduce_sizes(sizes: dict[str, int], fraction: float) -> dict[str, int]:
    """Reduce sizes until their product is a fraction of what it was.

    The first size that suffices alone and stays at least ``MIN_REDUCED_SIZE`` is reduced; otherwise
    the largest sizes are halved in turn.

    Args:
        sizes: Sizes by name.
        fraction: The fraction of the product.

    Returns:
        The sizes that change.

    Example:
        >>> reduce_sizes({"batch_size": 512, "samples": 50}, fraction=0.5)
        {'batch_size': 256}
        >>> reduce_sizes({"batch_size": 1}, fraction=0.5)
        {}
        >>> reduce_sizes({"batch_size": 128, "samples": 10_000_000}, fraction=1 / 5000)
        {'samples': 2000}
    """
    product = math.prod(sizes.values())
    target = max(1, int(fraction * product))
    alone = {name: target // (product // size) for name, size in sizes.items()}
    for least in (MIN_REDUCED_SIZE, 1):
        for name, size in alone.items():
            if least <= size < sizes[name]:
                return {name: size}
    return _halve_sizes(sizes, target)


def physical_memory() -> int | None:
    """Bytes of memory in this machine; ``None`` if the system does not report them."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def available_memory() -> int | None:
    """Bytes of memory that can still be used; ``None`` if the system does not report them.

    The limit of a container counts where it is lower than the memory of the machine.
    """
    fields = dict(re.findall(r"(\w+): +(\d+) kB", _read_text("/proc/meminfo")))
    free = [int(fields["MemAvailable"]) << 10] if "MemAvailable" in fields else []
    limit, used = (_read_text(f"/sys/fs/cgroup/memory.{name}") for name in ("max", "current"))
    if limit.strip().isdecimal() and used.strip().isdecimal():
        free.append(max(0, int(limit) - int(used)))
    return min(free) if free else physical_memory()


def _read_text(path: str) -> str:
    """The text of a file of the system; ``""`` where there is none."""
    try:
        with open(path, encoding="ascii") as handle:
            return handle.read()
    except (OSError, ValueError):
        return ""


def format_bytes(size: float) -> str:
    """Format a number of bytes.

    Example:
        >>> format_bytes(2_147_483_648), format_bytes(1536), format_bytes(10)
        ('2.0 GiB', '1.5 KiB', '10 bytes')
    """
    unit = next((unit for unit in reversed(BYTE_UNITS) if size >= BYTE_UNITS[unit]), "bytes")
    return f"{size:.0f} bytes" if unit == "bytes" else f"{size / BYTE_UNITS[unit]:.1f} {unit}"


def _out_of_memory_error(
    activity: str, suggestion: Text, error_text: str, sizes: dict[str, int]
) -> OutOfMemoryError:
    requested = _parse_size(_REQUESTED_PATTERN, error_text)
    problem = (
        f"{format_bytes(requested)} more were requested" if requested else "the sizes are too large"
    )
    available = _parse_size(_CAPACITY_PATTERN, error_text) or physical_memory()
    reduced = reduce_sizes(sizes, _feasible_fraction(requested, available)) if sizes else {}
    write = (_list_arguments("Write", reduced),) if reduced else ()
    suggestions = (*write, *((suggestion,) if suggestion else ()))
    current: Text = _list_arguments(", with", sizes) if sizes else ""
    return OutOfMemoryError(
        message(f"memory ran out {activity}: {problem}{{current}}", current=current),
        suggestions=suggestions or ("Use narrower layers, or another device",),
    )


def _list_arguments(verb: str, sizes: dict[str, int]) -> Text:
    """``verb a=1 and b=2``, in the words of the door."""
    return message(
        f"{verb} {' and '.join(f'{{{name}}}' for name in sizes)}",
        **{name: Argument(name, size) for name, size in sizes.items()},
    )


def _halve_sizes(sizes: dict[str, int], target: int) -> dict[str, int]:
    halved = dict(sizes)
    while math.prod(halved.values()) > target:
        halved[max(halved, key=lambda name: halved[name])] //= 2
    return {name: size for name, size in halved.items() if size != sizes[name]}


def _feasible_fraction(requested: float | None, available: float | None) -> float:
    """The fraction of the sizes that would fit: at most half, less for very large allocations."""
    return min(0.5, available / (TENSORS_PER_STEP * requested)) if requested and available else 0.5


def _parse_size(pattern: re.Pattern[str], error_text: str) -> float | None:
    match = pattern.search(error_text)
    return float(match.group(1)) * BYTE_UNITS[match.group(2)] if match else None
