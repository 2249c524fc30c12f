"""What needs scikit-learn: imported where it is used, and left out of a larger result where it is missing."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, TypeVar

from ..errors import MissingExtraError, missing_extra

T = TypeVar("T")


def import_sklearn(module: str, purpose: str) -> Any:
    """A module of scikit-learn. Raises ``MissingExtraError`` where it is not installed.

    >>> scikit("cluster", "clustering of codes").__name__
    'sklearn.cluster'
    """
    try:
        return importlib.import_module(f"sklearn.{module}")
    except ImportError as error:
        raise missing_extra("sklearn", purpose) from error


def none_if_not_installed(compute: Callable[[], T]) -> T | None:
    """What is measured, or ``None`` where that needs an extra that is not installed."""
    try:
        return compute()
    except MissingExtraError:
        return None
