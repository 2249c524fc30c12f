"""Temporary evaluation mode."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """Evaluation mode inside the block: no dropout and no updates of running means.

    Afterwards the mode is the previous one.

    Args:
        model: The module whose mode changes.

    Example:
        >>> model = nn.Dropout(0.5)
        >>> with eval_mode(model):
        ...     model.training
        False
        >>> model.training
        True
    """
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
