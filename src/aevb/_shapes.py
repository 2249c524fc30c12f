"""Shapes as arguments of parts."""

from __future__ import annotations

from collections.abc import Sequence

from .errors import MAX_COUNT, ArgumentError


def as_shape(argument: str, value: int | Sequence[int]) -> tuple[int, ...]:
    """Make a shape from one size or several sizes.

    Args:
        argument: Name of the argument, for the error.
        value: The sizes, each at least 1.

    Raises:
        ArgumentError: A size is not a whole number, below 1, or absurdly large.

    Example:
        >>> as_shape("latent", 8)
        (8,)
    """
    shape = (value,) if isinstance(value, int) else tuple(value)
    if not shape or any(not isinstance(size, int) or not 1 <= size <= MAX_COUNT for size in shape):
        raise ArgumentError(
            f"give a whole number from 1 to {MAX_COUNT:,}, or several",
            argument=argument,
            value=value,
        )
    return shape
