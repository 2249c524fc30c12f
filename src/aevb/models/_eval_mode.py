"""Evaluation mode for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """Evaluation mode inside the block: no dropout, no running mean that moves; afterwards the mode is what it was.

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
