"""Shapes as arguments."""

from __future__ import annotations

from collections.abc import Sequence

from .errors import ArgumentError


def as_shape(argument: str, value: int | Sequence[int]) -> tuple[int, ...]:
    """A shape from one size or several, each at least 1.

    >>> as_shape("latent", 8)
    (8,)
    """
    shape = (value,) if isinstance(value, int) else tuple(value)
    if not shape or any(not isinstance(size, int) or size < 1 for size in shape):
        raise ArgumentError(f"`{argument}` is {value}; give a positive whole number, or several.")
    return shape
